"""The workflow as Snakemake reads it: what it plans, and what it refuses."""

import os
import re
import subprocess
import sys

import pytest
import yaml

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


def jobs(blocks: int, datasets: int) -> dict[str, int]:
    stages = dict.fromkeys(["configure", "train", "evaluate", "gap"], blocks)
    stages |= dict.fromkeys(["dataset", "gap_images"], datasets)
    stages |= dict.fromkeys(["all", "plan", "aggregate", "track", "report"], 1)
    return stages | {"total": sum(stages.values())}


@pytest.mark.parametrize(
    "arguments,blocks,datasets",
    [
        ([], 8, 1),
        (["--configfile", "config/config.yaml"], 8, 1),
        (["--configfile", "config/paper.yaml"], 16, 2),
        (["--configfile", "config/mnist-cpu.yaml"], 3, 1),
        (["--configfile", "config/controls.yaml"], 7, 1),
        (["--cores", "8", "--profile", "slurm"], 16, 2),
    ],
    ids=["default", "config", "paper", "mnist-cpu", "controls", "slurm"],
)
def test_a_study_of_the_repository_is_planned_whole(
    tmp_path, arguments, blocks, datasets
):
    assert planned(tmp_path, *arguments) == jobs(blocks, datasets)
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


@pytest.mark.parametrize(
    "changes,words",
    [
        (
            {"training": {"epoch": 3}},
            ["training.epoch", "found 3", "mean `epochs`", "batch_size"],
        ),
        ({"training": {"epochs": "many"}}, ["training.epochs", "'many'", "integer"]),
        ({"gap": {"ais": "slow"}}, ["gap.ais", "'slow'", "'fast'", "'cremer'"]),
        ({"models": ["vanila"]}, ["models", "vanila", "compound-mixture-unweighted"]),
        ({"datasets": ["minst"]}, ["datasets", "minst", "mean `mnist`", "digits"]),
    ],
)
def test_a_wrong_setting_is_one_message(tmp_path, changes, words):
    study = write(tmp_path / "study.yaml", **changes)
    done = snakemake("-n", "--directory", tmp_path, "--configfile", study)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in text
    for word in ("study.yaml", *words):
        assert word in text
    assert text.count("study.yaml: ") == 1, "one message"


def test_a_wrong_setting_is_one_message_also_after_a_kill(tmp_path):
    """The lock of a killed run is removed with the study's own file, which is wrong."""
    study = write(tmp_path / "study.yaml", training={"epoch": 3})
    (tmp_path / ".snakemake" / "locks").mkdir(parents=True)
    (tmp_path / ".snakemake" / "locks" / "0.input.lock").touch()
    done = subprocess.run(
        [
            *(sys.executable, ROOT / "workflow" / "scripts" / "run.py"),
            *("--snakefile", ROOT / "Snakefile", "--configfile", study, "--cores", "1"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert "mean `epochs`" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("content", ["- digits\n", "study: ["])
def test_a_file_that_is_no_study_is_one_message(tmp_path, content):
    """Snakemake reads the file before this workflow sees it, and words the message."""
    study = tmp_path / "study.yaml"
    study.write_text(content)
    done = snakemake("-n", "--directory", tmp_path, "--configfile", study)
    assert done.returncode != 0
    assert "config file" in (done.stdout + done.stderr).lower()
    assert "Traceback" not in done.stdout + done.stderr


def test_every_rule_logs_and_says_what_it_does():
    rules = {}
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for text in re.split(r"^rule ", path.read_text(), flags=re.M)[1:]:
            rules[text.partition(":")[0]] = text
    assert set(rules) >= {"dataset", "train", "evaluate", "gap", "track", "aggregate"}
    for name, text in rules.items():
        assert re.search(r"^    log:$", text, re.M), name
        assert re.match(rf'{name}:\n    """', text), name
