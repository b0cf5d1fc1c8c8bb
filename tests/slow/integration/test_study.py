"""The whole study on digits through Snakemake: run, changed, broken and killed."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import yaml

from tests.slow.support import (
    PATIENCE,
    TERMS,
    check_complete,
    copy_repository,
    heed_interrupts,
    make_study,
    processes,
    study_command,
    table,
    wait_for,
    write_study,
)
from tests.support import MODELS, study_in

STUDY = {
    "study": "few-epochs",
    "datasets": ["digits"],
    "models": "all",
    "seeds": 2,
    "training": {"epochs": 2, "hidden": 16},
    "evaluation": {"samples": 2},
    "gap": {"images": 40, "ais": "off", "importance_draws": 500},
}


def planned(repository, folder, study) -> tuple[dict[str, int], str]:
    """How many jobs of each rule a dry run plans, and all that it prints."""
    done = make_study(folder, study, "--dry-run", code=repository)
    assert done.returncode == 0, done.stdout
    counts = re.findall(r"^(\w+) +(\d+)$", done.stdout.partition("Job stats:")[2], re.M)
    return {rule: int(count) for rule, count in counts}, done.stdout


def trained_blocks(printed: str) -> set[tuple[str, str]]:
    """(model, block) of every training job of a dry run."""
    jobs = re.findall(r"^rule train:\n((?: {4}.*\n)+)", printed, re.M)
    found = {
        re.search(
            r"wildcards: dataset=\S+, model=(\S+), hash=\S+, block=(.+)", job
        ).groups()
        for job in jobs
    }
    assert len(found) == len(jobs)
    return found


def times(folder: Path) -> dict[str, int]:
    """When the weights of each model were written; the last, of several settings."""
    weights = folder.glob("results/runs/digits/*/*/*/weights.safetensors")
    dates = sorted((path.stat().st_mtime_ns, path.parts[-4]) for path in weights)
    return {model: date for date, model in dates}


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """A copy of the code, whose models a test may change."""
    return copy_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def finished(repository, tmp_path_factory) -> Path:
    """A folder with the results of the whole study; the last test that needs them
    trains one model anew."""
    folder = tmp_path_factory.mktemp("study")
    done = make_study(folder, write_study(folder, STUDY), code=repository)
    assert done.returncode == 0, done.stdout
    return folder


def test_every_run_is_in_the_tables_and_in_mlflow(finished):
    check_complete(finished, MODELS)
    runs = table(finished, "runs")
    assert (runs["epochs"] == 2).all() and (runs["train_seconds"] > 0).all()
    total = runs["reconstruction"] + runs["latent_kl"]
    assert (total - runs["negative_elbo"]).abs().max() < 1e-3
    static = runs["model"] == "vanilla"
    assert (runs.loc[static, "weight_kl"] == 0).all()
    assert (runs.loc[~static, "weight_kl"] > 0).all()


def test_every_run_has_its_gaps(finished):
    runs = table(finished, "runs")
    measured = runs[runs["split"] != "train-running"]
    assert (measured["elbo"] <= measured["elbo_optimal"] + 0.05).all()
    assert (measured["elbo_optimal"] <= measured["log_px"] + 0.05).all()
    assert runs.loc[runs["split"] == "train-running", "log_px"].isna().all()
    gaps = table(finished, "gaps")
    assert set(gaps["n_seeds"][gaps["quantity"] == "amortization_gap"]) == {2}


def test_gains_over_vanilla_add_up_and_claims_are_judged(finished):
    parts = table(finished, "attribution").set_index(["model", "split", "part"])
    effects = parts["effect"].unstack("part")
    assert len(effects) == 7 * 2 and (parts["n_seeds"] == 2).all()
    total = effects.drop(columns="elbo").sum(axis=1)
    assert (total - effects["elbo"]).abs().max() < 1e-9
    claims = table(finished, "claims")
    assert len(claims) > 0 and (claims["n_seeds"] == 2).all()
    verdicts = {"holds here", "does not hold here", "inconclusive"}
    assert set(claims["verdict"]) <= verdicts, "every model was run"


def test_statistics_are_over_the_seeds(finished):
    table1 = table(finished, "table1").query("metric in @TERMS")
    assert len(table1) == 8 * 3 * 3 and (table1["n_seeds"] == 2).all()
    assert (table1["ci_low"] < table1["mean"]).all()
    assert (table1["mean"] < table1["ci_high"]).all()
    means = table(finished, "runs").groupby(["model", "split"])[TERMS].mean()
    for row in table1.itertuples():
        expected = means.loc[(row.model, row.split), row.metric]
        assert row.mean == pytest.approx(expected)


def test_the_report_names_every_model(finished, models):
    report = (study_in(finished / "results") / "report" / "table1.md").read_text()
    gaps = (study_in(finished / "results") / "report" / "gaps.md").read_text()
    for name in MODELS:
        assert models[name].title in report and models[name].title in gaps
    assert "Not finished" not in report and "Not measured" not in gaps


def test_every_job_has_a_log(finished):
    logs = finished / "logs"
    for name in ("plan", "aggregate", "track", "report"):
        assert (logs / STUDY["study"] / f"{name}.log").exists(), name
    assert (logs / "dataset" / "digits.log").exists()
    for model in MODELS:
        for stage in ("configure", "train", "evaluate", "gap"):
            [log] = logs.glob(f"{stage}/digits/{model}/*/seeds-0-1.log")
        [log] = logs.glob(f"train/digits/{model}/*/seeds-0-1.log")
        log = log.read_text()
        assert "epoch 2/2" in log and "Traceback" not in log


def test_a_second_time_nothing_is_done(repository, finished):
    before = times(finished)
    done = make_study(finished, write_study(finished, STUDY), code=repository)
    assert done.returncode == 0 and "Nothing to be done" in done.stdout
    assert times(finished) == before


def test_more_seeds_train_the_new_blocks_alone(repository, finished, tmp_path):
    study = write_study(tmp_path, STUDY | {"seeds": 3})
    counts, printed = planned(repository, finished, study)
    assert trained_blocks(printed) == {(model, "seeds-2") for model in MODELS}
    assert counts["train"] == counts["evaluate"] == counts["gap"] == 8
    assert not {"dataset", "gap_images"} & set(counts)


@pytest.mark.parametrize(
    "changes,evaluations,gaps",
    [
        ({"models": MODELS[:3]}, 0, 0),
        # other settings of either are another evaluation
        ({"evaluation": {"samples": 3}}, 8, 8),
        ({"gap": STUDY["gap"] | {"marginal_draws": 3}}, 8, 8),
        ({"gap": {"images": 0}}, 8, 0),
        ({"tracking": {"uri": "sqlite:///elsewhere.db"}}, 0, 0),
        ({"study": "renamed"}, 0, 0),
    ],
)
def test_what_training_does_not_depend_on_retrains_nothing(
    repository, finished, tmp_path, changes, evaluations, gaps
):
    study = write_study(tmp_path, STUDY | changes)
    counts, _ = planned(repository, finished, study)
    assert counts["track"] == 1, "the change is seen"
    assert counts.get("evaluate", 0) == evaluations
    assert counts.get("gap", 0) == gaps
    assert not {"train", "configure", "dataset"} & set(counts)


def test_training_settings_retrain_everything(repository, finished, tmp_path):
    longer = write_study(tmp_path, STUDY | {"training": {"epochs": 3, "hidden": 16}})
    assert planned(repository, finished, longer)[0]["train"] == 8


def test_a_folder_that_snakemake_knows_nothing_of_tells_no_other_studys_results(
    repository, finished, tmp_path
):
    """As after a copy: without Snakemake's records, and with dates in any order."""
    folder = tmp_path / "copy"
    shutil.copytree(finished / "results", folder / "results")
    (folder / "results/datasets/digits/dataset.json").touch()
    tables = ("runs", "table1", "cells")
    paths = [study_in(folder / "results") / "tables" / f"{name}.csv" for name in tables]
    before, trained = [path.read_bytes() for path in paths], times(folder)
    training = {"epochs": 3, "hidden": 16}
    one = {"models": ["vanilla"], "training": training, "gap": {"images": 0}}
    target = "results/studies/few-epochs/tables/table1.csv"
    for changes in (one, {}):
        study = write_study(folder, STUDY | changes)
        done = make_study(folder, study, target, code=repository)
        assert done.returncode == 0, done.stdout
        shutil.rmtree(folder / ".snakemake")
        if changes:
            assert set(table(folder, "runs")["epochs"]) == {3}
            assert set(table(folder, "cells")["model"]) == {"vanilla"}
    assert [path.read_bytes() for path in paths] == before
    after = times(folder)
    assert {m for m in MODELS if after[m] != trained[m]} == {"vanilla"}  # 3 epochs


