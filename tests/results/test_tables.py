"""Tables: statistics by hand and by scipy, and a row for what is not there."""

import json
import math

import pandas as pd
import pytest
from scipy import stats

from comvae.results.tables import (
    ATTRIBUTION_COLUMNS,
    CELL_COLUMNS,
    CLAIM_COLUMNS,
    GAP_COLUMNS,
    METRICS,
    RUN_COLUMNS,
    SPLITS,
    TABLE1_COLUMNS,
    collect,
    paper_values,
    summary,
    table1,
    write_tables,
)
from comvae.study.plan import Block, Plan
from tests.support import MODELS

TERMS = [*METRICS, "weight_kl"]
GOOD = Block("digits", "vanilla", (0, 1))
BAD = Block("digits", "compound-mixture", (0, 1))


def reconstruction(seed: int, split: str) -> float:
    return 30 + seed + 0.25 * SPLITS.index(split)


def row_of(seed: int, split: str, shift: float = 0.0) -> dict[str, float]:
    rec = reconstruction(seed, split) + shift
    return dict(zip(TERMS, [rec, 5.0, rec + 5, 7.0], strict=True))


def write_block(results, block, failed=()):
    """A block's files as `comvae train` and `comvae evaluate` write them."""
    run = results / "runs" / block.folder
    evaluation = results / "evaluations" / block.folder
    run.mkdir(parents=True)
    evaluation.mkdir(parents=True)
    record = {
        "config_hash": "c" * 12,
        "git_commit": "g" * 12,
        "device": "cpu",
        "train_seconds": 30.0,
        "parameters": 4711,
        "failed": {str(seed): "latent_kl is nan in epoch 2" for seed in failed},
    }
    (run / "training.json").write_text(json.dumps(record))
    history = [
        dict(seed=seed, epoch=epoch)
        | row_of(seed, "train-running", shift=10.0 * (3 - epoch))
        for seed in block.seeds
        for epoch in (1, 2, 3)
    ]
    pd.DataFrame(history).to_csv(run / "history.csv", index=False)
    metrics = [
        dict(seed=seed, split=split, mode=mode, images=10) | row_of(seed, split, shift)
        for seed in block.seeds
        for split in ("train", "test")
        for mode, shift in (("default", 0.0), ("mean-weights", -1.0))
    ]
    pd.DataFrame(metrics).to_csv(evaluation / "metrics.csv", index=False)


def test_columns_are_those_of_the_design():
    assert [
        *("dataset", "model", "seed", "split"),
        *("reconstruction", "latent_kl", "negative_elbo", "weight_kl"),
        *("parameters", "epochs", "train_seconds", "device"),
        *("config_hash", "git_commit"),
        *("log_px", "elbo", "elbo_mean_weights", "elbo_marginal", "elbo_optimal"),
        *("approximation_gap", "amortization_gap", "inference_gap"),
    ] == RUN_COLUMNS
    assert [
        *("dataset", "model", "split", "metric", "mean", "std"),
        *("ci_low", "ci_high", "n_seeds", "paper"),
    ] == TABLE1_COLUMNS
    assert [
        *("dataset", "model", "seed", "status", "block", "detail"),
        *("gap", "gap_detail"),
    ] == CELL_COLUMNS


def test_written_tables_have_exactly_the_columns(tmp_path):
    write_block(tmp_path, GOOD)
    plan = Plan("t", ["digits"], {"vanilla": "Vanilla"}, [GOOD], None)
    write_tables(tmp_path, plan)
    names = {
        "runs": RUN_COLUMNS,
        "table1": TABLE1_COLUMNS,
        "gaps": GAP_COLUMNS,
        "attribution": ATTRIBUTION_COLUMNS,
        "claims": CLAIM_COLUMNS,
        "cells": CELL_COLUMNS,
    }
    for name, columns in names.items():
        table = pd.read_csv(tmp_path / "tables" / f"{name}.csv")
        assert list(table.columns) == columns
    assert len(list((tmp_path / "tables").iterdir())) == len(names)


def test_a_finished_run_has_three_rows_with_its_provenance(tmp_path):
    write_block(tmp_path, GOOD)
    runs, cells = collect(tmp_path, [GOOD])
    assert list(zip(runs["seed"], runs["split"], strict=True)) == [
        (seed, split) for seed in (0, 1) for split in SPLITS
    ]
    for row in runs.to_dict("records"):
        assert row["reconstruction"] == reconstruction(row["seed"], row["split"])
        assert row["negative_elbo"] == row["reconstruction"] + 5
        assert (row["dataset"], row["model"]) == ("digits", "vanilla")
        assert (row["parameters"], row["epochs"], row["weight_kl"]) == (4711, 3, 7)
        assert row["train_seconds"] == 15, "the block's wall time by its seeds"
        assert (row["device"], row["config_hash"]) == ("cpu", "c" * 12)
        assert row["git_commit"] == "g" * 12
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


