"""The code blocks of the documentation, followed as a reader follows them.

A page says in words what a block is:

- `bash` and `python` are run, from the first of the page to its last, each in the
  folder that the one before has left; Python blocks of a page continue each other;
- after "New file `x`:", "At the end of `x`:" or "In `x`:" a block is an edit, and made;
  "Make the edits of [A metric](…#a-metric)" makes those of another page's section;
- `text` after "prints:" is what the block before prints: … stands for anything, and
  numbers with a point are those of another machine, a tenth apart at the most;
- `title="serves <address>"` after the language: a server, which is to answer there;
- `title="needs <what>"`: run only where that is. The text above the block says it, too.

Other blocks of `text` are pictures, formulas and trees. There are no other kinds.
"""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.slow.support import PATIENCE, copy_repository, real_data, wait_for
from tests.support import ROOT

PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / name / "README.md" for name in ("config", "results")),
    ]
)
STEP = re.compile(
    r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]*)\")?\n(?P<text>.*?)^```$"
    r"|Make\s+the\s+edits?\s+of\s+\[[^]]*\]\((?P<page>[^)#]*)#(?P<section>[\w-]+)\)",
    re.M | re.S,
)
HEADING = re.compile(r"^#+ (.+)$", re.M)
NUMBER = r"-?\d+\.\d+"
EDIT = re.compile(r"(New file|At the end of|In) `([^`]+)`:$")


@dataclass(frozen=True)
class Block:
    """A block of a page, with the text above it as far as a block or its heading."""

    page: Path
    number: int
    language: str
    options: dict[str, str]
    text: str
    heading: str
    above: str

    @property
    def edit(self) -> tuple[str, str] | None:
        """How it changes a file and which one, where it is an edit."""
        found = EDIT.search(self.above)
        return found.groups() if found else None

    @property
    def printed(self) -> bool:
        """Whether it is what the block before prints."""
        return self.language == "text" and self.above.endswith("prints:")

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}, block {self.number}"


def blocks(page: Path, section: str | None = None) -> list[Block]:
    """The blocks of a page in their order, or of the section with that anchor; edits
    that the page makes by reference among them."""
    text, found = page.read_text("utf-8"), []
    for number, step in enumerate(STEP.finditer(text)):
        *_, heading, above = re.split(HEADING, text[: step.start()])
        if section and anchor(heading) != section:
            continue
        if step["page"] is not None:
            found += blocks((page.parent / step["page"]).resolve(), step["section"])
            continue
        word, _, what = (step["title"] or "").partition(" ")
        options = {word: what} if what else {}
        above = above.rpartition("\n```\n")[2].rstrip()
        kind, code = step["language"], step["text"]
        found.append(Block(page, number, kind, options, code, heading, above))
    assert found or not section, f"{page.name} has no block below #{section}"
    return found