def test_options_of_one_model_retrain_it_alone(repository, finished):
    path = repository / "config" / "models.yaml"
    original, before = path.read_text(), times(finished)
    study = write_study(finished, STUDY)
    options = yaml.safe_load(original)
    options["simplified-mixture"]["bayesian"] = {"rho_init": -4}
    path.write_text(yaml.safe_dump(options, allow_unicode=True, sort_keys=False))
    try:
        counts, printed = planned(repository, finished, study)
        assert trained_blocks(printed) == {("simplified-mixture", "seeds-0-1")}
        assert counts["train"] == counts["evaluate"] == counts["gap"] == 1
        done = make_study(finished, study, code=repository)
        assert done.returncode == 0, done.stdout
        after = times(finished)
        changed = {model for model in MODELS if after[model] != before[model]}
        assert changed == {"simplified-mixture"}
        assert planned(repository, finished, study)[0] == {}
        check_complete(finished, MODELS)
    finally:
        path.write_text(original)


def test_a_block_that_fails_stops_no_other(tmp_path):
    """Batches of 359 leave one of the 1437 images, too few for batch norm alone."""
    models = ["compound-gaussian", "vanilla"]
    training = {"epochs": 1, "hidden": 8, "batch_size": 359}
    study = write_study(tmp_path, STUDY | {"models": models, "training": training})
    done = make_study(tmp_path, study)
    assert done.returncode != 0
    assert "batch norm needs two" in done.stdout, "logs of failed jobs are shown"

    cells = table(tmp_path, "cells").set_index(["model", "seed"])
    for seed in (0, 1):
        assert cells.loc[("vanilla", seed), "status"] == "finished"
        broken = cells.loc[("compound-gaussian", seed)]
        assert broken["status"] in ("missing", "failed")
        log = re.search(r"logs/train/\S+/seeds-0-1\.log", broken["detail"])[0]
    runs = table(tmp_path, "runs").set_index("model")
    assert runs.loc["vanilla", TERMS].notna().all(axis=None)
    assert runs.loc["compound-gaussian", TERMS].isna().all(axis=None)
    assert len(runs) == 2 * 2 * 3
    table1 = table(tmp_path, "table1").set_index("model")
    assert (table1.loc["compound-gaussian", "n_seeds"] == 0).all()
    assert (table1.loc["vanilla", "n_seeds"] == 2).all()
    assert "digits/compound-gaussian" in log
    assert "Traceback" not in (tmp_path / log).read_text()


