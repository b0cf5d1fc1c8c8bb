"""The command line: every stage without Snakemake, and errors that are one message."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import typer
import yaml

from comvae.cli import app
from comvae.cli.reference import PAGE, reference_page
from comvae.datasets.registry import REGISTRY
from comvae.results.paths import evaluation_folder, gap_images
from comvae.study.loading import Catalogue, load_models
from comvae.study.plan import plan_blocks
from comvae.study.settings import Study
from tests.support import ROOT, study_in

STUDY = {
    "study": "tiny",
    "datasets": ["digits"],
    "models": ["compound-mixture"],
    "seeds": 2,
    "training": {"epochs": 1, "hidden": 4, "latent": 2, "batch_size": 256},
    "gap": {
        **{"images": 12, "marginal_draws": 3, "optimum_draws": 8},
        **{"optimum_iterations": 20, "final_draws": 50, "importance_draws": 400},
        **{"ais": "off"},
    },
}
MODELS = ROOT / "config" / "models.yaml"
OPTIONS = {name: load_models(MODELS)[name] for name in STUDY["models"]}
CATALOGUE = Catalogue(study=Study(**STUDY), models=OPTIONS)
[BLOCK] = plan_blocks(CATALOGUE, Path("nowhere"))
RUN = f"results/runs/{BLOCK.folder}"
EVALUATION = str(evaluation_folder(Path("results"), BLOCK.folder, BLOCK.measured))
LISTED = str(gap_images(Path("results"), "digits", BLOCK.measured))
DATASET = "d/digits/dataset.json"


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
    printed = succeeds(folder, "configure", "study.yaml", "--models", MODELS)
    assert printed == f"{RUN}/run.json\n"
    printed = succeeds(folder, "fetch", "digits", "--output", "d/digits")
    assert printed == f"{DATASET}\n"
    of_block = [f"{RUN}/run.json", "--dataset", DATASET, "--threads", 1, "--output"]
    gaps = [f"{EVALUATION}/gaps.parquet", "--settings", json.dumps(STUDY["gap"])]
    metrics = [f"{EVALUATION}/metrics.csv", "--settings", "{samples: 2}"]
    listed = ["--images", 12, "--output", LISTED]
    succeeds(folder, "train", *of_block[:-1])
    succeeds(folder, "evaluate", *of_block, *metrics)
    succeeds(folder, "gap", *of_block, *gaps)
    succeeds(folder, "gap-images", "--dataset", DATASET, *listed)
    succeeds(folder, "tables")
    (folder / "printed.txt").write_text(succeeds(folder, "report"))
    return folder


def test_configure_writes_the_plan_and_one_config_per_block(study):
    plan = json.loads((study_in(study / "results") / "study.json").read_text())
    assert [block["model"] for block in plan["blocks"]] == STUDY["models"]
    config = json.loads((study / RUN / "run.json").read_text())
    assert config["seeds"] == [0, 1] and config["model"] == "compound-mixture"


def test_each_stage_writes_what_the_next_one_reads(study):
    names = {"run.json", "weights.safetensors", "history.csv", "training.json"}
    assert {path.name for path in (study / RUN).iterdir()} == names
    pictures = {path.name for path in (study / EVALUATION / "pictures").iterdir()}
    kinds = ("-reconstructions.png", "-samples.png", ".npz")
    assert pictures == {f"seed-{s}{kind}" for s in (0, 1) for kind in kinds}


def test_what_is_measured_has_a_checksum(study):
    for name in ("metrics.csv", "gaps.parquet"):
        check = ["sha256sum", "--check", "--status", f"{name}.sha256"]
        assert subprocess.run(check, cwd=study / EVALUATION).returncode == 0


def test_metrics_have_the_documented_rows(study):
    table = pd.read_csv(study / EVALUATION / "metrics.csv")
    terms = {"reconstruction", "latent_kl", "negative_elbo", "weight_kl"}
    assert terms <= set(table)
    modes, splits = ["batch-statistics", "default", "mean-weights"], ["test", "train"]
    expected = list(itertools.product([0, 1], splits, modes))
    rows = table[["seed", "split", "mode"]]
    assert list(rows.itertuples(index=False, name=None)) == expected
    images = table.groupby("split")["images"].unique()
    assert list(images["train"]) == [1437] and list(images["test"]) == [360]


def test_gaps_are_measured_on_the_listed_images(study):
    listed = json.loads((study / LISTED).read_text())
    table = pd.read_parquet(study / EVALUATION / "gaps.parquet")
    assert {"elbo", "elbo_optimal", "log_px", "ess", "converged"} <= set(table)
    for split, count in (("train", 1437), ("test", 360)):
        assert len(listed[split]) == 12 and max(listed[split]) < count
        for seed in (0, 1):
            chosen = (table["seed"] == seed) & (table["split"] == split)
            assert sorted(table["image"][chosen]) == sorted(listed[split])
    assert len(table) == 2 * 2 * 12
    cells = pd.read_csv(study_in(study / "results") / "tables" / "cells.csv")
    assert list(cells["gap"]) == ["measured"] * 2


def test_tables_hold_every_run(study):
    runs = pd.read_csv(study_in(study / "results") / "tables" / "runs.csv")
    assert len(runs) == 2 * 3
    assert runs[["reconstruction", "latent_kl", "weight_kl"]].notna().all(axis=None)
    cells = pd.read_csv(study_in(study / "results") / "tables" / "cells.csv")
    assert list(cells["status"]) == ["finished"] * 2
    measured = runs[runs["split"] != "train-running"]
    assert measured[["log_px", "elbo", "amortization_gap"]].notna().all(axis=None)


def test_the_report_is_shown_and_says_where_to_look_next(study):
    printed = (study / "printed.txt").read_text()
    written = (study_in(study / "results") / "report" / "table1.md").read_text()
    for text in (printed, written):
        assert "Compound, mixture prior" in text
        assert "nats per image" in text.lower()
    table = pd.read_csv(study_in(study / "results") / "tables" / "table1.csv")
    best = table[(table["split"] == "test") & (table["metric"] == "negative_elbo")]
    for mean in best["mean"]:
        assert f"{mean:.2f}" in printed and f"{mean:.2f}" in written
    assert "make dashboard" in printed and "results/studies/tiny/tables" in printed
    assert "gaps on test images" in printed and "claims of the paper" in printed
    pages = {path.name for path in (study_in(study / "results") / "report").iterdir()}
    assert pages == {"answer.rst", "table1.md", "gaps.md", "claims.md"}


def test_runs_go_to_mlflow(study):
    printed = succeeds(study, "track")
    assert "2" in printed
    assert (study / "results" / "mlflow" / "mlflow.db").stat().st_size > 0


def test_every_command_and_each_of_its_arguments_is_explained(tmp_path):
    commands = typer.main.get_command(app).commands
    assert {"fetch", "train", "evaluate", "gap", "track", "report"} <= set(commands)
    for name, command in commands.items():
        assert len(command.help.split()) > 5, name
        for parameter in command.params:
            assert parameter.help or parameter.metavar, (name, parameter.name)
    done = comvae(tmp_path)
    text = done.stdout + done.stderr
    assert done.returncode == 2 and all(name in text for name in commands)


def test_a_wrong_setting_is_one_message(tmp_path):
    wrong = STUDY | {"training": {"epochs": -1}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(wrong))
    message = refused(tmp_path, "configure", "study.yaml", "--models", MODELS)
    for word in ("study.yaml", "training.epochs", "found -1", "greater than"):
        assert word in message
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "arguments,words",
    [
        ("fetch minst --output d", ["`minst`", "mean `mnist`", "digits"]),
        ("configure study.yaml", ["study.yaml", "No such file"]),
        ("train run.json --dataset d.json", ["run.json", "configure"]),
        ("gap run.json --dataset d.json --output g", ["run.json", "configure"]),
        ("tables", ["results/studies/*/study.json", "comvae configure"]),
        ("report", ["results/studies/*/study.json", "comvae configure"]),
        ("track", ["results/studies/*/study.json", "comvae configure"]),
    ],
)
def test_what_is_not_there_is_one_message(tmp_path, arguments, words):
    message = refused(tmp_path, *arguments.split())
    for word in words:
        assert word in message


def test_a_missing_dataset_is_one_message(study):
    dataset = "nowhere/dataset.json"
    message = refused(study, "train", f"{RUN}/run.json", "--dataset", dataset)
    assert "nowhere/dataset.json" in message and "comvae fetch" in message


def test_an_untrained_block_is_not_evaluated(study, tmp_path):
    (tmp_path / "run.json").write_text((study / RUN / "run.json").read_text())
    options = ["--dataset", study / DATASET, "--output", "metrics.csv"]
    message = refused(tmp_path, "evaluate", "run.json", *options)
    assert "weights.safetensors" in message and "train" in message
    assert not (tmp_path / "metrics.csv").exists()


@pytest.mark.parametrize(
    "stage,settings,words",
    [
        ("gap", "{image: 3}", ["--settings: image", "mean `images`"]),
        ("gap", "{images: 0}", ["images: found 0", "1 or more"]),
        ("gap", "{images: ", ["--settings", "not valid YAML"]),
        ("gap", "3", ["--settings: found 3", "mapping"]),
        ("evaluate", "{sample: 3}", ["--settings: sample", "mean `samples`"]),
    ],
)
def test_a_wrong_setting_of_a_stage_is_one_message(tmp_path, stage, settings, words):
    options = ["--dataset", "dataset.json", "--output", "out", "--settings", settings]
    message = refused(tmp_path, stage, "run.json", *options)
    for word in words:
        assert word in message


def test_a_wrong_device_is_one_message(study):
    options = ["--dataset", DATASET, "--device", "gpu"]
    done = comvae(study, "train", f"{RUN}/run.json", *options)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr
    assert "gpu" in done.stderr and "cpu" in done.stderr


def test_a_report_without_tables_says_how_to_get_them(tmp_path):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    succeeds(tmp_path, "configure", "study.yaml", "--models", MODELS)
    message = refused(tmp_path, "report")
    assert "table1.csv" in message and "comvae tables" in message


@pytest.mark.parametrize(
    "modules,absent",
    [
        # a wrong setting is reported within seconds, on any machine
        (
            "comvae.study.settings, comvae.study.plan, comvae.cli",
            {"torch", "pandas", "numpy", "sklearn", "requests"},
        ),
        # those may not be installed where a job runs
        (
            "comvae.engine.training, comvae.evaluation.elbo, comvae.results.weights,"
            "comvae.results.tables, comvae.results.report, comvae.cli",
            {"mlflow", "snakemake", "streamlit", "altair", "sklearn"},
        ),
    ],
)
def test_what_is_heavy_is_imported_where_it_is_needed(modules, absent):
    code = f"import sys, {modules}; print(*{{n.split('.')[0] for n in sys.modules}})"
    loaded = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    assert "pydantic" in loaded.split()
    assert not set(loaded.split()) & absent


def test_data_with_another_checksum_are_refused(study, tmp_path):
    """What a colleague fetched when the registry named other files."""
    folder = shutil.copytree(study, tmp_path / "study")
    record = folder / DATASET
    values = json.loads(record.read_text())
    assert values["checksum"] == REGISTRY["digits"].checksum
    record.write_text(json.dumps(values | {"checksum": "0" * 64}))
    message = refused(folder, "train", f"{RUN}/run.json", "--dataset", DATASET)
    assert f"{DATASET}: is data with checksum 000" in message
    assert "comvae fetch digits --output d/digits" in message


def test_the_reference_is_generated_and_names_every_command():
    text = reference_page()
    assert (ROOT / PAGE).read_text("utf-8") == text, "run `make schemas`"
    for name in typer.main.get_command(app).commands:
        assert f"### `comvae {name}`" in text
    for name in ("load", "TrainedModel", "amortization_gap"):
        assert f"### `comvae.{name}`" in text
    assert "gap(x: Images, **settings: Any) -> pd.DataFrame" in text
