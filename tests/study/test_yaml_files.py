"""What `make study` says of a study file that Snakemake itself would not understand."""

import subprocess
import sys

import pytest
import yaml

from tests.support import ROOT

SCRIPT = ROOT / "workflow" / "scripts" / "run.py"


def study(folder, *arguments) -> subprocess.CompletedProcess:
    """What `make study` runs, up to the plan."""
    return subprocess.run(
        [
            *(sys.executable, str(SCRIPT), "--snakefile", str(ROOT / "Snakefile")),
            *("--cores", "1", "--dry-run", *arguments),
        ],
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
        ("- study\n", ["found ['study']", "mapping"]),
        ("study: &a [*a]\n", ["an alias names what it stands in"]),
        ("study: t\ndatasets: [digits]\nseeds: 1000000000\n", ["seeds", "10000"]),
        ("study: t\ndatasets: [minst]\nseeds: 1\n", ["datasets", "`mnist`"]),
    ],
    ids=lambda value: None if isinstance(value, list) else (value or "missing")[:20],
)
@pytest.mark.parametrize("option", ["--configfile {}", "--configfiles={}"])
def test_a_study_that_cannot_be_run_is_one_message(tmp_path, content, words, option):
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_text(content)
    done = study(tmp_path, *option.format("mine.yaml").split())
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("Error: mine.yaml: ")
    assert done.stderr.count("\n") == 1 and len(done.stderr) < 600
    for word in words:
        assert word in done.stderr
    assert list(tmp_path.iterdir()) == ([path] if content is not None else [])


def test_a_sound_study_and_settings_on_the_command_line_reach_snakemake(tmp_path):
    settings = {"study": "t", "datasets": ["digits"], "models": ["vanilla"]}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(settings))
    done = study(tmp_path, "--configfile", "mine.yaml", "--config", "seeds=1")
    assert done.returncode == 0, done.stderr
    assert "Job stats" in done.stdout + done.stderr
