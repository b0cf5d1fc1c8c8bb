"""The whole study on digits through Snakemake: run, changed, broken and killed."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml
from mlflow import MlflowClient

REPOSITORY = Path(__file__).resolve().parents[3]
MODELS = [  # of Table 1
    name
    for name, options in yaml.safe_load(
        (REPOSITORY / "config" / "models.yaml").read_text()
    ).items()
    if not options.get("control")
]
TERMS = ["reconstruction", "latent_kl", "negative_elbo", "weight_kl"]
STUDY = {
    "study": "few-epochs",
    "datasets": ["digits"],
    "models": "all",
    "seeds": 2,
    "training": {"epochs": 2, "hidden": 16},
    "evaluation": {"samples": 2},
    "gap": {"images": 40, "ais": "off", "importance_draws": 500},
}
PATIENCE = 300  # seconds until a hung process fails its test


def write_study(folder: Path, **changes) -> Path:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY | changes))
    return path


def command(repository: Path, study: Path, *arguments: str) -> list[str]:
    """What `make study` runs, with the code of `repository`."""
    return [
        *(sys.executable, str(repository / "workflow" / "scripts" / "run.py")),
        *("--snakefile", str(repository / "Snakefile"), "--configfile", str(study)),
        *("--cores", "2", "--keep-going", "--rerun-incomplete", "--show-failed-logs"),
        *arguments,
    ]


def snakemake(repository, folder, study, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(repository, study, *arguments),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )


def planned(repository, folder, study) -> tuple[dict[str, int], str]:
    """How many jobs of each rule a dry run plans, and all that it prints."""
    done = snakemake(repository, folder, study, "--dry-run")
    assert done.returncode == 0, done.stdout
    counts = re.findall(r"^(\w+) +(\d+)$", done.stdout.partition("Job stats:")[2], re.M)
    return {rule: int(count) for rule, count in counts}, done.stdout


def trained_blocks(printed: str) -> set[tuple[str, str]]:
    """(model, block) of every training job of a dry run."""
    jobs = re.findall(r"^rule train:\n((?: {4}.*\n)+)", printed, re.M)
    found = {
        re.search(r"wildcards: dataset=\S+, model=(\S+), block=(.+)", job).groups()
        for job in jobs
    }
    assert len(found) == len(jobs)
    return found


def times(folder: Path) -> dict[str, int]:
    """When the weights of each model were written."""
    weights = folder.glob("results/runs/digits/*/*/weights.safetensors")
    return {path.parts[-3]: path.stat().st_mtime_ns for path in weights}


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "results" / "tables" / f"{name}.csv")


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """A copy of the code, whose models a test may change."""
    folder = tmp_path_factory.mktemp("repository")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def finished(repository, tmp_path_factory) -> Path:
    """A folder with the results of the whole study; the last test that needs them
    trains one model anew."""
    folder = tmp_path_factory.mktemp("study")
    done = snakemake(repository, folder, write_study(folder))
    assert done.returncode == 0, done.stdout
    return folder


def test_every_run_is_in_the_tables(finished):
    runs = table(finished, "runs")
    assert len(runs) == 8 * 2 * 3
    assert runs[TERMS].map(math.isfinite).all(axis=None)
    keys = set(zip(runs["model"], runs["seed"], runs["split"], strict=True))
    splits = ("train", "test", "train-running")
    assert keys == {(m, s, split) for m in MODELS for s in (0, 1) for split in splits}
    assert (runs["epochs"] == 2).all() and (runs["train_seconds"] > 0).all()
    total = runs["reconstruction"] + runs["latent_kl"]
    assert (total - runs["negative_elbo"]).abs().max() < 1e-3
    static = runs["model"] == "vanilla"
    assert (runs.loc[static, "weight_kl"] == 0).all()
    assert (runs.loc[~static, "weight_kl"] > 0).all()


def test_every_run_has_its_gaps(finished):
    runs = table(finished, "runs")
    measured = runs[runs["split"] != "train-running"]
    assert len(measured) == 8 * 2 * 2
    names = ["log_px", "elbo", "elbo_marginal", "elbo_optimal", "inference_gap"]
    assert measured[names].map(math.isfinite).all(axis=None)
    assert (measured["elbo"] <= measured["elbo_optimal"] + 0.05).all()
    assert (measured["elbo_optimal"] <= measured["log_px"] + 0.05).all()
    assert runs.loc[runs["split"] == "train-running", names].isna().all(axis=None)
    assert set(table(finished, "cells")["gap"]) == {"measured"}
    gaps = table(finished, "gaps")
    assert len(gaps) % (8 * 2) == 0
    assert set(gaps["n_seeds"][gaps["quantity"] == "amortization_gap"]) == {2}
    folder = finished / "results" / "evaluations" / "digits"
    listed = json.loads((folder / "gap-images.json").read_text())
    images = pd.read_parquet(folder / "vanilla" / "seeds-0-1" / "gaps.parquet")
    for split in ("train", "test"):
        chosen = images[images["split"] == split]
        assert len(listed[split]) == 40
        assert set(chosen["image"]) == set(listed[split])


def test_gains_over_vanilla_add_up_and_claims_are_judged(finished):
    parts = table(finished, "attribution").set_index(["model", "split", "part"])
    effects = parts["effect"].unstack("part")
    assert len(effects) == 7 * 2 and (parts["n_seeds"] == 2).all()
    total = effects.drop(columns="elbo").sum(axis=1)
    assert (total - effects["elbo"]).abs().max() < 1e-9
    claims = table(finished, "claims")
    assert claims["claim"].nunique() == 9 and (claims["n_seeds"] == 2).all()
    verdicts = {"supported", "contradicted", "inconclusive"}
    assert set(claims["verdict"]) <= verdicts, "every model was run"


def test_statistics_are_over_the_seeds(finished):
    table1 = table(finished, "table1")
    assert list(table1.columns) == [
        *("dataset", "model", "split", "metric", "mean", "std"),
        *("ci_low", "ci_high", "n_seeds", "paper"),
    ]
    assert len(table1) == 8 * 3 * 3 and (table1["n_seeds"] == 2).all()
    assert (table1["ci_low"] < table1["mean"]).all()
    assert (table1["mean"] < table1["ci_high"]).all()
    runs = table(finished, "runs")
    means = runs.groupby(["model", "split"])[TERMS].mean()
    for row in table1.itertuples():
        expected = means.loc[(row.model, row.split), row.metric]
        assert row.mean == pytest.approx(expected)
    cells = table(finished, "cells")
    assert len(cells) == 16 and (cells["status"] == "finished").all()


def test_mlflow_has_every_run(finished):
    database = (finished / "results" / "mlflow" / "mlflow.db").as_posix()
    client = MlflowClient(tracking_uri=f"sqlite:///{database}")
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(experiments)
    assert len(runs) == 16
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_the_report_names_every_model(finished):
    report = (finished / "results" / "report" / "table1.md").read_text()
    models = yaml.safe_load((REPOSITORY / "config" / "models.yaml").read_text())
    gaps = (finished / "results" / "report" / "gaps.md").read_text()
    for name in MODELS:
        assert models[name]["title"] in report and models[name]["title"] in gaps
    assert "Not finished" not in report and "Not measured" not in gaps


def test_every_job_has_a_log(finished):
    logs = finished / "logs"
    for name in ("plan", "aggregate", "track", "report", "dataset/digits"):
        assert (logs / f"{name}.log").exists(), name
    for model in MODELS:
        for stage in ("configure", "train", "evaluate", "gap"):
            assert (logs / stage / "digits" / model / "seeds-0-1.log").exists()
        log = (logs / "train" / "digits" / model / "seeds-0-1.log").read_text()
        assert "epoch 2/2" in log and "Traceback" not in log


def test_each_block_has_one_resolved_config(finished):
    paths = list(finished.glob("results/runs/**/run.json"))
    assert len(paths) == 8
    for path in paths:
        config = json.loads(path.read_text())
        assert config["seeds"] == [0, 1] and config["training"]["epochs"] == 2
        record = json.loads((path.parent / "training.json").read_text())
        assert record["failed"] == {}


def test_a_second_time_nothing_is_done(repository, finished):
    before = times(finished)
    done = snakemake(repository, finished, write_study(finished))
    assert done.returncode == 0 and "Nothing to be done" in done.stdout
    assert times(finished) == before


def test_more_seeds_train_the_new_blocks_alone(repository, finished, tmp_path):
    counts, printed = planned(repository, finished, write_study(tmp_path, seeds=3))
    assert trained_blocks(printed) == {(model, "seeds-2") for model in MODELS}
    assert counts["train"] == counts["evaluate"] == counts["configure"] == 8
    assert counts["gap"] == 8
    assert not {"dataset", "gap_images"} & set(counts)


def test_fewer_seeds_and_models_train_only_what_is_not_there(
    repository, finished, tmp_path
):
    fewer = write_study(tmp_path, models=MODELS[:3])
    assert "train" not in planned(repository, finished, fewer)[0]


@pytest.mark.parametrize(
    "changes,evaluations,gaps",
    [
        ({"evaluation": {"samples": 3}}, 8, 0),
        ({"gap": STUDY["gap"] | {"marginal_draws": 3}}, 0, 8),
        # evaluation draws the very images that the gaps are measured on
        ({"gap": STUDY["gap"] | {"images": 50}}, 8, 8),
        ({"gap": {"images": 0}}, 8, 0),
        ({"tracking": {"uri": "sqlite:///elsewhere.db"}}, 0, 0),
        ({"study": "renamed"}, 0, 0),
    ],
)
def test_what_training_does_not_depend_on_retrains_nothing(
    repository, finished, tmp_path, changes, evaluations, gaps
):
    counts, _ = planned(repository, finished, write_study(tmp_path, **changes))
    assert counts["track"] == 1, "the change is seen"
    assert counts.get("evaluate", 0) == evaluations
    assert counts.get("gap", 0) == gaps
    assert not {"train", "configure", "dataset"} & set(counts)


def test_training_settings_retrain_everything(repository, finished, tmp_path):
    longer = write_study(tmp_path, training={"epochs": 3, "hidden": 16})
    assert planned(repository, finished, longer)[0]["train"] == 8


def test_options_of_one_model_retrain_it_alone(repository, finished):
    path = repository / "config" / "models.yaml"
    original, before = path.read_text(), times(finished)
    study = write_study(finished)
    models = yaml.safe_load(original)
    models["simplified-mixture"]["bayesian"] = {"rho_init": -4}
    path.write_text(yaml.safe_dump(models, allow_unicode=True, sort_keys=False))
    try:
        counts, printed = planned(repository, finished, study)
        assert trained_blocks(printed) == {("simplified-mixture", "seeds-0-1")}
        assert counts["train"] == counts["evaluate"] == counts["configure"] == 1
        assert counts["gap"] == 1
        done = snakemake(repository, finished, study)
        assert done.returncode == 0, done.stdout
        after = times(finished)
        changed = {model for model in MODELS if after[model] != before[model]}
        assert changed == {"simplified-mixture"}
        assert planned(repository, finished, study)[0] == {}
        assert table(finished, "runs")[TERMS].notna().all(axis=None)
    finally:
        path.write_text(original)


def test_a_block_that_fails_stops_no_other(repository, tmp_path):
    """Batches of 359 leave one of the 1437 images, too few for batch norm alone."""
    study = write_study(
        tmp_path,
        models=["compound-gaussian", "vanilla"],
        training={"epochs": 1, "hidden": 8, "batch_size": 359},
    )
    done = snakemake(repository, tmp_path, study)
    assert done.returncode != 0
    assert "batch norm needs two" in done.stdout, "logs of failed jobs are shown"

    cells = table(tmp_path, "cells").set_index(["model", "seed"])
    for seed in (0, 1):
        assert cells.loc[("vanilla", seed), "status"] == "finished"
        broken = cells.loc[("compound-gaussian", seed)]
        assert broken["status"] in ("missing", "failed")
        assert "logs/train/digits/compound-gaussian/seeds-0-1.log" in broken["detail"]
    runs = table(tmp_path, "runs").set_index("model")
    assert runs.loc["vanilla", TERMS].notna().all(axis=None)
    assert runs.loc["compound-gaussian", TERMS].isna().all(axis=None)
    assert len(runs) == 2 * 2 * 3
    table1 = table(tmp_path, "table1").set_index("model")
    assert (table1.loc["compound-gaussian", "n_seeds"] == 0).all()
    assert (table1.loc["vanilla", "n_seeds"] == 2).all()

    log = tmp_path / "logs" / "train" / "digits" / "compound-gaussian"
    assert "Traceback" not in (log / "seeds-0-1.log").read_text()


def test_seeds_that_diverge_are_failed_cells_of_a_whole_study(repository, tmp_path):
    study = write_study(
        tmp_path,
        models=["vanilla"],
        training={"epochs": 3, "hidden": 8, "learning_rate": 1e30},
    )
    done = snakemake(repository, tmp_path, study)
    assert done.returncode == 0, done.stdout
    cells = table(tmp_path, "cells")
    assert list(cells["status"]) == ["failed"] * 2
    assert cells["detail"].str.contains("epoch").all()
    assert (table(tmp_path, "table1")["n_seeds"] == 0).all()
    report = (tmp_path / "results" / "report" / "table1.md").read_text()
    assert "Not finished" in report and "failed" in report


def processes_in(folder: Path) -> list[psutil.Process]:
    """The processes that work in `folder`."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(folder):
                found.append(process)
    return found


