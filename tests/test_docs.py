"""Every block of code of the documentation is of a kind that is followed, and each
command and link that the pages name is there.

tests/slow/integration follows the pages, tests/extending makes the additions of
CONTRIBUTING.md.
"""

import re
import shlex
import subprocess

import pytest
import typer

from comvae.cli import app
from tests.blocks import HEADING, PAGES, STEP, Block, anchor, blocks, check_printed
from tests.support import ROOT

ALL = [block for page in PAGES for block in blocks(page)]
NEEDS = {  # what a clone may lack, and how many blocks need it
    "another machine": 2,
    "another Python": 1,
    "Apptainer": 1,
    "a quiet machine": 1,
    "Docker": 2,
    "nginx": 1,
    "password": 2,
    "PostgreSQL": 3,
    "Slurm": 4,
    "uv": 1,
}
PARTS = re.compile(r"\s*(?:&&|\|)\s*")
ASSIGNED = re.compile(r"^(?:\w+=(?:\$\((?=.* )|\S*)\s*)+")
IMAGES = {"comvae", "comvae:cuda", "comvae.sif"}
INLINE = re.compile(r"`(?:python -m )?(make|comvae) ([a-z][\w-]*)")


def commands(text: str) -> list[list[str]]:
    """The commands of a block as words, without comments and assignments."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        for part in PARTS.split(re.sub(r"\s#.*", "", line)):
            words = shlex.split(ASSIGNED.sub("", part).rstrip(")"))
            found += [words] if words else []
    return found


def test_every_block_is_followed():
    """Run, an edit, what is printed, or a picture: see tests/blocks.py."""
    for block in ALL:
        followed = block.language in {"bash", "python"} or block.edit
        assert followed or block.language == "text" or "needs" in block.options, block
        assert block.options.keys() <= {"needs", "serves"}, block
    assert sum(block.language in {"bash", "python"} for block in ALL) > 40


def test_what_a_block_needs_stands_above_it_and_few_need_anything():
    found = [block for block in ALL if "needs" in block.options]
    for block in found:
        what = block.options["needs"]
        assert what in f"{block.heading}\n{block.above}", f"{block}: say `{what}`"
    needed = [block.options["needs"] for block in found]
    assert {what: needed.count(what) for what in needed} == NEEDS


@pytest.mark.parametrize("block", ALL, ids=str)
def test_its_shell_and_its_commands_are_there(block):
    if block.language == "bash":
        subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
        for words in commands(block.text):
            check(words)


def test_commands_between_the_lines_are_there():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    there = {("make", name) for name in re.findall(r"^([\w-]+):", makefile, re.M)}
    there |= {("comvae", name) for name in typer.main.get_command(app).commands}
    for page in PAGES:
        named = set(INLINE.findall(STEP.sub("", page.read_text("utf-8"))))
        assert named <= there, f"{page.name}: {named - there}"


def check(words: list[str]) -> None:
    """Raise, or exit, where a command of this project has not what is asked of it."""
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

            parse_args(arguments)
        case ["docker" | "apptainer", "run" | "exec", *rest]:
            image = next(word for word in rest if word in IMAGES)
            check(rest[rest.index(image) + 1 :])


@pytest.mark.parametrize(
    "wrong",
    [
        "python -m comvae tablez",
        "comvae tables --stduy x",
        "make stduy",
        "snakemake --coers 8",
        "docker run --rm comvae comvae tablez",
    ],
)
def test_a_command_that_is_not_there_fails(wrong):
    [words] = commands(wrong)
    with pytest.raises((Exception, SystemExit)):
        check(words)


@pytest.mark.parametrize(
    "shown,agrees",
    [
        ("a  1.50\nb 2\n", True),
        ("a 1.55\n…\nend\n", True),
        ("a …\nb …\n", True),
        ("a 2.50\n", False),
        ("b 3\n", False),
        ("a …\nend\n", False),
    ],
)
def test_what_is_printed_is_compared(shown, agrees):
    block = Block(PAGES[0], 0, "text", {}, shown, "", "prints:")
    if agrees:
        check_printed(block, "begin\n a 1.5001\nb 2\nend\n")
    else:
        with pytest.raises(AssertionError):
            check_printed(block, "begin\n a 1.5001\nb 2\nend\n")


def test_links_of_pages_lead_somewhere():
    for page in {*PAGES, *ROOT.glob("*.md")}:
        text = STEP.sub(lambda step: step[0] if step["page"] else "", page.read_text())
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            name, _, section = link.partition("#")
            if "://" in name:
                continue
            target = page.parent / name if name else page
            assert target.exists(), f"{page.name}: {link}"
            if section:
                headings = HEADING.findall(STEP.sub("", target.read_text("utf-8")))
                assert section in map(anchor, headings), f"{page.name}: {link}"
