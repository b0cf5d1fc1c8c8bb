"""Tables: statistics by hand and by scipy, and a row for what is not there."""

import math
from dataclasses import replace

import pandas as pd
import pytest
from scipy import stats

from comvae.files import AGAIN, write_sum
from comvae.results.formats import TABLES
from comvae.results.quantities import PAPER_METRICS, QUANTITIES, SPLITS
from comvae.results.statistics import summary
from comvae.results.tables import lacking, write_tables
from comvae.results.tables.finished import collect
from comvae.results.tables.paper import paper_values, table1
from comvae.study.plan import Plan
from tests.results.written import (
    MODELS,
    block_of,
    config_of,
    evaluation_of,
    write_block,
)

TERMS = [*PAPER_METRICS, "weight_kl"]
WHY = "latent_kl is nan in epoch 2"


def reconstruction(seed: int, split: str) -> float:
    return 30 + seed + 0.25 * list(SPLITS).index(split)


def terms(seed: int, split: str, when: int | str) -> dict[str, float]:
    """The last epoch of three and the mode `default` have the smallest values."""
    shift = 10.0 * (3 - when) if isinstance(when, int) else len(when) - len("default")
    rec = reconstruction(seed, split) + shift
    return dict(zip(TERMS, [rec, 5.0, rec + 5, 7.0], strict=True))


def block(model, seeds=(0, 1), dataset="digits"):
    return block_of(config_of(model, seeds, 3, dataset))


GOOD, BAD = block("vanilla"), block("compound-mixture")


def written(results, block, failed=(), **record):
    config = config_of(block.model, block.seeds, 3, block.dataset)
    record = {"train_seconds": 30.0, "parameters": 4711} | record
    lost = dict.fromkeys(failed, WHY)
    return write_block(results, config, terms, failed=lost, **record)


def test_written_tables_have_their_columns(tmp_path):
    """But runs.csv none that is optional and that no run has; and no other readings
    and no foreign images, no table of them."""
    written(tmp_path, GOOD)
    plan = Plan("t", ["digits"], {"vanilla": "Vanilla"}, [GOOD], None)
    folder = plan.folder(tmp_path) / "tables"
    stale = folder / "readings.csv"
    stale.parent.mkdir(parents=True)
    stale.touch()
    write_tables(tmp_path, plan)
    optional = {q.name for q in QUANTITIES.values() if q.optional}
    asked_for = {"readings", "ood", "rivals", "svi"}
    expected_tables = {k: v for k, v in TABLES.items() if k not in asked_for}
    for name, expected in expected_tables.items():
        table = pd.read_csv(folder / f"{name}.csv")
        columns = [c for c in expected.columns if c not in optional]
        assert list(table.columns) == columns
    assert {path.stem for path in folder.iterdir()} == {*expected_tables, "complete"}
    write_tables(tmp_path, replace(plan, blocks=[GOOD, BAD]))  # one is missing
    assert {path.stem for path in folder.iterdir()} == {*expected_tables}


def test_a_finished_run_has_three_rows_with_its_provenance(tmp_path):
    files = written(tmp_path, GOOD, git_commit="g" * 12, device="a GPU")
    runs, cells = collect(tmp_path, [GOOD])
    assert len(runs) == 2 * 3
    for row in runs.to_dict("records"):
        assert row["reconstruction"] == reconstruction(row["seed"], row["split"])
        assert row["negative_elbo"] == row["reconstruction"] + row["latent_kl"]
        assert (row["dataset"], row["model"]) == ("digits", "vanilla")
        assert (row["parameters"], row["epochs"], row["weight_kl"]) == (4711, 3, 7)
        assert row["train_seconds"] == 15, "the block's wall time by its seeds"
        assert (row["device"], row["git_commit"]) == ("a GPU", "g" * 12)
        assert row["config_hash"] == files.config.config_hash
    assert list(cells["status"]) == ["finished"] * 2
    assert list(cells["block"]) == ["seeds-0-1"] * 2
    assert list(cells["detail"]) == [""] * 2


def test_statistics_by_hand():
    """Of 1, 2, 6: mean 3, variance ((-2)^2 + (-1)^2 + 3^2) / 2 = 7; t_2 at 97.5% is
    4.302653."""
    found = summary(pd.Series([1.0, 2.0, 6.0]))
    half = 4.302653 * math.sqrt(7) / math.sqrt(3)
    assert found["mean"] == 3 and found["n_seeds"] == 3
    assert found["std"] == pytest.approx(math.sqrt(7))
    assert found["ci_low"] == pytest.approx(3 - half, rel=1e-6)
    assert found["ci_high"] == pytest.approx(3 + half, rel=1e-6)


