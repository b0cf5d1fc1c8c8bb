"""What a run in MLflow holds of a finished run."""

import json
import math
import re
import shutil

import pandas as pd
import pytest

from comvae.results.mlflow import track
from comvae.results.mlflow.records import read_records
from comvae.study.run_config import RunConfig
from tests.results import written
from tests.results.mlflow.blocks import (
    EPOCHS,
    active_runs,
    client,
    content,
    edit,
    value,
    write_block,
    write_gaps,
    write_study,
)
from tests.results.written import folder_of
from tests.support import ROOT


def test_a_run_holds_settings_history_metrics_tags_and_artifacts(imported):
    results, summary = imported
    assert (summary.imported, summary.skipped) == (4, {})
    found = content(results)
    assert set(found) == {
        f"{model}-digits-seed-{seed}"
        for model in ("compound-mixture", "vanilla")
        for seed in (0, 1)
    }
    params, history, tags, artifacts, times = found["compound-mixture-digits-seed-1"]
    assert params["training.epochs"] == str(EPOCHS)
    assert params["training.learning_rate"] == "0.001"
    assert params["options.weight_prior.kind"] == "mixture"
    assert params["options.batch_norm_maps"] == "true"
    assert params["data.binarize"] == "none"
    assert params["parameters"] == "4711"
    points = history["train_running_latent_kl"]
    assert [(step, v) for step, v, _ in points] == [
        (epoch, value(1, "latent_kl", epoch)) for epoch in (1, 2, 3)
    ]
    for metric, parts in {
        "test_negative_elbo": ("negative_elbo", "test", "default"),
        "train_reconstruction": ("reconstruction", "train", "default"),
        "test_weight_kl_mean_weights": ("weight_kl", "test", "mean-weights"),
    }.items():
        assert [(s, v) for s, v, _ in history[metric]] == [(EPOCHS, value(1, *parts))]
    assert history["train_seconds"][0][1] == 10.0  # 20 s of a block of two seeds
    config = RunConfig.model_validate_json(artifacts["run.json"])
    assert (config.model, config.seeds) == ("compound-mixture", [0, 1])
    expected = {
        "dataset": "digits",
        "model": "compound-mixture",
        "seed": "1",
        "block": "seeds-0-1",
        "config_hash": config.config_hash,
        "git_commit": "0123abc",
        "device": "cpu",
        "version.torch": "2.14.1",
    }
    assert expected.items() <= tags.items()
    assert set(artifacts) == {
        "run.json",
        "seed-1-reconstructions.png",
        "seed-1-samples.png",
    }
    assert artifacts["seed-1-samples.png"] == b"compound-mixture 1 samples"
    status, start, end = times
    assert (status, end - start) == ("FINISHED", 20_000)
    assert end == 1767323045000  # 2026-01-02T03:04:05Z
    assert "test_weight_kl_mean_weights" not in found["vanilla-digits-seed-1"][1]


