"""Scores of images, block by block -> ood.csv, a claim, and the page of both."""

from dataclasses import replace

import numpy as np
import pandas as pd

from comvae.results import paths
from comvae.results.tables import write_tables
from comvae.results.tables.ood import SCORES
from comvae.study.plan import Plan
from tests.dashboard.studies import FEW
from tests.dashboard.visitor import show, text

IMAGES = 20


def write_scores(results, plan) -> None:
    """Compound's variance tells every foreign image, vanilla's gap about half; the
    likelihood has them the wrong way round."""
    random = np.random.default_rng(0)
    for block in plan.blocks:
        folder = paths.evaluation_folder(results, block.folder, block.measured)
        rows = []
        for seed in block.seeds:
            for data in ("digits", "strange"):
                table = pd.DataFrame(random.normal(size=(IMAGES, 5)), columns=SCORES)
                foreign = data == "strange"
                table["foreign_negative_log_px"] -= 5 * foreign
                table["foreign_elbo_variance"] += 9 * foreign
                if block.model == "vanilla":
                    table["foreign_elbo_variance"] = np.nan
                keys = dict(seed=seed, data=data, image=range(IMAGES))
                rows.append(table.assign(**keys))
        pd.concat(rows).to_parquet(paths.ood(folder, "strange"))


def test_what_flags_foreign_images_is_told_claimed_and_shown(whole):
    plan = replace(Plan.read(whole), ood=["strange"])
    write_scores(whole, plan)
    tables = write_tables(whole, plan)
    found = tables["ood"].set_index(["model", "quantity"])["mean"]
    assert found["compound-mixture", "foreign_own"] == 1
    assert 0.3 < found["vanilla", "foreign_own"] < 0.7
    assert found["vanilla", "foreign_negative_log_px"] < 0.1
    assert np.isnan(found["vanilla", "knows_own"])
    claims = tables["claims"].set_index("claim")
    assert claims.loc["compound-mixture-flags-foreign-images", "effect"] > 0.3
    page = show("ood")
    said = text(page)
    first = page.markdown[0].value.replace("\\", "")
    assert first.startswith("Of all models and scores, Variance of the ELBO")
    assert "100 times in 100" in said and "The likelihood misleads here" in said
    assert "Does inference generalise" in said
    assert "compound-mixture" in FEW


def test_a_study_without_foreign_images_has_neither_table_nor_claim(whole):
    tables = write_tables(whole, Plan.read(whole))
    assert "ood" not in tables
    assert not tables["claims"]["claim"].str.endswith("flags-foreign-images").any()