def test_seeds_that_diverge_are_failed_cells_of_a_whole_study(tmp_path):
    training = {"epochs": 3, "hidden": 8, "learning_rate": 1e30}
    changes = {"models": ["vanilla"], "training": training}
    done = make_study(tmp_path, write_study(tmp_path, STUDY | changes))
    assert done.returncode == 0, done.stdout
    cells = table(tmp_path, "cells")
    assert list(cells["status"]) == ["failed"] * 2
    assert cells["detail"].str.contains("epoch").all()
    assert (table(tmp_path, "table1")["n_seeds"] == 0).all()
    report = (study_in(tmp_path / "results") / "report" / "table1.md").read_text()
    assert "Not finished" in report and "failed" in report


@contextmanager
def in_mid_training(folder: Path, study, *targets) -> Iterator[subprocess.Popen]:
    """The study, started in a process group of its own, once it trains."""
    logs = "logs/train/digits/vanilla/*/seeds-0-1.log"
    with (folder / "printed.txt").open("w") as printed:
        started = subprocess.Popen(
            study_command(study, *targets),
            cwd=folder,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=heed_interrupts,
        )

    def training() -> bool:
        assert started.poll() is None, (folder / "printed.txt").read_text()
        return any("epoch 1/" in log.read_text() for log in folder.glob(logs))

    try:
        wait_for(training, "the study does not train", patience=PATIENCE)
        yield started
    finally:
        for process in processes(lambda each: each.cwd() == str(folder)):
            with suppress(psutil.Error):
                process.kill()
        started.wait(timeout=60)


@pytest.mark.parametrize("how", ["kill the group", "kill snakemake alone", "interrupt"])
def test_a_killed_study_is_completed_by_running_it_again(finished, tmp_path, how):
    folder = tmp_path.resolve()
    shutil.copytree(finished / "results" / "datasets", folder / "results" / "datasets")
    # without kernels, so that there is time to hit it
    training = {"epochs": 120, "hidden": 16, "kernels": "off"}
    changes = {"models": ["vanilla"], "training": training, "gap": {"images": 0}}
    study = write_study(folder, STUDY | changes)
    target = "results/studies/few-epochs/report/table1.md"
    with in_mid_training(folder, study, target) as started:
        weights = "results/runs/digits/vanilla/*/seeds-0-1/weights.safetensors"
        assert not list(folder.glob(weights)), (
            "the study was hit too late to test anything"
        )
        beside = make_study(folder, study, target)
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
        again = make_study(folder, study, target)
    assert again.returncode == 0, again.stdout
    runs = table(folder, "runs")
    assert len(runs) == 2 * 3 and runs[TERMS].notna().all(axis=None)
    assert (runs["epochs"] == 120).all()
    assert "Nothing to be done" in make_study(folder, study, target).stdout
