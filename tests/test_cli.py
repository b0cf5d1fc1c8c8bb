"""The command line: every stage without Snakemake, and errors that are one message."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from tests.support import ROOT

STUDY = {
    "study": "tiny",
    "datasets": ["digits"],
    "models": ["compound-mixture"],
    "seeds": 2,
    "training": {"epochs": 1, "hidden": 4, "latent": 2, "batch_size": 256},
    "gap": {
        **{"images": 12, "marginal_draws": 3, "optimum_draws": 8},
        **{"optimum_iterations": 20, "final_draws": 50, "importance_draws": 100},
        **{"ais": "off"},
    },
}
ARGUMENTS = {
    "configure": ["STUDY", "--models", "--results"],
    "fetch": ["DATASET", "--output", "--mirror"],
    "train": ["RUN_JSON", "--dataset", "--checkpoint-every", "--device", "--threads"],
    "evaluate": ["RUN_JSON", "--dataset", "--output", "--samples", "--batch-size"],
    "gap": ["RUN_JSON", "--dataset", "--output", "--settings", "--device", "--threads"],
    "gap-images": ["--dataset", "--output", "--images"],
    "gap-selftest": ["known answers"],
    "track": ["--results", "--uri"],
    "tables": ["--results"],
    "report": ["--results"],
    "schemas": ["ROOT"],
}


def comvae(folder, *arguments) -> subprocess.CompletedProcess:
    """`python -m comvae` in `folder`, on one thread and without a mirror."""
    environment = {k: v for k, v in os.environ.items() if k != "COMVAE_MIRROR"}
    environment |= {"PYTHONPATH": str(ROOT), "COLUMNS": "120", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "comvae", *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def succeeds(folder, *arguments) -> str:
    done = comvae(folder, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(folder, *arguments) -> str:
    """The one message of a command that fails."""
    done = comvae(folder, *arguments)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert done.stderr.startswith("Error: ") and done.stderr.count("Error:") == 1
    return done.stderr


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder in which every stage but tracking has run, one after the other."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
    models = ROOT / "config" / "models.yaml"
    printed = succeeds(folder, "configure", "study.yaml", "--models", models)
    configs = printed.split()
    dataset = succeeds(folder, "fetch", "digits", "--output", "d/digits").strip()
    for config in configs:
        succeeds(folder, "train", config, "--dataset", dataset, "--threads", 1)
        metrics = config.replace("/runs/", "/evaluations/").replace("run.json", "")
        succeeds(
            *(folder, "evaluate", config, "--dataset", dataset, "--samples", 2),
            *("--output", f"{metrics}metrics.csv", "--threads", 1),
        )
        succeeds(
            *(folder, "gap", config, "--dataset", dataset, "--threads", 1),
            *("--output", f"{metrics}gaps.parquet"),
            *("--settings", json.dumps(STUDY["gap"])),
        )
    listed = "results/evaluations/digits/gap-images.json"
    succeeds(
        *(folder, "gap-images", "--dataset", dataset, "--images", 12),
        *("--output", listed),
    )
    succeeds(folder, "tables")
    (folder / "printed.txt").write_text(succeeds(folder, "report"))
    return folder


def test_configure_writes_the_plan_and_one_config_per_block(study):
    plan = json.loads((study / "results" / "study.json").read_text())
    assert [block["model"] for block in plan["blocks"]] == STUDY["models"]
    for model in STUDY["models"]:
        path = study / "results" / "runs" / "digits" / model / "seeds-0-1" / "run.json"
        config = json.loads(path.read_text())
        assert config["seeds"] == [0, 1] and config["model"] == model


def test_each_stage_writes_what_the_next_one_reads(study):
    assert (study / "d" / "digits" / "dataset.json").exists()
    for model in STUDY["models"]:
        run = study / "results" / "runs" / "digits" / model / "seeds-0-1"
        evaluation = study / "results" / "evaluations" / "digits" / model / "seeds-0-1"
        names = {"run.json", "weights.safetensors", "history.csv", "training.json"}
        assert {path.name for path in run.iterdir()} == names
        pictures = {path.name for path in (evaluation / "pictures").iterdir()}
        kinds = ("-reconstructions.png", "-samples.png", ".npz")
        assert pictures == {f"seed-{s}{kind}" for s in (0, 1) for kind in kinds}


def test_metrics_have_the_documented_rows(study):
    folder = study / "results" / "evaluations" / "digits"
    path = folder / "compound-mixture" / "seeds-0-1" / "metrics.csv"
    table = pd.read_csv(path)
    assert list(table.columns) == [
        *("seed", "split", "mode", "images", "reconstruction"),
        *("latent_kl", "negative_elbo", "weight_kl"),
    ]
    keys = list(zip(table["seed"], table["split"], table["mode"], strict=True))
    modes = ("batch-statistics", "default", "mean-weights")
    splits = ("test", "train")
    assert keys == [
        (s, split, mode) for s in (0, 1) for split in splits for mode in modes
    ]
    images = table.groupby("split")["images"].unique()
    assert list(images["train"]) == [1437] and list(images["test"]) == [360]


def test_gaps_are_measured_on_the_listed_images(study):
    folder = study / "results" / "evaluations" / "digits"
    listed = json.loads((folder / "gap-images.json").read_text())
    path = folder / "compound-mixture" / "seeds-0-1" / "gaps.parquet"
    table = pd.read_parquet(path)
    assert {"elbo", "elbo_optimal", "log_px", "ess", "converged"} <= set(table)
    for split, count in (("train", 1437), ("test", 360)):
        assert len(listed[split]) == 12 and max(listed[split]) < count
        for seed in (0, 1):
            chosen = (table["seed"] == seed) & (table["split"] == split)
            assert sorted(table["image"][chosen]) == sorted(listed[split])
    assert len(table) == 2 * 2 * 12
    cells = pd.read_csv(study / "results" / "tables" / "cells.csv")
    assert list(cells["gap"]) == ["measured"] * 2


def test_tables_hold_every_run(study):
    runs = pd.read_csv(study / "results" / "tables" / "runs.csv")
    assert len(runs) == 2 * 3
    assert runs[["reconstruction", "latent_kl", "weight_kl"]].notna().all(axis=None)
    cells = pd.read_csv(study / "results" / "tables" / "cells.csv")
    assert list(cells["status"]) == ["finished"] * 2
    measured = runs[runs["split"] != "train-running"]
    assert measured[["log_px", "elbo", "amortization_gap"]].notna().all(axis=None)


def test_the_report_is_shown_and_says_where_to_look_next(study):
    printed = (study / "printed.txt").read_text()
    written = (study / "results" / "report" / "table1.md").read_text()
    for text in (printed, written):
        assert "Compound, mixture prior" in text
        assert "nats per image" in text.lower()
    table = pd.read_csv(study / "results" / "tables" / "table1.csv")
    best = table[(table["split"] == "test") & (table["metric"] == "negative_elbo")]
    for mean in best["mean"]:
        assert f"{mean:.2f}" in printed and f"{mean:.2f}" in written
    assert "make dashboard" in printed and "results/tables" in printed
    assert "gaps on test images" in printed and "claims of the paper" in printed
    pages = {path.name for path in (study / "results" / "report").iterdir()}
    assert pages == {"table1.md", "gaps.md", "claims.md"}


def test_runs_go_to_mlflow(study):
    printed = succeeds(study, "track")
    assert "2" in printed
    assert (study / "results" / "mlflow" / "mlflow.db").stat().st_size > 0


@pytest.mark.parametrize("name", ARGUMENTS)
def test_help_names_every_argument(tmp_path, name):
    text = succeeds(tmp_path, name, "--help")
    for argument in ARGUMENTS[name]:
        assert argument in text.upper() if argument.isupper() else argument in text


def test_help_lists_every_command_with_what_it_does(tmp_path):
    text = succeeds(tmp_path, "--help")
    listed = {line.split()[1]: line for line in text.splitlines() if "│ " in line}
    for name in ARGUMENTS:
        assert len(listed[name].split()) > 5, listed[name]


def test_no_command_shows_help(tmp_path):
    done = comvae(tmp_path)
    assert done.returncode == 2 and "Usage" in done.stdout + done.stderr


def test_a_wrong_setting_is_one_message(tmp_path):
    wrong = STUDY | {"training": {"epochs": -1}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(wrong))
    models = ROOT / "config" / "models.yaml"
    message = refused(tmp_path, "configure", "study.yaml", "--models", models)
    for word in ("study.yaml", "training.epochs", "found -1", "greater than"):
        assert word in message
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "arguments,words",
    [
        (["fetch", "minst", "--output", "d"], ["`minst`", "mean `mnist`", "digits"]),
        (["configure", "study.yaml"], ["study.yaml", "No such file"]),
        (["train", "run.json", "--dataset", "dataset.json"], ["run.json", "configure"]),
        (
            [
                "gap",
                "run.json",
                "--dataset",
                "dataset.json",
                "--output",
                "gaps.parquet",
            ],
            ["run.json", "configure"],
        ),
        (["tables"], ["results/study.json", "comvae configure"]),
        (["report"], ["results/study.json", "comvae configure"]),
        (["track"], ["results/study.json", "comvae configure"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_what_is_not_there_is_one_message(tmp_path, arguments, words):
    message = refused(tmp_path, *arguments)
    for word in words:
        assert word in message


def test_a_missing_dataset_is_one_message(study):
    run = "results/runs/digits/compound-mixture/seeds-0-1/run.json"
    message = refused(study, "train", run, "--dataset", "nowhere/dataset.json")
    assert "nowhere/dataset.json" in message and "comvae fetch" in message


def test_an_untrained_block_is_not_evaluated(study, tmp_path):
    run = (
        study
        / "results"
        / "runs"
        / "digits"
        / "compound-mixture"
        / "seeds-0-1"
        / "run.json"
    )
    (tmp_path / "run.json").write_text(run.read_text())
    message = refused(
        *(tmp_path, "evaluate", "run.json", "--output", "metrics.csv"),
        *("--dataset", study / "d" / "digits" / "dataset.json"),
    )
    assert "weights.safetensors" in message and "train" in message
    assert not (tmp_path / "metrics.csv").exists()


@pytest.mark.parametrize(
    "settings,words",
    [
        ("{image: 3}", ["--settings: image", "mean `images`"]),
        ("{images: 0}", ["images: found 0", "1 or more"]),
        ("{images: ", ["--settings", "not valid YAML"]),
        ("3", ["--settings: found 3", "mapping"]),
    ],
)
def test_a_wrong_setting_of_the_gap_is_one_message(tmp_path, settings, words):
    message = refused(
        *(tmp_path, "gap", "run.json", "--dataset", "dataset.json"),
        *("--output", "gaps.parquet", "--settings", settings),
    )
    for word in words:
        assert word in message


def test_a_wrong_device_is_one_message(study):
    run = "results/runs/digits/compound-mixture/seeds-0-1/run.json"
    dataset = "d/digits/dataset.json"
    done = comvae(study, "train", run, "--dataset", dataset, "--device", "gpu")
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr
    assert "gpu" in done.stderr and "cpu" in done.stderr


def test_a_report_without_tables_says_how_to_get_them(tmp_path):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    models = ROOT / "config" / "models.yaml"
    succeeds(tmp_path, "configure", "study.yaml", "--models", models)
    message = refused(tmp_path, "report")
    assert "table1.csv" in message and "comvae tables" in message


def test_the_core_needs_no_other_layer():
    """mlflow, snakemake and streamlit may not be installed where a job runs."""
    code = (
        "import sys, comvae.engine.training, comvae.model.vae, comvae.evaluation.elbo,"
        "comvae.results.weights,"
        "comvae.results.tables, comvae.results.report, comvae.cli;"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    loaded = set(done.stdout.split())
    assert {"torch", "pandas", "pydantic"} <= loaded
    assert not loaded & {"mlflow", "snakemake", "streamlit", "altair", "sklearn"}


def test_settings_are_read_without_torch():
    """A wrong setting is reported within seconds, on any machine."""
    code = (
        "import sys, comvae.study.settings, comvae.study.plan, comvae.cli;"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert not set(done.stdout.split()) & {"torch", "pandas", "scipy", "torchvision"}