def test_one_seed_has_a_mean_and_no_interval():
    found = summary(pd.Series([3.0]))
    assert (found["mean"], found["n_seeds"]) == (3, 1)
    assert all(math.isnan(found[name]) for name in ("std", "ci_low", "ci_high"))


def test_no_seed_has_nothing():
    found = summary(pd.Series([math.nan, math.nan]))
    assert found.pop("n_seeds") == 0
    assert all(math.isnan(value) for value in found.values())


def test_seeds_that_are_not_there_do_not_count():
    assert summary(pd.Series([1.0, math.nan, 3.0])) == summary(pd.Series([1.0, 3.0]))


def test_table1_is_over_the_seeds_of_each_split(tmp_path):
    write_block(tmp_path, GOOD)
    table = table1(collect(tmp_path, [GOOD])[0]).set_index(["split", "metric"])
    assert len(table) == len(SPLITS) * len(METRICS)
    for split in SPLITS:
        cell = table.loc[split, "reconstruction"]
        values = [reconstruction(seed, split) for seed in (0, 1)]
        assert cell["mean"] == pytest.approx(sum(values) / 2)
        assert cell["std"] == pytest.approx(abs(values[0] - values[1]) / math.sqrt(2))
        assert cell["n_seeds"] == 2
    assert table["paper"].isna().all(), "the paper has no digits"


@pytest.mark.parametrize(
    "dataset,model,split,metric,value",
    [
        ("mnist", "vanilla", "train-running", "reconstruction", 114.02),
        ("mnist", "vanilla", "test", "negative_elbo", 123.42),
        ("mnist", "simplified-gaussian", "train-running", "latent_kl", 11.52),
        ("mnist", "simplified-mixture", "test", "reconstruction", 110.90),
        ("mnist", "compound-gaussian", "test", "reconstruction", 160.37),
        ("mnist", "compound-mixture", "test", "negative_elbo", 119.56),
        ("mnist", "compound-mixture-unweighted", "test", "latent_kl", 7.40),
        ("emnist-mnist", "vanilla", "train-running", "reconstruction", 177.71),
        ("emnist-mnist", "compound-gaussian", "test", "latent_kl", 3.54),
        ("emnist-mnist", "compound-mixture", "train-running", "negative_elbo", 184.65),
        ("emnist-mnist", "compound-mixture-static-latent", "test", "latent_kl", 11.74),
        (
            *("emnist-mnist", "compound-mixture-no-batchnorm"),
            *("train-running", "reconstruction", 189.92),
        ),
    ],
)
def test_the_papers_values(dataset, model, split, metric, value):
    """Read off Table 1: the upper row of a model is training, the lower one testing."""
    assert paper_values()[dataset, model, split, metric] == value


def test_the_papers_values_are_whole_and_add_up():
    paper = paper_values()
    cells = {key[:3] for key in paper}
    assert cells == {
        (dataset, model, split)
        for dataset in ("mnist", "emnist-mnist")
        for model in MODELS
        for split in ("test", "train-running")
    }
    for cell in cells:
        rec, kl, both = (paper[*cell, metric] for metric in METRICS)
        assert abs(rec + kl - both) < 0.011, cell


def test_the_papers_value_stands_beside_ours(tmp_path):
    block = Block("mnist", "compound-mixture", (0,))
    write_block(tmp_path, block)
    table = table1(collect(tmp_path, [block])[0]).set_index(["split", "metric"])
    assert table.loc[("test", "reconstruction"), "paper"] == 107.77
    assert table.loc[("train-running", "negative_elbo"), "paper"] == 122.77
    assert table.loc["train", "paper"].isna().all(), "the paper has no such row"


def drop(name):
    return lambda run, evaluation: next(
        folder / name for folder in (run, evaluation) if (folder / name).exists()
    ).unlink()


def rewrite(name, change):
    def damage(run, evaluation):
        path = next(f / name for f in (run, evaluation) if (f / name).exists())
        path.write_bytes(change(path.read_bytes()))

    return damage


def without_seed_1(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(b"1,"))


def without_last_column(content: bytes) -> bytes:
    return b"\n".join(line.rpartition(b",")[0] for line in content.splitlines())


def cut_in_a_row(content: bytes) -> bytes:
    """The test row of seed 1, the last but one, ends after its reconstruction."""
    *kept, last, _ = content.splitlines()
    assert last.startswith(b"1,test,default,")
    return b"\n".join([*kept, b",".join(last.split(b",")[:5])])


def text_for_number(content: bytes) -> bytes:
    return content.replace(b",30.", b",3o.")


