"""What each model closes of vanilla's gap, its price, and the sentence on both."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from comvae.errors import ResultsError
from comvae.results import paths
from comvae.results.formats import PRICE, RUNS
from comvae.results.headline import rivals_headline
from comvae.results.quantities import names
from comvae.results.report import write_report
from comvae.results.tables import write_tables
from comvae.results.tables.rivals import load_price, rivals_table
from comvae.study.plan import Plan
from tests.results.written import write_results

MODELS = ("vanilla", "compound-mixture", "half-asleep", "svi-10")
GAPS = {  # by seed, on test images; the gain of the last two is sure
    "vanilla": [1.0, 2.0, 3.0],
    "compound-mixture": [1.2, 1.8, 3.1],
    "half-asleep": [0.8, 1.8, 2.81],
    "svi-10": [0.5, 1.5, 2.49],
}
SECONDS = [0.01, 0.6, 0.01, 0.2]
PLAN = Plan("t", ["d"], dict.fromkeys(MODELS, ""), [], None, 8, rivals=["svi-10"])


def runs() -> pd.DataFrame:
    spent = dict(parameters=100.0, train_seconds=2.0)
    rows = [
        dict(dataset="d", model=model, seed=seed, split=split, **spent)
        | {"amortization_gap": gap - (split == "train")}
        for model, gaps in GAPS.items()
        for seed, gap in enumerate(gaps)
        for split in ("train", "test")
    ]
    return pd.DataFrame(rows, columns=RUNS.columns)


def price(models=MODELS) -> pd.DataFrame:
    rows = [
        dict(dataset="d", model=model, seed=0, encode_seconds=seconds, memory=1.0)
        | dict(decoder_evaluations=10.0 * (model == "svi-10"), device="cpu", threads=1)
        for model, seconds in zip(MODELS, SECONDS, strict=True)
        if model in models
    ]
    return pd.DataFrame(rows, columns=PRICE.columns)


def test_a_row_has_what_is_closed_and_what_it_costs():
    table = rivals_table(PLAN, runs(), price()).set_index("model")
    assert list(table.index) == list(MODELS)
    assert table.loc["svi-10", "effect"] == pytest.approx(1.51 / 3)
    assert table.loc["svi-10", "amortization_gap"] == pytest.approx(4.49 / 3)
    assert (table.loc["svi-10", names("price")] == [0.2, 10, 1]).all()
    assert (table[["parameters", "train_seconds"]] == [100, 2]).all(axis=None)
    assert np.isnan(table.loc["vanilla", "effect"]), "it is the reference"
    assert table.loc["compound-mixture", "n_seeds"] == 3


def test_without_a_price_the_gains_stand_alone():
    table = rivals_table(PLAN, runs(), price(["vanilla"])).set_index("model")
    assert table["encode_seconds"].notna().tolist() == [True, False, False, False]
    assert table["effect"].notna().sum() == 3


def test_the_sentence_names_the_best_the_best_of_one_pass_and_the_compound():
    titles = {"svi-10": "SVI"}
    said = rivals_headline(rivals_table(PLAN, runs(), price()), titles, "d")
    assert said == (
        "On d, vanilla's amortization gap on test images is 2.00 nats per image, "
        "narrowed most by SVI, +0.50 ± 0.01 at 20 times; in one pass most by "
        "half-asleep, +0.20 ± 0.01 at 1 times; by compound-mixture, \u22120.03 ± 0.52 "
        "(inside the noise) at 60 times; plus is narrower, times are of vanilla's time "
        "to encode."
    )


def test_the_sentence_says_where_nothing_is_narrower_or_measured():
    table = rivals_table(PLAN, runs(), price([]))
    few = table[table["model"].isin(MODELS[:2])]
    assert rivals_headline(few, {}, "d") == (
        "On d, vanilla's amortization gap on test images is 2.00 nats per image, which "
        "no model really narrows; compound-mixture, \u22120.03 ± 0.52 (inside the "
        "noise); plus is narrower."
    )
    assert rivals_headline(None, {}, "d") == rivals_headline(few[:1], {}, "d") == ""


def test_the_tables_of_a_study_have_them_where_it_has_rivals(tmp_path):
    write_results(tmp_path, models=MODELS[:2], epochs=2)
    plan = Plan.read(tmp_path)
    folder = plan.folder(tmp_path)
    assert "rivals" not in write_tables(tmp_path, plan)
    with_rivals = replace(plan, rivals=["compound-mixture"])
    table = write_tables(tmp_path, with_rivals)["rivals"]
    assert table["effect"].notna().sum() == 1 and table["memory"].isna().all()
    price().replace("d", "digits").to_csv(paths.price(folder), index=False)
    table = write_tables(tmp_path, with_rivals)["rivals"]
    assert table["encode_seconds"].tolist() == SECONDS[:2]
    told = write_report(tmp_path, with_rivals)["gaps"].read_text()
    assert "gap closed on test images, and price" in told
    assert "| +0.20 ± 0.00 | 12,345 | 4.167 | 0.600 | 0.000 | 1.000 | 3 |" in told
    write_tables(tmp_path, plan)
    assert not paths.table(folder, "rivals").exists()
    paths.price(folder).write_text("dataset,model\n")
    with pytest.raises(ResultsError, match=r"price\.csv is damaged"):
        load_price(folder)


def with_steps(results, plan, *models):
    """The plan with models of so many steps by their names, and with their svi.csv: the
    gap of seed s after k steps is 2 + s / 10 - k / 10."""
    blocks = []
    for model in models:
        block = replace(plan.blocks[0], model=model)
        rows = [
            dict(seed=seed, split=split, optimiser=optimiser, steps=steps, elbo=-9.0)
            | dict(evaluations=8.0 * steps)
            | dict(amortization_gap=2 + seed / 10 - steps / 10 - (split == "train"))
            for seed in block.seeds
            for split in ("train", "test")
            for optimiser in ("momentum", "quasi-newton")
            for steps in (0, 1, int(model.split("-")[1]))
        ]
        folder = paths.evaluation_folder(results, block.folder, block.measured)
        folder.mkdir(parents=True)
        pd.DataFrame(rows).to_csv(paths.svi(folder), index=False)
        blocks.append(block)
    titles = plan.models | dict.fromkeys(models, "")
    whole = [*plan.blocks, *blocks]
    return replace(plan, models=titles, blocks=whole, rivals=list(models))


def test_the_curve_has_the_time_of_its_steps(tmp_path):
    """Of the model with the most steps; a step costs as many decoder evaluations as it
    has, each what the whole search costs beyond vanilla's encoder."""
    write_results(tmp_path, models=["vanilla"], epochs=2)
    plan = Plan.read(tmp_path)
    assert "svi" not in write_tables(tmp_path, replace(plan, rivals=["vanilla"]))
    plan = with_steps(tmp_path, plan, "svi-5", "svi-2", "other-9")
    curve = write_tables(tmp_path, plan)["svi"]
    assert set(curve["model"]) == {"svi-5"}
    assert curve["steps"].tolist() == [0, 1, 5]
    assert curve["amortization_gap"].tolist() == pytest.approx([2.1, 2.0, 1.6])
    assert curve["encode_seconds"].isna().all(), "nobody measured it"
    rows = [("vanilla", 0.01, 0.0), ("svi-5", 0.41, 40.0)]
    table = price(["vanilla", "svi-10"]).assign(dataset="digits")
    table[["model", "encode_seconds", "decoder_evaluations"]] = rows
    table.to_csv(paths.price(plan.folder(tmp_path)), index=False)
    curve = write_tables(tmp_path, plan)["svi"]
    assert curve["encode_seconds"].tolist() == pytest.approx([0.01, 0.09, 0.41])
