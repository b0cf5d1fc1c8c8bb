"""The workflow as Snakemake reads it: what it plans, and what it refuses."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from comvae.study.loading import load_study
from tests.support import ROOT

TINY = {
    "study": "tiny",
    "datasets": ["digits"],
    "models": ["vanilla", "compound-mixture"],
    "seeds": 7,
    "training": {"epochs": 1},
}


def snakemake(*arguments) -> subprocess.CompletedProcess:
    """Real Snakemake in the repository, whose relative paths profiles need."""
    environment = {k: v for k, v in os.environ.items() if k != "SNAKEMAKE_PROFILE"}
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def planned(folder, *arguments) -> dict[str, int]:
    """How many jobs of each rule a dry run plans where there are no results."""
    done = snakemake("-n", "--directory", folder, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout + done.stderr
    counts = re.findall(r"^(\w+) +(\d+)$", text.partition("Job stats:")[2], re.M)
    return {rule: int(count) for rule, count in counts}


def write(path, **changes):
    path.write_text(yaml.safe_dump(TINY | changes))
    return path


def jobs(blocks: int, datasets: int, foreign: int = 0) -> dict[str, int]:
    stages = dict.fromkeys(["configure", "train", "evaluate", "gap"], blocks)
    stages |= dict.fromkeys(["dataset", "gap_images"], datasets)
    if foreign:
        stages |= {"ood": blocks * foreign, "dataset": datasets + foreign}
    stages |= dict.fromkeys(["all", "plan", "aggregate", "track", "report"], 1)
    return stages | {"total": sum(stages.values())}


@pytest.mark.parametrize(
    "arguments,numbers",
    [
        ([], (8, 1)),
        (["--configfile", "config/config.yaml"], (8, 1)),
        (["--configfile", "config/paper.yaml"], (16, 2)),
        (["--configfile", "config/mnist-cpu.yaml"], (3, 1)),
        (["--configfile", "config/controls.yaml"], (8, 1)),
        (["--configfile", "config/mnist-half.yaml"], (12, 1, 1)),
        (["--cores", "8", "--profile", "slurm"], (16, 2)),
    ],
    ids=["default", "config", "paper", "mnist-cpu", "controls", "mnist-half", "slurm"],
)
def test_a_study_of_the_repository_is_planned_whole(tmp_path, arguments, numbers):
    assert planned(tmp_path, *arguments) == jobs(*numbers)
    left = {path.name for path in tmp_path.iterdir()} - {".snakemake"}
    assert left == set(), "a dry run leaves no results"


def test_a_study_replaces_the_default_study(tmp_path):
    """Seven seeds are blocks of five and two for each of two models."""
    study = write(tmp_path / "study.yaml")
    assert planned(tmp_path, "--configfile", study) == jobs(4, 1)


def test_a_setting_can_be_changed_on_the_command_line(tmp_path):
    study = write(tmp_path / "study.yaml")
    found = planned(tmp_path, "--configfile", study, "--config", "seeds=3")
    assert found == jobs(2, 1)


def test_a_study_can_leave_the_gaps_out(tmp_path):
    study = write(tmp_path / "study.yaml", gap={"images": 0})
    expected = jobs(4, 1)
    expected["total"] -= expected.pop("gap") + expected.pop("gap_images")
    assert planned(tmp_path, "--configfile", study) == expected


def test_a_wrong_setting_is_one_message(tmp_path):
    study = write(tmp_path / "study.yaml", training={"epoch": 3})
    done = snakemake("-n", "--directory", tmp_path, "--configfile", study)
    text = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in text
    for word in ("training.epoch", "found 3", "mean `epochs`", "batch_size"):
        assert word in text
    assert text.count("study.yaml: ") == 1, "one message"


@pytest.mark.parametrize("content", ["- digits\n", "study: ["])
def test_a_file_that_is_no_study_is_one_message(tmp_path, content):
    """Snakemake reads the file before this workflow sees it, and words the message."""
    study = tmp_path / "study.yaml"
    study.write_text(content)
    done = snakemake("-n", "--directory", tmp_path, "--configfile", study)
    text = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in text
    assert "config file" in text.lower()


def make_study(folder, *arguments) -> subprocess.CompletedProcess:
    """What `make study` runs in `folder`, up to the plan."""
    command = [sys.executable, str(ROOT / "workflow" / "scripts" / "run.py")]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--cores", "1", "--dry-run"]
    return subprocess.run(
        [*command, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "content,words",
    [
        (None, ["No such file"]),
        ("study: [t\n", ["not valid YAML", "line 2"]),
        ("study: t\nstudy: u\n", ["`study` stands twice", "line 2"]),
        ("", ["found None", "mapping"]),
        ("study: t\ndatasets: [digits]\nseeds: 1000000000\n", ["seeds", "10000"]),
        ("study: t\ndatasets: [minst]\nseeds: 1\n", ["datasets", "`mnist`"]),
    ],
)
def test_a_study_that_cannot_be_run_is_one_message(tmp_path, content, words):
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_text(content)
    for option in ("--configfile mine.yaml", "--configfiles=mine.yaml"):
        done = make_study(tmp_path, *option.split())
        assert done.returncode == 1 and done.stdout == ""
        assert done.stderr.startswith("Error: mine.yaml: ")
        assert done.stderr.count("\n") == 1 and len(done.stderr) < 600
        for word in words:
            assert word in done.stderr
    assert list(tmp_path.iterdir()) == ([path] if content is not None else [])


def test_a_sound_study_and_settings_on_the_command_line_reach_snakemake(tmp_path):
    settings = {key: TINY[key] for key in ("study", "datasets", "models")}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(settings))
    done = make_study(tmp_path, "--configfile", "mine.yaml", "--config", "seeds=1")
    assert done.returncode == 0, done.stderr
    assert "Job stats" in done.stdout + done.stderr


def test_a_study_needs_no_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/proc/nowhere")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    write(tmp_path / "study.yaml")
    done = make_study(tmp_path, "--configfile", "study.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_logs_and_says_what_it_does():
    rules = {}
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for text in re.split(r"^rule ", path.read_text(), flags=re.M)[1:]:
            rules[text.partition(":")[0]] = text
    assert set(rules) >= {"dataset", "train", "evaluate", "gap", "track", "aggregate"}
    for name, text in rules.items():
        assert re.search(r"^    log:$", text, re.M), name
        assert re.match(rf'{name}:\n    """', text), name


