"""What must hold before a version is released: `make release` says what does not.

It checks and changes nothing. Then: `git push` with the tag, and a release of it on the
host, which Zenodo and the Snakemake workflow catalog read.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml

TESTED = [  # metadata agree, requirements are pinned, published tables are made again
    "tests/test_metadata.py",
    "tests/study/test_environment.py",
    "tests/results/test_published.py",
]


def problems(root: Path) -> Iterator[str]:
    """What does not hold of the project in `root`, each with what to do."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((root / "CITATION.cff").read_text("utf-8"))
    yield from _git(root, f"v{project['version']}")
    yield from _changelog(root, project["version"], citation["date-released"])
    if not citation.get("repository-code"):
        yield (
            "CITATION.cff: found no `repository-code`; name the address of the "
            "repository there, in codemeta.json as `codeRepository`, and in "
            "pyproject.toml as `Repository` under [project.urls]"
        )
    yield from _lock(root)


def _git(root: Path, tag: str) -> Iterator[str]:
    if changed := _output(root, "git", "status", "--porcelain"):
        yield f"git: found uncommitted changes; commit them first:\n{changed}"
    tags = _output(root, "git", "tag", "--points-at", "HEAD").split()
    if tag not in tags:
        found = ", ".join(tags) or "none"
        yield f"git: found the tags {found} at HEAD, expected {tag}: git tag -a {tag}"


def _output(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _changelog(root: Path, expected: str, released: str) -> Iterator[str]:
    text = (root / "CHANGELOG.md").read_text("utf-8")
    first = re.search(r"^## (\S+) \((.+)\)$", text, re.M)
    found = first.groups() if first else None
    if found != (expected, released):
        yield (
            f"CHANGELOG.md: found {found} in its first heading, expected "
            f"`## {expected} ({released})`: version of pyproject.toml, date of "
            "CITATION.cff"
        )


def _lock(root: Path) -> Iterator[str]:
    for line in (root / "requirements.lock").read_text("utf-8").splitlines():
        name, _, pinned = line.partition("==")
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "none"
        if found != pinned:
            yield (
                f"requirements.lock: pins {name} {pinned}, found {found} installed; "
                "run the tests with what is pinned, or `make lock`"
            )


def main() -> None:
    """Print every problem; exit status 1 where there is one."""
    root = Path(__file__).resolve().parents[1]
    found = list(problems(root))
    tests = [sys.executable, "-m", "pytest", "-q", *TESTED]
    if subprocess.run(tests, cwd=root).returncode:
        found.append(
            "tests: metadata, requirements or published tables fail; see above"
        )
    for problem in found:
        print(f"- {problem}", file=sys.stderr)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
