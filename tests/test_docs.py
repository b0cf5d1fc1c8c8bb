"""Every code block of README.md and docs/: Python and settings run as written, and each
command of a shell is one that is there, with options that it has.

The queries of MLflow run in tests/results/mlflow; the stages of the README, and the
workflow in another one, in tests/slow/integration; the additions of CONTRIBUTING.md in
tests/extending.
"""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer
import yaml

from comvae.cli import app
from comvae.study.settings import Study
from tests.support import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
BLOCKS = [
    pytest.param(language, text, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, (language, text) in enumerate(BLOCK.findall(page.read_text("utf-8")))
]
# of other programs, which a test cannot start: servers, logins, installations
OTHERS = {"ssh", "sudo", "curl", "sbatch", "read", "export", "source", "mlflow"}
INSIDE = {  # what a container runs
    "docker": re.compile(r".*? comvae(?::cuda)? (.*)"),
    "apptainer": re.compile(r".*? comvae.sif (.*)"),
}
PARTS = re.compile(r"\s*(?:&&|\|)\s*")
ASSIGNED = re.compile(r"^(?:\w+=(?:\$\((?=.* )|\S*)\s*)+")


def blocks(*languages: str) -> list:
    return [block for block in BLOCKS if block.values[0] in languages]


def commands(text: str) -> list[list[str]]:
    """The commands of a block as words, without comments and assignments."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        for part in PARTS.split(re.sub(r"\s#.*", "", line)):
            words = shlex.split(ASSIGNED.sub("", part).rstrip(")"))
            found += [words] if words else []
    return found


def test_blocks_are_of_kinds_that_are_checked():
    kinds = {"", "bash", "nginx", "python", "snakemake", "yaml"}
    assert {block.values[0] for block in BLOCKS} <= kinds
    assert len(BLOCKS) > 25


@pytest.mark.parametrize("language,text", blocks("python"))
def test_python_runs(language, text, monkeypatch, capsys):
    if "mlflow" in text or "runs" in text or "best." in text:
        return  # a query: tests/results/mlflow/test_contents.py
    monkeypatch.chdir(ROOT)
    exec(compile(text, "a block", "exec"), {})
    assert capsys.readouterr().out or "print(" not in text


@pytest.mark.parametrize("language,text", blocks("yaml"))
def test_settings_are_those_of_a_study(language, text):
    Study(**{"study": "any", "seeds": 1} | yaml.safe_load(text))


@pytest.mark.parametrize("language,text", blocks("bash"))
def test_commands_are_there(language, text):
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    for words in commands(text):
        check(words)


def check(words: list[str]) -> None:
    """Raise, or exit, where a command has not what is asked of it."""
    match words:
        case ["comvae", *arguments] | ["python", "-m", "comvae", *arguments]:
            group = typer.main.get_command(app)
            name, command, rest = group.resolve_command(typer.Context(group), arguments)
            command.make_context(name, list(rest))
        case ["make", *arguments]:
            done = subprocess.run(
                ["make", "--dry-run", *arguments, "INSTALLED="],
                cwd=ROOT,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0 and done.stdout, done.stderr
        case ["snakemake", *arguments]:
            from snakemake.cli import parse_args

            _, parsed = parse_args(arguments)
            named = [*(parsed.configfile or []), *(parsed.profile or [])]
            assert all((ROOT / name).exists() for name in named)
        case ["python", script] if script.endswith(".py"):
            assert (ROOT / script).is_file()
        case ["docker" | "apptainer", "build", *_]:
            pass
        case ["docker" | "apptainer" as program, *rest]:
            inner = INSIDE[program].fullmatch(" ".join(rest))[1]
            check(shlex.split(inner.replace("/comvae/", "")))
        case ["python", "-m", "pip", "install", *_] | ["head" | "dirname", *_]:
            pass
        case [program, *_]:
            assert program in OTHERS, words


@pytest.mark.parametrize(
    "wrong",
    [
        "python -m comvae tablez",
        "comvae tables --stduy x",
        "make stduy",
        "snakemake --coers 8",
        "snakemake --cores 8 --configfile config/none.yaml",
        "python examples/none.py",
        "unheard --of",
    ],
)
def test_a_command_that_is_not_there_fails(wrong):
    [words] = commands(wrong)
    with pytest.raises((Exception, SystemExit)):
        check(words)


def test_links_of_pages_lead_somewhere():
    for page in [*PAGES, *ROOT.glob("*.md"), ROOT / "results" / "README.md"]:
        text = BLOCK.sub("", page.read_text("utf-8"))
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            name, _, anchor = link.partition("#")
            if "://" in name:
                continue
            target = page.parent / name if name else page
            assert target.exists(), f"{page.name}: {link}"
            if anchor:
                assert anchor in anchors(target), f"{page.name}: {link}"


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub makes links of them."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text("utf-8")), re.M)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}