def test_no_target_runs_a_script_that_names_the_folder_of_its_interpreter():
    """So that all of them work in a folder that was moved together with its .venv."""
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.M)
    assert {"study", "lint", "format", "report"} <= set(targets)
    for target in targets:
        printed = subprocess.run(
            ["make", "--dry-run", target, "BASE=main"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        words = set(re.findall(r"^(?:.*[;&|] *)?@?([\w./-]+)", printed, re.M))
        for word in words - {"python", "python3", ".venv/bin/python"}:
            script = Path(sys.executable).parent / word
            assert not script.is_file(), f"make {target} runs {word}"


@pytest.mark.parametrize("linked", ["results", "results/runs", ".snakemake"])
def test_clean_cleans_through_links_and_keeps_what_git_has(tmp_path, linked):
    folder, scratch = tmp_path / "project", tmp_path / "scratch"
    kept = ["results/README.md", "results/published/a.csv", "Makefile"]
    made = [
        "results/runs/digits/run.json",
        "results/studies/x/study.json",
        ".snakemake/x",
    ]
    for name in [*kept, *made]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    (folder / linked).rename(scratch)
    (folder / linked).symlink_to(scratch)
    makefile = ROOT / "Makefile"
    subprocess.run(["make", "-f", makefile, "clean"], cwd=folder, check=True)
    assert all((folder / name).exists() for name in kept)
    assert not any((folder / name).exists() for name in made)
    assert (folder / linked).is_symlink(), "the next study goes there too"


@pytest.mark.parametrize("name,there", [("readings", True), ("config", False)])
def test_a_study_with_readings_has_one_table_more(tmp_path, name, there):
    study = ROOT / "config" / f"{name}.yaml"
    done = snakemake("-n", "--directory", tmp_path, "--configfile", study)
    assert done.returncode == 0, done.stderr
    assert ("/tables/readings.csv" in done.stdout) == there
    assert "/tables/claims.csv" in done.stdout


def test_the_tables_are_made_again_for_an_external_result(tmp_path):
    external = tmp_path / "results" / "external" / "others.csv"
    external.parent.mkdir(parents=True)
    external.touch()
    done = snakemake("-n", "--directory", tmp_path)
    aggregate = done.stdout.partition("rule aggregate:")[2].partition("output:")[0]
    assert "results/external/others.csv" in aggregate, done.stderr


def test_it_has_what_the_catalog_asks_of_standardized_usage():
    """The rules of "Adding workflows" in the catalog's documentation."""
    readme = (ROOT / "README.md").read_text("utf-8").lower()
    assert "snakemake" in readme and "workflow" in readme
    assert (ROOT / "workflow" / "Snakefile").is_file()
    assert list((ROOT / "workflow" / "rules").glob("*.smk"))
    assert (ROOT / "config" / "README.md").is_file()
    shown = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())
    usage = shown.pop("usage")
    assert shown == {} and set(usage) == {
        "mandatory-flags",
        "software-stack-deployment",
    }
    assert isinstance(usage["mandatory-flags"]["flags"], (list, str))
    kinds = ["conda", "apptainer", "apptainer+conda", "report"]
    assert list(usage["software-stack-deployment"]) == kinds
    assert all(type(usage["software-stack-deployment"][kind]) is bool for kind in kinds)


def test_the_snakefile_of_the_catalog_is_the_same_workflow(tmp_path):
    found = planned(tmp_path, "--snakefile", ROOT / "workflow" / "Snakefile")
    assert found == jobs(8, 1)


@pytest.mark.parametrize("name", ["rivals", "rivals-half"])
def test_what_encoding_costs_is_measured_once_where_a_study_has_rivals(tmp_path, name):
    path = ROOT / "config" / f"{name}.yaml"
    study = load_study(source=path, models=ROOT / "config" / "models.yaml")
    found = planned(tmp_path, "--configfile", path)
    assert found.get("price", 0) == bool(study.rivals)
    datasets = study.study.datasets.names
    foreign = sum(other != own for own in datasets for other in study.study.ood)
    assert found["evaluate"] == len(study.models) * len(datasets)
    assert found["ood"] == len(study.models) * foreign