@pytest.mark.parametrize("n", [2, 5, 20])
def test_statistics_by_scipy(n):
    values = pd.Series([math.sin(7 * i) + 100 for i in range(n)])
    found = summary(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found["ci_low"] == pytest.approx(expected.low)
    assert found["ci_high"] == pytest.approx(expected.high)
    assert found["std"] == pytest.approx(stats.tstd(values))


def test_statistics_of_few_seeds():
    """One has a mean and no interval; those that are not there do not count."""
    one, none = summary(pd.Series([3.0])), summary(pd.Series([math.nan, math.nan]))
    assert (one["mean"], one["n_seeds"], none["n_seeds"]) == (3, 1, 0)
    for name in ("std", "ci_low", "ci_high"):
        assert math.isnan(one[name]) and math.isnan(none[name])
    assert math.isnan(none["mean"])
    assert summary(pd.Series([1.0, math.nan, 3.0])) == summary(pd.Series([1.0, 3.0]))


def test_table1_is_over_the_seeds_of_each_split(tmp_path):
    written(tmp_path, GOOD)
    table = table1(collect(tmp_path, [GOOD])[0]).set_index(["split", "metric"])
    assert len(table) == len(SPLITS) * len(PAPER_METRICS)
    for split in SPLITS:
        cell = table.loc[split, "reconstruction"]
        values = [reconstruction(seed, split) for seed in (0, 1)]
        assert cell["mean"] == pytest.approx(sum(values) / 2)
        assert cell["std"] == pytest.approx(abs(values[0] - values[1]) / math.sqrt(2))
        assert cell["n_seeds"] == 2
    assert table["paper"].isna().all(), "the paper has no digits"


def test_the_papers_values_are_whole_and_add_up():
    """Read off Table 1: the upper row of a model is training, the lower one testing."""
    paper = paper_values()
    assert paper["mnist", "vanilla", "train-running", "reconstruction"] == 114.02
    assert paper["mnist", "compound-gaussian", "test", "negative_elbo"] == 167.56
    assert paper["emnist-mnist", "compound-mixture", "test", "latent_kl"] == 12.45
    cells = {key[:3] for key in paper}
    assert cells == {
        (dataset, model, split)
        for dataset in ("mnist", "emnist-mnist")
        for model in MODELS
        for split in ("test", "train-running")
    }
    for cell in cells:
        rec, kl, both = (paper[*cell, metric] for metric in PAPER_METRICS)
        assert abs(rec + kl - both) < 0.011, cell


def test_the_papers_value_stands_beside_ours(tmp_path):
    mnist = block("compound-mixture", (0,), "mnist")
    written(tmp_path, mnist)
    table = table1(collect(tmp_path, [mnist])[0]).set_index(["split", "metric"])
    assert table.loc[("test", "reconstruction"), "paper"] == 107.77
    assert table.loc[("train-running", "negative_elbo"), "paper"] == 122.77
    assert table.loc["train", "paper"].isna().all(), "the paper has no such row"


def without_seed_1(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(b"1,"))


def cut_in_a_row(content: bytes) -> bytes:
    """A number that is cut off is another number."""
    return content.rstrip()[:-1]


def first_line(content: bytes) -> bytes:
    return content.splitlines(keepends=True)[0]


def twice(content: bytes) -> bytes:
    return content + content.splitlines(keepends=True)[-1]


DAMAGES = {  # file, new content (None: no file), what the message says
    "not trained": ("training.json", lambda c: None, "not trained"),
    "not evaluated": ("metrics.csv", lambda c: None, "is missing"),
    "no history": ("history.csv", lambda c: None, "is missing"),
    "empty": ("metrics.csv", lambda c: b"", "is empty"),
    "without rows": ("metrics.csv", first_line, "no rows"),
    "cut in a row": ("metrics.csv", cut_in_a_row, "cut off"),
    "without a seed": ("metrics.csv", without_seed_1, "lacks seed 1 train"),
    "a row twice": ("metrics.csv", twice, "two rows for 1, train"),
    "history without a seed": ("history.csv", without_seed_1, "seed 1 train-running"),
    "record of another shape": ("training.json", lambda c: b"[1, 2]", "is damaged"),
    "failed of another shape": (
        "training.json",
        lambda c: c.replace(b'"failed": {}', b'"failed": [1]'),
        "is damaged",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_block_is_rows_that_say_so(tmp_path, name):
    """The sound block beside it is in the tables as if nothing had happened."""
    file, change, reason = DAMAGES[name]
    _, files = [written(tmp_path, block) for block in (GOOD, BAD)]
    path = (files.evaluation if file == "metrics.csv" else files.run) / file
    content = change(path.read_bytes())
    path.unlink() if content is None else path.write_bytes(content)
    runs, cells = collect(tmp_path, [GOOD, BAD])

    assert len(runs) == 2 * 2 * 3 and len(cells) == 2 * 2
    bad = cells[cells["model"] == BAD.model]
    gone = {cell.seed for cell in bad.itertuples() if cell.status == "missing"}
    assert 1 in gone
    assert bad.loc[bad["status"] == "missing", "detail"].str.contains(reason).all()
    empty = runs[(runs["model"] == BAD.model) & runs["seed"].isin(gone)]
    assert len(empty) == 3 * len(gone)
    assert empty[TERMS].isna().all(axis=None)

    table = table1(runs).set_index(["model", "split"])
    assert (table.loc[BAD.model, "n_seeds"] == 2 - len(gone)).all()
    assert (table.loc[GOOD.model, "n_seeds"] == 2).all()
    good = runs[runs["model"] == GOOD.model]
    assert good[TERMS].astype(float).notna().all(axis=None)
    assert (cells.loc[cells["model"] == GOOD.model, "status"] == "finished").all()


def test_a_history_that_is_not_as_written_is_damaged(tmp_path):
    written(tmp_path, GOOD, sha256={"history.csv": "0" * 64})
    written(tmp_path, BAD)
    _, cells = collect(tmp_path, [GOOD, BAD])
    assert list(cells["status"]) == ["missing"] * 2 + ["finished"] * 2
    assert cells["detail"][0].endswith(AGAIN) and "SHA-256" in cells["detail"][0]
    assert lacking(cells.assign(gap_detail="")) == [cells["detail"][0]]


def test_metrics_that_are_not_as_written_are_damaged(tmp_path):
    """A changed digit is a number all the same."""
    path = written(tmp_path, GOOD).evaluation / "metrics.csv"
    write_sum(path)
    assert set(collect(tmp_path, [GOOD])[1]["status"]) == {"finished"}
    path.write_text(path.read_text().replace("1", "2"))
    cells = collect(tmp_path, [GOOD])[1]
    assert set(cells["status"]) == {"missing"}
    assert cells["detail"].str.contains("metrics.csv is damaged: found SHA-256").all()


def test_a_value_that_is_not_finite_is_not_finished(tmp_path):
    """Training may end just before the weights blow up; evaluation then shows it."""
    written(tmp_path, GOOD)
    path = evaluation_of(tmp_path, GOOD) / "metrics.csv"
    table = pd.read_csv(path)
    table.loc[table["seed"] == 1, PAPER_METRICS] = math.inf
    table.to_csv(path, index=False)
    runs, cells = collect(tmp_path, [GOOD])
    assert cells.set_index("seed").loc[1, "status"] != "finished"
    assert cells.set_index("seed").loc[1, "detail"]
    assert runs.loc[runs["seed"] == 1, TERMS].isna().all(axis=None)


def test_where_to_look_is_named(tmp_path):
    """The log of the training, or of its dataset where that is not there."""
    _, cells = collect(tmp_path, [GOOD])
    assert "logs/dataset/digits.log" in cells["detail"][0]
    record = tmp_path / "datasets" / "digits" / "dataset.json"
    record.parent.mkdir(parents=True)
    record.touch()
    _, cells = collect(tmp_path, [GOOD])
    assert f"logs/train/{GOOD.folder}.log" in cells["detail"][0]


def test_a_failed_seed_says_why_and_the_others_stand(tmp_path):
    written(tmp_path, GOOD, failed=[1])
    runs, cells = collect(tmp_path, [GOOD])
    assert list(cells["status"]) == ["finished", "failed"]
    assert list(cells["detail"]) == ["", WHY]
    assert runs.loc[runs["seed"] == 0, TERMS].notna().all(axis=None)
    assert runs.loc[runs["seed"] == 1, TERMS].isna().all(axis=None)
    assert (table1(runs)["n_seeds"] == 1).all()


def test_all_seeds_failed_and_nothing_was_evaluated(tmp_path):
    written(tmp_path, BAD, failed=BAD.seeds)
    (evaluation_of(tmp_path, BAD) / "metrics.csv").unlink()
    runs, cells = collect(tmp_path, [BAD])
    assert list(cells["status"]) == ["failed"] * 2
    assert (cells["detail"] == WHY).all()
    assert len(runs) == 6 and runs[TERMS].isna().all(axis=None)
    table = table1(runs)
    assert (table["n_seeds"] == 0).all() and table["mean"].isna().all()


def test_no_results_at_all_are_whole_tables(tmp_path):
    plan = Plan("t", ["digits"], {"vanilla": "Vanilla"}, [GOOD, BAD], None)
    tables = write_tables(tmp_path, plan)
    assert len(tables["runs"]) == 12
    assert len(tables["table1"]) == 2 * len(SPLITS) * len(PAPER_METRICS)
    assert (
        pd.read_csv(plan.folder(tmp_path) / "tables" / "table1.csv")["n_seeds"] == 0
    ).all()
    cells = pd.read_csv(plan.folder(tmp_path) / "tables" / "cells.csv")
    assert (cells["status"] == "missing").all()


def test_blocks_of_one_model_are_pooled(tmp_path):
    blocks = [GOOD, block("vanilla", (2, 3, 4))]
    for each in blocks:
        written(tmp_path, each)
    table = table1(collect(tmp_path, blocks)[0]).set_index(["split", "metric"])
    assert (table["n_seeds"] == 5).all()
    assert table.loc[("train", "reconstruction"), "mean"] == pytest.approx(32)