DAMAGES = {
    "nothing there": lambda run, evaluation: [
        path.unlink() for folder in (run, evaluation) for path in folder.iterdir()
    ],
    "not trained": drop("training.json"),
    "not evaluated": drop("metrics.csv"),
    "no history": drop("history.csv"),
    "metrics empty": rewrite("metrics.csv", lambda content: b""),
    "metrics without rows": rewrite("metrics.csv", lambda c: c.splitlines()[0] + b"\n"),
    "metrics binary": rewrite("metrics.csv", lambda content: b"\x80\xff\x00" * 50),
    "metrics cut in half": rewrite("metrics.csv", lambda c: c[: len(c) // 2]),
    "metrics cut in a row": rewrite("metrics.csv", cut_in_a_row),
    "metrics without column": rewrite("metrics.csv", without_last_column),
    "metrics without a seed": rewrite("metrics.csv", without_seed_1),
    "metrics with text": rewrite("metrics.csv", text_for_number),
    "history without a seed": rewrite("history.csv", without_seed_1),
    "history with text": rewrite("history.csv", text_for_number),
    "training empty": rewrite("training.json", lambda content: b""),
    "training cut": rewrite("training.json", lambda content: content[:40]),
    "training of another shape": rewrite("training.json", lambda content: b"[1, 2]"),
    "failed of another shape": rewrite(
        "training.json", lambda c: c.replace(b'"failed": {}', b'"failed": [1]')
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_block_is_rows_that_say_so(tmp_path, name):
    """The sound block beside it is in the tables as if nothing had happened."""
    for block in (GOOD, BAD):
        write_block(tmp_path, block)
    DAMAGES[name](*(tmp_path / kind / BAD.folder for kind in ("runs", "evaluations")))
    runs, cells = collect(tmp_path, [GOOD, BAD])

    assert len(runs) == 2 * 2 * 3 and len(cells) == 2 * 2
    bad = cells[cells["model"] == BAD.model]
    assert "missing" in set(bad["status"])
    assert (bad.loc[bad["status"] == "missing", "detail"].str.len() > 10).all()
    gone = {cell.seed for cell in bad.itertuples() if cell.status == "missing"}
    assert 1 in gone
    empty = runs[(runs["model"] == BAD.model) & runs["seed"].isin(gone)]
    assert len(empty) == 3 * len(gone)
    assert empty[TERMS].isna().all(axis=None)

    table = table1(runs).set_index(["model", "split"])
    assert (table.loc[BAD.model, "n_seeds"] == 2 - len(gone)).all()
    assert (table.loc[GOOD.model, "n_seeds"] == 2).all()
    good = runs[runs["model"] == GOOD.model]
    assert good[TERMS].astype(float).notna().all(axis=None)
    assert (cells.loc[cells["model"] == GOOD.model, "status"] == "finished").all()


def test_a_value_that_is_not_finite_is_not_finished(tmp_path):
    """Training may end just before the weights blow up; evaluation then shows it."""
    write_block(tmp_path, GOOD)
    path = tmp_path / "evaluations" / GOOD.folder / "metrics.csv"
    table = pd.read_csv(path)
    table.loc[(table["seed"] == 1) & (table["split"] == "test"), METRICS] = math.inf
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
    assert "logs/train/digits/vanilla/seeds-0-1.log" in cells["detail"][0]


def test_a_failed_seed_says_why_and_the_others_stand(tmp_path):
    write_block(tmp_path, GOOD, failed=[1])
    runs, cells = collect(tmp_path, [GOOD])
    assert list(cells["status"]) == ["finished", "failed"]
    assert list(cells["detail"]) == ["", "latent_kl is nan in epoch 2"]
    assert runs.loc[runs["seed"] == 0, TERMS].notna().all(axis=None)
    assert runs.loc[runs["seed"] == 1, TERMS].isna().all(axis=None)
    assert (table1(runs)["n_seeds"] == 1).all()


def test_all_seeds_failed_and_nothing_was_evaluated(tmp_path):
    write_block(tmp_path, BAD, failed=BAD.seeds)
    (tmp_path / "evaluations" / BAD.folder / "metrics.csv").unlink()
    runs, cells = collect(tmp_path, [BAD])
    assert list(cells["status"]) == ["failed"] * 2
    assert (cells["detail"] == "latent_kl is nan in epoch 2").all()
    assert len(runs) == 6 and runs[TERMS].isna().all(axis=None)
    table = table1(runs)
    assert (table["n_seeds"] == 0).all() and table["mean"].isna().all()


def test_no_results_at_all_are_whole_tables(tmp_path):
    plan = Plan("t", ["digits"], {"vanilla": "Vanilla"}, [GOOD, BAD], None)
    tables = write_tables(tmp_path, plan)
    assert len(tables["runs"]) == 12
    assert len(tables["table1"]) == 2 * len(SPLITS) * len(METRICS)
    assert (pd.read_csv(tmp_path / "tables" / "table1.csv")["n_seeds"] == 0).all()
    cells = pd.read_csv(tmp_path / "tables" / "cells.csv")
    assert (cells["status"] == "missing").all()


def test_blocks_of_one_model_are_pooled(tmp_path):
    blocks = [GOOD, Block("digits", "vanilla", (2, 3, 4))]
    for block in blocks:
        write_block(tmp_path, block)
    table = table1(collect(tmp_path, blocks)[0]).set_index(["split", "metric"])
    assert (table["n_seeds"] == 5).all()
    assert table.loc[("train", "reconstruction"), "mean"] == pytest.approx(32)
