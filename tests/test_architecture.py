"""Packages build on each other in one direction, and the paper's model on none."""

import ast
from pathlib import Path

import pytest

from tests.support import ROOT

# each imports those before it alone
ORDER = ["errors", "files", "datasets", "study", "engine", "results", "evaluation"]
ORDER += ["nn", "api", "schemas", "cli", "__main__"]
PATHS = sorted((ROOT / "comvae").glob("**/*.py"))


def imported(path: Path) -> set[str]:
    """The parts of comvae that a file imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    names = [
        alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names
    ]
    names += [n.module for n in nodes if isinstance(n, ast.ImportFrom)]
    return {name.split(".")[1] for name in names if name.startswith("comvae.")}


@pytest.mark.parametrize("part", ["model", *ORDER])
def test_a_package_imports_what_it_builds_on_alone(part):
    below = {"model", part}
    if part != "model":
        below |= set(ORDER[: ORDER.index(part)])
    files = [
        p
        for p in PATHS
        if p.relative_to(ROOT / "comvae").parts[0] in (part, f"{part}.py")
    ]
    assert files
    for path in files:
        assert imported(path) <= below, path