def test_pages_of_mlflow_name_dataset_and_source_and_group_by_model(imported):
    results, _ = imported
    for run in active_runs(results).values():
        [used] = run.inputs.dataset_inputs
        assert (used.dataset.name, used.dataset.digest) == ("digits", "unknown")
        assert run.data.tags["mlflow.source.git.commit"] == "0123abc"
        assert run.data.tags["mlflow.source.name"] == "comvae"
    experiment = client(results).get_experiment_by_name("digits")
    view = json.loads(experiment.tags["mlflow.sharedViewState.models"])
    assert view["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "model"}]


@pytest.mark.parametrize("page,queries", [("docs/mlflow.md", 3), ("README.md", 1)])
def test_the_queries_of_the_documentation_answer(
    page, queries, imported, tmp_path, monkeypatch
):
    results, _ = imported
    code = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    blocks = [block for block in code if "mlflow." in block and "print(" in block]
    assert len(blocks) == queries
    # The page is written for the root of the repository.
    (tmp_path / "results").symlink_to(results)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    assert sorted(names["runs"]["tags.seed"]) == ["0", "1"]
    assert set(names["runs"]["tags.model"]) == {"compound-mixture"}
    # value() grows with the seed and is the same for all models.
    lowest = value(0, "negative_elbo", "test", "default")
    assert names["best"].data.metrics["test_negative_elbo"] == lowest
    seed = int(names["best"].data.tags["seed"])
    assert names["curve"] == {
        epoch: value(seed, "negative_elbo", epoch) for epoch in (1, 2, 3)
    }


def test_gaps_are_metrics_and_an_artifact(results):
    write_study(results)
    path = write_gaps(results)
    track(results)
    runs = active_runs(results)
    values = pd.DataFrame(
        [written.gap_value(0, 1, "test", image) for image in written.GAP_IMAGES]
    ).mean()
    metrics = runs["vanilla-digits-seed-1"].data.metrics
    assert metrics["test_log_px"] == pytest.approx(values["log_px"])
    gap = values["elbo_optimal"] - values["elbo"]
    assert metrics["test_amortization_gap"] == pytest.approx(gap)
    for name in (
        "train_inference_gap",
        "train_approximation_gap",
        "test_elbo_marginal",
    ):
        assert math.isfinite(metrics[name])
    found = content(results)
    assert found["vanilla-digits-seed-1"][3]["gaps.parquet"] == path.read_bytes()
    without = runs["compound-mixture-digits-seed-1"]
    assert "test_log_px" not in without.data.metrics
    assert "gaps.parquet" not in found["compound-mixture-digits-seed-1"][3]
    assert track(results).unchanged == 4
    # Measured later, or again: the runs of that block alone are replaced.
    write_gaps(results, "compound-mixture")
    summary = track(results)
    assert (summary.replaced, summary.unchanged) == (2, 2)
    assert "test_log_px" in (
        active_runs(results)["compound-mixture-digits-seed-1"].data.metrics
    )
    assert track(results).unchanged == 4


@pytest.mark.parametrize("damage", ["bytes", "one seed"])
def test_runs_without_usable_gaps_are_imported_all_the_same(results, damage):
    write_study(results)
    path = write_gaps(results)
    if damage == "bytes":
        path.write_bytes(b"no table")
    else:
        table = pd.read_parquet(path)
        table[table["seed"] == 0].to_parquet(path)
    assert track(results).imported == 4
    runs = active_runs(results)
    lost = runs["vanilla-digits-seed-1"].data
    assert "test_log_px" not in lost.metrics and "test_negative_elbo" in lost.metrics
    kept = runs["vanilla-digits-seed-0"].data
    assert ("test_log_px" in kept.metrics) == (damage == "one seed")
    assert ("damaged" in lost.tags.get("comvae.gaps", "")) == (damage == "bytes")
    assert "gaps.parquet" not in content(results)["vanilla-digits-seed-1"][3]


def test_failed_seeds_and_values_that_are_not_finite(results):
    reason = "reconstruction is nan in epoch 2"
    block = write_block(results, "vanilla", [0, 1], failed={1: reason})
    history = block / "history.csv"
    for epoch, bad in ((2, ""), (3, "inf")):  # pandas writes NaN as an empty cell
        edit(history, repr(value(1, "reconstruction", epoch)), bad)
    metrics = folder_of(results, "evaluations", "vanilla", "seeds-0-1") / "metrics.csv"
    edit(metrics, repr(value(0, "weight_kl", "test", "default")), "-inf")
    track(results)
    runs = active_runs(results)
    sound, failed = runs["vanilla-digits-seed-0"], runs["vanilla-digits-seed-1"]
    assert failed.info.status == "FAILED"
    assert failed.data.tags["comvae.failure"] == reason
    name = "train_running_reconstruction"
    assert failed.data.tags["comvae.non_finite"] == f"{name} (2 from epoch 2)"
    points = client(results).get_metric_history(failed.info.run_id, name)
    assert [(m.step, m.value) for m in points] == [(1, value(1, "reconstruction", 1))]
    assert sound.info.status == "FINISHED"
    assert "test_weight_kl" not in sound.data.metrics
    assert sound.data.tags["comvae.non_finite"] == "test_weight_kl (1 from epoch 3)"
    for run in runs.values():
        assert all(math.isfinite(v) and v < 1e6 for v in run.data.metrics.values())
    assert track(results).unchanged == 2


def test_a_block_whose_seeds_all_failed_needs_no_evaluation(results):
    write_block(results, "vanilla", [0, 1], failed={0: "is inf", 1: "is nan"})
    shutil.rmtree(results / "evaluations")
    assert track(results).imported == 2
    assert {r.info.status for r in active_runs(results).values()} == {"FAILED"}


def test_a_run_names_what_it_started_from(tmp_path):
    config = written.config_of("half-asleep").model_copy(update={"parent": "0" * 12})
    files = written.write_block(
        tmp_path, config, lambda *of: dict.fromkeys(written.TERMS, 1.0)
    )
    tags = read_records(tmp_path, files.run, written.MEASURED_WITH)[0].tags
    assert tags["starts_from"] == "vanilla/000000000000"
