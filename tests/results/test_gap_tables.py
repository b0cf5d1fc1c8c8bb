"""Measured gaps -> tables: means, quantiles, intervals by hand; what is missing."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from comvae.errors import ResultsError
from comvae.files import write_sum
from comvae.results.gap_files import load_image_gaps, read_gaps
from comvae.results.paths import gap_images
from comvae.results.quantities import QUANTITIES, names
from comvae.results.tables import gaps, write_tables
from comvae.results.tables.gaps import AVERAGED, MEASURED, image_means
from comvae.study.plan import Plan
from tests.results.written import (
    GAP_IMAGES,
    MEASURED_WITH,
    block_of,
    config_of,
    folder_of,
    gap_value,
    write_results,
)

MODELS = {"vanilla": "Vanilla", "compound-mixture": "Compound"}
SEEDS = (0, 1, 2)


def bad(results):
    return folder_of(results, "evaluations", "compound-mixture") / "gaps.parquet"


def plan_of(images: int = len(GAP_IMAGES)) -> Plan:
    blocks = [block_of(config_of(model)) for model in MODELS]
    return Plan("t", ["digits"], MODELS, blocks, None, images)


@pytest.fixture
def results(tmp_path):
    return write_results(tmp_path, models=list(MODELS), seeds=SEEDS)


def values(place, seed, split, quantity) -> np.ndarray:
    """One quantity of every image of the fixture."""
    rows = pd.DataFrame([gap_value(place, seed, split, image) for image in GAP_IMAGES])
    rows = rows.assign(
        approximation_gap=rows["log_px"] - rows["elbo_optimal"],
        amortization_gap=rows["elbo_optimal"] - rows["elbo"],
        inference_gap=rows["log_px"] - rows["elbo"],
        amortization_gap_mean_weights=rows["elbo_optimal"] - rows["elbo_mean_weights"],
        amortization_gap_marginal=rows["elbo_optimal"] - rows["elbo_marginal"],
        weight_noise_gap=rows["elbo_mean_weights"] - rows["elbo"],
    )
    return rows[quantity].to_numpy()


def test_runs_hold_the_means_over_the_images(results):
    runs = write_tables(results, plan_of())["runs"].set_index(
        ["model", "seed", "split"]
    )
    for place, model in enumerate(MODELS):
        for seed in SEEDS:
            for split in ("train", "test"):
                for quantity in AVERAGED:
                    expected = values(place, seed, split, quantity).mean()
                    assert runs.loc[(model, seed, split), quantity] == pytest.approx(
                        expected
                    )
            assert runs.loc[(model, seed, "train-running"), MEASURED].isna().all()


def test_generalisation_is_the_gap_of_test_beyond_that_of_training_images(results):
    tables = write_tables(results, plan_of())
    runs = tables["runs"].set_index(["model", "seed", "split"])["generalisation_gap"]
    for place, model in enumerate(MODELS):
        wider = [
            values(place, seed, "test", "inference_gap").mean()
            - values(place, seed, "train", "inference_gap").mean()
            for seed in SEEDS
        ]
        np.testing.assert_allclose(runs[model].xs("test", level="split"), wider)
    assert runs.drop("test", level="split").isna().all()
    rows = tables["gaps"].query("quantity == 'generalisation_gap'")
    assert set(rows["split"]) == {"test"} and (rows["n_seeds"] == 3).all()
    assert rows.set_index("model").loc[model, "mean"] == pytest.approx(np.mean(wider))


def test_the_gaps_of_a_run_add_up(results):
    runs = write_tables(results, plan_of())["runs"].dropna(subset="log_px")
    total = runs["elbo"] + runs["approximation_gap"] + runs["amortization_gap"]
    np.testing.assert_allclose(total, runs["log_px"], atol=1e-12)
    np.testing.assert_allclose(runs["elbo"] + runs["inference_gap"], runs["log_px"])
    parts = runs["amortization_gap_mean_weights"] + runs["weight_noise_gap"]
    np.testing.assert_allclose(parts, runs["amortization_gap"], atol=1e-12)
    assert (runs.loc[runs["model"] == "vanilla", "weight_noise_gap"] == 0).all()
    assert len(runs) == 2 * 3 * 2


def test_single_precision_in_the_file_costs_no_nat(results):
    for path in results.glob("evaluations/*/*/*/*/gaps.parquet"):
        table = pd.read_parquet(path)
        numbers = table.select_dtypes("float").columns
        table.astype(dict.fromkeys(numbers, "float32")).to_parquet(path)
    tables = write_tables(results, plan_of())
    parts = tables["attribution"].set_index(["split", "part"])["effect"].unstack("part")
    total = parts.drop(columns="elbo").sum(axis=1)
    np.testing.assert_allclose(total, parts["elbo"], rtol=0, atol=1e-12)


def test_gaps_are_over_seeds_and_images(results):
    table = write_tables(results, plan_of())["gaps"]
    expected = [name for name in names(table="gaps") if not QUANTITIES[name].optional]
    assert len(table) == 2 * 2 * len(expected) + 2  # and how inference generalises
    table = table.set_index(["model", "split", "quantity"])
    for quantity in ("amortization_gap", "log_px", "amortization_gap_marginal"):
        row = table.loc["compound-mixture", "test", quantity]
        each = [values(1, seed, "test", quantity) for seed in SEEDS]
        means = [images.mean() for images in each]
        assert row["mean"] == pytest.approx(np.mean(means))
        assert row["std"] == pytest.approx(np.std(means, ddof=1), abs=1e-9)
        if quantity == "log_px":  # the gaps are the same for all seeds
            expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
            assert row["ci_low"] == pytest.approx(expected.low)
            assert row["ci_high"] == pytest.approx(expected.high)
        assert (row["n_seeds"], row["images"]) == (3, len(GAP_IMAGES))
        for name, share in {"q05": 0.05, "median": 0.5, "q95": 0.95}.items():
            quantiles = [np.quantile(images, share) for images in each]
            assert row[name] == pytest.approx(np.mean(quantiles))


def test_the_interval_over_seeds_and_images_is_of_the_gaps(results):
    """Those of vanilla are the same for all seeds, and differ from image to image."""
    before = write_tables(results, plan_of())["gaps"]
    rows = before.set_index(["model", "split", "quantity"])
    row = rows.loc["vanilla", "test", "amortization_gap"]
    each = values(0, 0, "test", "amortization_gap")
    half = 1.96 * each.std() / np.sqrt(len(each))
    assert row["ci_high"] - row["ci_low"] < 1e-6
    assert row["both_low"] == pytest.approx(row["mean"] - half, rel=0.15 * half)
    assert row["both_high"] == pytest.approx(row["mean"] + half, rel=0.15 * half)
    assert math.isnan(rows.loc["vanilla", "test", "log_px"]["both_low"])
    table = pd.read_parquet(bad(results))
    table.sample(frac=1, random_state=0).to_parquet(bad(results))
    after = write_tables(results, plan_of())["gaps"]
    pd.testing.assert_frame_equal(before, after)


def test_annealing_is_compared_on_the_images_that_it_ran_on(results):
    """Its own mean would be over other images than that of importance sampling."""
    table = write_tables(results, plan_of())["gaps"]
    here = (table["model"] == "vanilla") & (table["split"] == "test")
    rows = table[here].set_index("quantity")
    assert "log_px_ais" not in rows.index
    row = rows.loc["ais_difference"]
    assert row["images"] == sum(image < 4 for image in GAP_IMAGES)
    assert row["mean"] == pytest.approx(-0.01)


def test_what_is_withheld_is_counted_and_as_the_others_in_means(results):
    """Of one image in eight a run has no log p(x); of one in 80 the others tell it."""
    before = write_tables(results, plan_of())
    table = pd.read_parquet(bad(results))
    lost = (table["image"] == GAP_IMAGES[0]) & (table["split"] == "test")
    table = table.assign(withheld=lost.astype(float))
    table.loc[lost, "log_px"] = math.nan
    table.to_parquet(bad(results))
    key = ["model", "split", "quantity"]
    where = "compound-mixture", "test"
    tables = write_tables(results, plan_of())
    rows = tables["gaps"].set_index(key)
    assert rows.loc[(*where, "withheld"), "mean"] == 1 / len(GAP_IMAGES)
    assert rows.loc[(*where, "approximation_gap"), "images"] == len(GAP_IMAGES) - 1
    runs = tables["runs"].query("model == @where[0] and split == 'test'")
    assert runs[["log_px", "approximation_gap"]].isna().all(axis=None)
    assert runs["amortization_gap"].notna().all()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gaps, "MOST_WITHHELD", 0.2)
        tables = write_tables(results, plan_of())
    runs = tables["runs"].query("model == @where[0] and split == 'test'")
    known = before["runs"].query("model == @where[0] and split == 'test'")
    for name in ("log_px", "approximation_gap", "inference_gap"):  # the same everywhere
        np.testing.assert_allclose(runs[name], known[name])
    rows = tables["gaps"].set_index(key)
    for name in ("log_px", "approximation_gap"):
        assert rows.loc[(*where, name), "mean"] == pytest.approx(runs[name].mean())
    assert math.isfinite(rows.loc[(*where, "approximation_gap"), "both_low"])


def test_gaps_of_other_settings_are_not_those_of_the_plan(results):
    """Two studies of the same blocks, measured otherwise."""
    plan = plan_of()
    blocks = [replace(block, measured="0" * 12) for block in plan.blocks]
    other = write_tables(results, replace(plan, blocks=blocks))["cells"]
    assert set(other["status"]) == {"missing"}
    assert set(write_tables(results, plan)["cells"]["gap"]) == {"measured"}


def overwrite(content):
    return lambda path: path.write_bytes(content)


def change(**columns):
    def damage(path):
        pd.read_parquet(path).assign(**columns).to_parquet(path)

    return damage


def rows(choose):
    def damage(path):
        table = pd.read_parquet(path)
        choose(table).to_parquet(path)

    return damage


DAMAGES = {
    "not there": (lambda path: path.unlink(), "logs/gap/digits/compound-mixture"),
    "empty": (overwrite(b""), "damaged"),
    "no parquet": (overwrite(b"\x80\xff" * 100), "damaged"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:400]), "damaged"),
    "without column": (rows(lambda t: t.drop(columns="log_px")), "no column `log_px`"),
    "text": (change(elbo="high"), "elbo"),
    "an image twice": (rows(lambda t: pd.concat([t, t.iloc[:1]])), "twice"),
    "not finite": (change(log_px=math.nan), "not finite"),
    "other images": (rows(lambda t: t.assign(image=t["image"] + 1)), "other images"),
    "a split missing": (rows(lambda t: t[t["split"] == "test"]), "other images"),
    "without rows": (rows(lambda t: t.iloc[:0]), "other images"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_gaps_that_cannot_be_read_leave_the_other_tables_intact(results, name):
    damage, reason = DAMAGES[name]
    before = write_tables(results, plan_of())
    damage(bad(results))
    after = write_tables(results, plan_of())
    assert before["table1"].equals(after["table1"])
    trained = [c for c in before["runs"].columns if c not in MEASURED]
    assert before["runs"][trained].equals(after["runs"][trained])
    cells = after["cells"].set_index("model")
    assert (cells["status"] == "finished").all()
    assert (cells.loc["compound-mixture", "gap"] == "missing").all()
    assert cells.loc["compound-mixture", "gap_detail"].str.contains(reason).all()
    assert (cells.loc["vanilla", "gap"] == "measured").all()
    runs = after["runs"].set_index("model")
    assert runs.loc["compound-mixture", MEASURED].isna().all(axis=None)
    gaps = after["gaps"].set_index("model")
    assert (gaps.loc["compound-mixture", "n_seeds"] == 0).all()
    assert (gaps.loc["vanilla", "n_seeds"] == 3).all()
    assert (after["attribution"]["n_seeds"] == 0).all()
    narrower = after["claims"].set_index("claim").loc["compound-mixture-narrows-gap"]
    assert narrower["verdict"] == "not run"


def test_one_seed_without_gaps_is_one_missing_cell(results):
    rows(lambda t: t[t["seed"] != 1])(bad(results))
    tables = write_tables(results, plan_of())
    cells = tables["cells"].set_index(["model", "seed"])["gap"]
    missing = {key for key, status in cells.items() if status == "missing"}
    assert missing == {("compound-mixture", 1)}
    assert (tables["attribution"]["n_seeds"] == 2).all()


def test_images_are_compared_with_the_first_block_where_no_list_is(results):
    gap_images(results, "digits", MEASURED_WITH).unlink()
    assert set(write_tables(results, plan_of())["cells"]["gap"]) == {"measured"}
    rows(lambda t: t.assign(image=t["image"] + 1))(bad(results))
    cells = write_tables(results, plan_of())["cells"].set_index("model")["gap"]
    assert set(cells["vanilla"]) == {"measured"}
    assert set(cells["compound-mixture"]) == {"missing"}


def test_gaps_that_are_not_as_written_are_damaged(results):
    path = bad(results)
    write_sum(path)
    whole = read_gaps(path)
    whole.assign(log_px=0.0).to_parquet(path, index=False)
    with pytest.raises(ResultsError, match=r"gaps\.parquet is damaged: found SHA-256"):
        read_gaps(path)


def test_a_damaged_list_of_images_is_named(results):
    path = gap_images(results, "digits", MEASURED_WITH)
    path.write_text(json.dumps({"train": 3}))
    cells = write_tables(results, plan_of())["cells"]
    assert set(cells["gap"]) == {"missing"}
    assert cells["gap_detail"].str.contains("gap-images-").all()


def test_unfinished_runs_and_studies_without_gaps_have_no_gap_status(tmp_path):
    lost = [("digits", "vanilla", 1)]
    results = write_results(tmp_path, models=list(MODELS), seeds=SEEDS, failed=lost)
    cells = write_tables(results, plan_of())["cells"].set_index(["model", "seed"])
    assert cells.loc[("vanilla", 1), "gap"] == ""
    assert cells.loc[("vanilla", 0), "gap"] == "measured"
    tables = write_tables(results, plan_of(images=0))
    assert set(tables["cells"]["gap"]) == {""}
    assert tables["runs"][AVERAGED].isna().all(axis=None)
    assert len(tables["gaps"]) == len(tables["attribution"]) == 0


def test_columns_that_came_later_are_absent(results):
    path = bad(results)
    columns = [*names("gap"), "start"]
    kept = pd.read_parquet(path).drop(columns=[*columns], errors="ignore")
    needed = pd.read_parquet(path)[["elbo", "elbo_optimal", "log_px"]]
    pd.concat([kept, needed], axis=1).to_parquet(path)
    tables = write_tables(results, plan_of())
    assert set(tables["cells"]["gap"]) == {"measured"}
    runs = tables["runs"].query("split == 'test'").set_index("model")
    assert runs.loc["compound-mixture", "amortization_gap"].notna().all()
    assert runs.loc["compound-mixture", "elbo_marginal"].isna().all()
    assert runs.loc["vanilla", "elbo_marginal"].notna().all()


def test_a_file_of_gaps_is_kept_until_it_changes(results):
    first = load_image_gaps(bad(results))
    assert load_image_gaps(bad(results)) is first
    assert (first["amortization_gap"] == first["elbo_optimal"] - first["elbo"]).all()
    rows(lambda t: t[t["seed"] == 0])(bad(results))
    assert set(load_image_gaps(bad(results))["seed"]) == {0}
    (bad(results)).unlink()
    assert load_image_gaps(bad(results)) is None


def test_means_are_by_seed_and_split(results):
    means = image_means(read_gaps(bad(results)))
    assert set(means) == {
        (seed, split) for seed in SEEDS for split in ("train", "test")
    }
    assert set(means[0, "test"]) == set(MEASURED)
