"""Other readings beside Table 1: the rule that scores them, and the table."""

import math

import numpy as np
import pandas as pd
import pytest

from comvae.errors import SettingsError
from comvae.results.formats import READINGS, RUNS, STATUS
from comvae.results.report.pages import table1_page
from comvae.results.tables.paper import paper_values
from comvae.results.tables.readings import SPLITS, TERMS, distance, readings_table
from comvae.study.loading import load_models, load_study
from comvae.study.plan import Plan
from tests.support import MODELS, ROOT

ROW = "compound-mixture-unweighted"
OTHERS = {"as-in-the-paper": ROW, "as-vanilla": ROW, "collapsed-on-test": ROW}
TITLES = {name: name.title() for name in ("vanilla", *OTHERS)}
PLAN = Plan("t", ["digits"], TITLES, [], None, readings=OTHERS)
PAPER = paper_values()


def terms_of(model: str, dataset: str = "mnist") -> dict[str, dict[str, float]]:
    return {
        split: {term: PAPER[dataset, model, split, term] for term in TERMS}
        for split in SPLITS
    }


def runs_of(models, seeds=(0, 1, 2), size=0.25) -> pd.DataFrame:
    """Runs with these terms, on images of another size: a quarter of the nats."""
    rows = [
        dict(dataset="digits", model=model, seed=seed, split=split)
        | {term: size * (1 + 0.01 * seed) * nats for term, nats in values.items()}
        for model, by_split in models.items()
        for seed in seeds
        for split, values in by_split.items()
    ]
    return pd.DataFrame(rows, columns=RUNS.columns)


@pytest.fixture
def runs():
    vanilla, row = terms_of("vanilla"), terms_of(ROW)
    mixed = {"train-running": row["train-running"], "test": vanilla["test"]}
    models = ("vanilla", vanilla), ("as-in-the-paper", row)
    return runs_of(dict(models) | {"as-vanilla": vanilla, "collapsed-on-test": mixed})


def test_the_distance_by_hand():
    """L_rec is e^0.2 times vanilla's on one of two splits where the paper has no change
    at all, and D_KL is as it is: two of eight numbers are off."""
    vanilla = np.array([[[80.0, 20.0], [80.0, 20.0]]])
    ours = vanilla.copy()
    ours[0, 1, 0] *= math.exp(0.2)
    share = 80 * (math.exp(0.2) - 1) / 100
    expected = 100 * math.sqrt((0.2**2 + share**2) / 8)
    nothing = [vanilla, vanilla]
    assert distance(ours, vanilla, [nothing]) == pytest.approx([expected])
    # images of another size, and a paper that has the same pattern
    assert distance(3 * ours, 3 * vanilla, [nothing]) == pytest.approx([expected])
    assert distance(ours, vanilla, [[5 * ours, 5 * vanilla]]) == pytest.approx([0])
    both = distance(ours, vanilla, [nothing, [ours, vanilla]])
    assert both == pytest.approx([expected / math.sqrt(2)])


def test_the_reading_with_the_papers_pattern_is_the_best(runs):
    table = readings_table(PLAN, runs)
    assert list(table.columns) == READINGS.columns
    assert not table.duplicated(READINGS.key).any() and len(table) == 3 * 2 * 2
    by_model = table.groupby("model", sort=False)["distance"]
    assert (by_model.nunique() == 1).all() and set(table["n_seeds"]) == {3}
    found = by_model.first()
    assert found["as-vanilla"] == pytest.approx(table["vanilla_distance"].iloc[0])
    assert found["as-in-the-paper"] < found["collapsed-on-test"] < found["as-vanilla"]
    assert set(table.loc[table["best"] == "yes", "model"]) == {"as-in-the-paper"}
    row = table.set_index(["model", "split", "paper_dataset"])
    row = row.loc["as-in-the-paper", "test", "mnist"]
    assert row["row"] == ROW
    assert row["reconstruction_ratio"] == pytest.approx(141.22 / 112.33)
    assert row["paper_latent_kl_ratio"] == pytest.approx(7.40 / 11.09)
    assert row["paper_latent_kl_difference"] == pytest.approx(7.40 - 11.09)
    assert row["latent_kl_difference"] == pytest.approx((7.40 - 11.09) * 1.01 / 4)
    assert row["reconstruction"] == pytest.approx(141.22 * 1.01 / 4)


def test_a_seed_counts_where_it_has_all_terms(runs):
    """A collapse that did not finish is not the best, whatever it would have been."""
    lost = (runs["model"] == "as-in-the-paper") & (runs["split"] == "test")
    runs.loc[lost, "latent_kl"] = math.nan
    runs.loc[(runs["model"] == "as-vanilla") & (runs["seed"] == 1), TERMS] = math.nan
    table = readings_table(PLAN, runs).set_index("model")
    lost = table.loc["as-in-the-paper"]
    assert (lost["n_seeds"] == 0).all() and lost["distance"].isna().all()
    assert lost["paper_latent_kl_ratio"].notna().all()
    assert set(table.loc["as-vanilla", "n_seeds"]) == {2}
    assert set(table.index[table["best"] == "yes"]) == {"collapsed-on-test"}
    without = readings_table(PLAN, runs[runs["model"] != "vanilla"])
    assert (without["n_seeds"] == 0).all() and (without["best"] == "").all()


def test_the_report_has_a_section_on_them(runs):
    table = readings_table(PLAN, runs)
    nothing = pd.DataFrame(columns=[*STATUS, "departures"])
    page = table1_page(PLAN, nothing, nothing, table, nothing, [])
    [line] = [line for line in page.splitlines() if "As-In-The-Paper" in line]
    assert "1.26 [1.26]" in line and "0.67 [0.67]" in line and "**" in line
    assert page.count("**") == 2
    assert "readings" not in table1_page(PLAN, nothing, nothing, None, nothing, [])


def test_the_study_of_readings_has_every_row_and_every_reading():
    path, models = ROOT / "config" / "readings.yaml", ROOT / "config" / "models.yaml"
    study = load_study(source=path, models=models)
    others = {n: m.reading_of for n, m in load_models(models).items() if m.reading_of}
    assert study.readings == others and set(study.models) == {*MODELS, *others}
    values = study.study.model_dump(mode="json")
    values["models"] = ["vanilla", "compound-mixture-mean", "compound-mixture-rank-16"]
    alone = load_study(values, source=path, models=models)
    assert alone.readings == {}, "one reading of a row alone"


@pytest.mark.parametrize("row", ["vanila", "b"])
def test_a_reading_is_of_a_row_of_table_1(tmp_path, row):
    path = tmp_path / "models.yaml"
    path.write_text(
        f"vanilla: {{title: A}}\nb: {{title: B, control: true, reading_of: {row}}}\n"
    )
    with pytest.raises(SettingsError, match=f"b: reading_of: found .*{row}.*vanilla"):
        load_models(path)