def anchor(heading: str) -> str:
    """What a heading is in a link, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def make_edit(path: Path, how: str, text: str) -> None:
    """Make one edit: a new file, new lines at the end of one, or a diff."""
    if how == "New file":
        assert not path.exists(), path
        path.write_text(text)
        return
    before = path.read_text()
    if how == "At the end of":
        path.write_text(f"{before}\n\n{text}")
        return
    lines = text.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] != "+")
    new = "".join(line[1:] for line in lines if line[0] != "-")
    assert before.count(old) == 1, f"{path}: {old!r} is not there once"
    path.write_text(before.replace(old, new))


class Reader:
    """Someone with a fresh clone, who has installed it and follows its pages.

    The studies of `config/` are small ones there, so that all that pages run ends; on
    digits that of the first tutorial, whose blocks then serve them all. `has` is what
    blocks may need.
    """

    def __init__(
        self, folder: Path, has: frozenset[str] = frozenset(), **environment: str
    ) -> None:
        self.clone, self.has = copy_repository(folder), has
        (folder.parent / "mirror").symlink_to(real_data())
        for library in (ROOT / "comvae" / "engine" / "fused").glob("_native*.so"):
            (folder / library.relative_to(ROOT)).symlink_to(library)
        for name, small in SMALL.items():
            path = folder / "config" / name
            study = yaml.safe_load(path.read_text()) | small
            path.write_text(yaml.safe_dump(study))
        installed = folder / ".venv"
        installed.mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):
            (installed / name).symlink_to(Path(sys.prefix) / name)
        (installed / "installed").touch()
        self.environment = os.environ | environment
        self.environment |= {
            "PATH": f"{installed / 'bin'}:{self.environment['PATH']}",
            "PYTHONPATH": str(folder),
            "COMVAE_MIRROR": str(folder.parent / "mirror"),
        }

    def follow(self, page: Path) -> None:
        """Do what the page says, from its beginning; AssertionError where it fails.

        The files that it edits are as before at its end; what it adds stays.
        """
        edited: dict[Path, str] = {}
        try:
            self._follow(page, edited)
        finally:
            for path, text in edited.items():
                path.write_text(text)

    def _follow(self, page: Path, edited: dict[Path, str]) -> None:
        folder, names, printed = self.clone, {"__name__": "__main__"}, ""
        for block in blocks(page):
            if block.edit:
                how, name = block.edit
                if (folder / name).exists():
                    edited.setdefault(folder / name, (folder / name).read_text())
                make_edit(folder / name, how, block.text)
            elif block.printed:
                check_printed(block, printed)
            elif block.options.get("needs", "") not in {"", *self.has}:
                continue
            elif address := block.options.get("serves"):
                self._serve(block, folder, address)
            elif block.language == "bash":
                printed, folder = self._shell(block, folder)
            elif block.language == "python":
                printed = _python(block, folder, names)

    def _shell(self, block: Block, folder: Path) -> tuple[str, Path]:
        """What a block prints, and the folder that it leaves the shell in."""
        left = self.clone / ".venv" / "left"
        done = subprocess.run(
            ["bash", "-euc", f"trap 'pwd > {left}' EXIT\n{block.text}"],
            cwd=folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{block}:\n{block.text}\n{done.stdout}"
        return done.stdout, Path(left.read_text().strip())

    def _serve(self, block: Block, folder: Path, address: str) -> None:
        """Start a server, see that it answers at its address, and end it."""
        log = self.clone / ".venv" / "served"
        with log.open("w") as printed:
            server = subprocess.Popen(
                ["bash", "-euc", block.text],
                cwd=folder,
                env=self.environment,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_for(
                lambda: server.poll() is not None or _answers(address),
                f"{block}: no answer at {address}",
                log.read_text,
                PATIENCE,
            )
            assert server.poll() is None, f"{block} ended:\n{log.read_text()}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait(PATIENCE)


def _answers(address: str) -> bool:
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(address, timeout=10) as answer,
    ):
        return answer.status == 200
    return False


def _python(block: Block, folder: Path, names: dict) -> str:
    """What a block prints that continues those with the same names."""
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        exec(compile(block.text, str(block), "exec"), names)
    assert printed.getvalue() or "print(" not in block.text, block
    return printed.getvalue()


def check_printed(block: Block, printed: str) -> None:
    """Raise AssertionError unless the lines of a block are what was printed."""
    lines = "".join(_pattern(line.strip()) for line in block.text.splitlines())
    found = re.search(lines, printed + "\n")
    assert found, f"{block} shows:\n{block.text}\nfound:\n{printed}"
    shown = [float(number) for number in re.findall(NUMBER, block.text)]
    measured = [float(number) for number in found.groups()]
    assert measured == pytest.approx(shown, rel=0.1, abs=0.1), block


def _pattern(line: str) -> str:
    """What a line matches that is printed; each number is a group."""
    if line == "…":
        return r"(?:.*\n)*?"
    words, pattern = re.split(rf"({NUMBER})", line), r"[^\S\n]*"
    for index, word in enumerate(words):
        plain = re.sub(r"(?:\\ )+", r"[^\\S\\n]+", re.escape(word))
        pattern += f"({NUMBER})" if index % 2 else plain.replace("…", ".*?")
    return rf"{pattern}[^\S\n]*\n"


FIRST = yaml.safe_load(blocks(ROOT / "docs" / "tutorials" / "first-study.md")[0].text)
del FIRST["study"]
ON_MNIST = FIRST | {
    "datasets": ["mnist"],
    "models": ["vanilla"],
    "seeds": 1,
    "training": {"epochs": 1, "batch_size": 500, "hidden": 16, "latent": 3},
}
RIVALS = FIRST | {"models": ["vanilla", "half-asleep", "iwae-5", "svi-10"]}
SMALL = {
    "config.yaml": FIRST,
    "mnist-cpu.yaml": ON_MNIST,
    "paper.yaml": ON_MNIST,
    "rivals.yaml": RIVALS,
}
