"""docs/reference.md, generated from the Python API and the commands themselves."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from comvae.cli.command import app

PAGE = "docs/reference.md"
MADE = "Generated from the code by `make schemas`; do not edit."
API = {  # where each part of the public API is
    "comvae.load": "api/trained.py",
    "comvae.TrainedModel": "api/trained.py",
    "comvae.amortization_gap": "api/amortization.py",
    "comvae.nn.DynamicBayesianLinear": "nn.py",
    "comvae.nn.Prior": "model/priors.py",
}


def reference_page() -> str:
    """The text of docs/reference.md."""
    parts = ["# Reference", f"<!-- {MADE} -->", "## Python"]
    parts.append("How they are used: [api.md](api.md).")
    for name, place in API.items():
        parts += _python(name, place)
    parts.append("## Commands")
    parts.append("`comvae COMMAND`, or `python -m comvae COMMAND` from the repository.")
    for name, command in typer.main.get_command(app).commands.items():
        parts += _command(name, command)
    return "\n\n".join(parts) + "\n"


def _python(name: str, place: str) -> Iterator[str]:
    source = Path(__file__).parents[1] / place
    tree = ast.parse(source.read_text("utf-8"))
    own = name.rpartition(".")[2]
    [node] = [each for each in tree.body if getattr(each, "name", None) == own]
    yield f"### `{name}`"
    if isinstance(node, ast.FunctionDef):
        yield _signature(name, node)
        yield _documented(node)
        return
    methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
    made = [method for method in methods if method.name == "__init__"]
    if made and own != "TrainedModel":  # which `load` makes
        yield _signature(name, made[0])
    yield _documented(node)
    yield from [text for method in made if (text := _documented(method))]
    for method in methods:
        if not method.name.startswith("_") and method.name != "extra_repr":
            yield _signature(method.name, method)
            yield _documented(method)


def _signature(name: str, node: ast.FunctionDef) -> str:
    arguments = ast.unparse(node.args).removeprefix("self").removeprefix(", ")
    gives = ast.unparse(node.returns) if node.returns else "None"
    arrow = "" if node.name == "__init__" else f" -> {gives}"
    return f"```text\n{name}({arguments}){arrow}\n```"


def _documented(node: ast.AST) -> str:
    return inspect.cleandoc(ast.get_docstring(node) or "")


def _command(name: str, command: Any) -> Iterator[str]:
    yield f"### `comvae {name}`"
    yield inspect.cleandoc(command.help or "")
    rows = [_row(each) for each in command.params if each.name != "help"]
    if rows:
        yield "\n".join(["| | default | |", "|---|---|---|", *rows])


def _row(parameter: Any) -> str:
    shown = parameter.default
    shown = "" if shown is None or callable(shown) else f"`{shown}`"
    if parameter.required:
        shown = "required"
    names = parameter.opts + parameter.secondary_opts
    if parameter.param_type_name == "argument":
        names = [parameter.metavar or parameter.name.upper()]
    text = " ".join((getattr(parameter, "help", "") or "").split())
    cells = [", ".join(f"`{name}`" for name in names), shown, text]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