@contextmanager
def in_mid_training(repository, folder, study, *targets) -> Iterator[subprocess.Popen]:
    """The study, started in a process group of its own, once it trains."""
    log = folder / "logs" / "train" / "digits" / "vanilla" / "seeds-0-1.log"
    with (folder / "printed.txt").open("w") as printed:
        started = subprocess.Popen(
            command(repository, study, *targets),
            cwd=folder,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # a shell starts its background jobs with SIGINT ignored, and so this suite
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not (log.exists() and "epoch 1/" in log.read_text()):
            said = (folder / "printed.txt").read_text()
            assert started.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.1)
        yield started
    finally:
        for process in processes_in(folder):
            with suppress(psutil.Error):
                process.kill()
        started.wait(timeout=60)


@pytest.mark.parametrize("how", ["kill the group", "kill snakemake alone", "interrupt"])
def test_a_killed_study_is_completed_by_running_it_again(
    repository, finished, tmp_path, how
):
    folder = tmp_path.resolve()
    shutil.copytree(finished / "results" / "datasets", folder / "results" / "datasets")
    study = write_study(
        folder, models=["vanilla"], training={"epochs": 120, "hidden": 16}
    )
    target = "results/report/table1.md"
    with in_mid_training(repository, folder, study, target) as started:
        weights = folder / "results/runs/digits/vanilla/seeds-0-1/weights.safetensors"
        assert not weights.exists(), "the study was hit too late to test anything"
        beside = snakemake(repository, folder, study, target)
        assert beside.returncode != 0
        assert "running in this folder already" in beside.stdout

        if how == "interrupt":
            os.killpg(started.pid, signal.SIGINT)
        elif how == "kill the group":
            os.killpg(started.pid, signal.SIGKILL)
        else:
            started.kill()
        assert started.wait(timeout=60) != 0
        # Again at once: what the killed study started may still be running.
        again = snakemake(repository, folder, study, target)
    assert again.returncode == 0, again.stdout
    runs = table(folder, "runs")
    assert len(runs) == 2 * 3 and runs[TERMS].notna().all(axis=None)
    assert (runs["epochs"] == 120).all()
    assert "Nothing to be done" in snakemake(repository, folder, study, target).stdout
