"""JSON schemas and the settings page, generated from the settings classes."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from comvae.files import write_text
from comvae.model.options import ModelOptions
from comvae.results.quantities import quantities_page
from comvae.study.settings import Name, Study

GENERATED = "Generated from the settings classes by `make schemas`; do not edit."


def write_schemas(root: Path) -> list[Path]:
    """Write the schemas and docs/settings.md below `root`; return their paths."""
    texts = generated_texts()
    for name, text in texts.items():
        write_text(root / name, text)
    return [root / name for name in texts]


def generated_texts() -> dict[str, str]:
    """Every generated file by its path in the repository."""
    study = Study.model_json_schema()
    study["properties"]["datasets"] = {
        "description": study["properties"]["datasets"]["description"],
        "anyOf": [
            {"type": "array", "items": {"type": "string"}, "minItems": 1},
            {"$ref": "#/$defs/Datasets"},
        ],
    }
    models = TypeAdapter(dict[Name, ModelOptions]).json_schema()
    _allow_prior_names(models)
    return {
        "workflow/schemas/study.schema.json": _schema_text(study, "A ComVAE study"),
        "workflow/schemas/models.schema.json": _schema_text(models, "ComVAE models"),
        "docs/settings.md": _settings_page(),
        "docs/quantities.md": quantities_page(),
    }


def _schema_text(schema: dict[str, Any], title: str) -> str:
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": GENERATED,
        "title": title,
    }
    return json.dumps(head | {**schema, "title": title}, indent=2) + "\n"


def _allow_prior_names(schema: dict[str, Any]) -> None:
    """A prior may stand by its name alone, with its default parameters."""
    prior = schema["$defs"]["ModelOptions"]["properties"]["weight_prior"]
    kinds = [
        definition["properties"]["kind"]["const"]
        for definition in schema["$defs"].values()
        if "kind" in definition["properties"]
    ]
    prior["anyOf"].append({"type": "string", "enum": kinds})


def _settings_page() -> str:
    study, models = Study.model_json_schema(), ModelOptions.model_json_schema()
    parts = [
        "# Settings",
        f"<!-- {GENERATED} -->",
        "A study is one YAML file under `config/`; unknown keys are refused.",
        "## A study (`config/*.yaml`)",
        _table(study, study["properties"]),
    ]
    for section in ("datasets", "training", "evaluation", "gap", "tracking"):
        reference = study["properties"][section]["$ref"]
        definition = study["$defs"][reference.rsplit("/", 1)[-1]]
        parts += [
            f"### `{section}`",
            definition["description"],
            _table(study, definition["properties"]),
        ]
    parts += [
        "## A model (an entry of `config/models.yaml`)",
        "Every reading of the paper is an option here; the default is the reading of "
        "docs/paper.md.",
        _table(models, models["properties"]),
    ]
    for name, definition in models["$defs"].items():
        summary = definition["description"].splitlines()[0]
        parts += [f"### `{name}`", summary, _table(models, definition["properties"])]
    return "\n\n".join(parts) + "\n"


def _table(schema: dict[str, Any], properties: dict[str, Any]) -> str:
    rows = ["| setting | values | default | meaning |", "|---|---|---|---|"]
    for name, entry in properties.items():
        default = (
            f"`{json.dumps(entry['default'])}`" if "default" in entry else "required"
        )
        if isinstance(entry.get("default"), dict) and entry["default"]:
            default = "see below"
        meaning = entry.get("description", "")
        rows.append(f"| `{name}` | {_values(schema, entry)} | {default} | {meaning} |")
    return "\n".join(rows)


def _values(schema: dict[str, Any], entry: dict[str, Any]) -> str:
    """What a setting accepts, in words."""
    if "$ref" in entry:
        return f"settings `{entry['$ref'].rsplit('/', 1)[-1]}`"
    if options := entry.get("enum", [entry["const"]] if "const" in entry else []):
        return ", ".join(f"`{value}`" for value in options)
    if union := entry.get("anyOf", entry.get("oneOf")):
        return " or ".join(_values(schema, part) for part in union)
    kind = entry.get("type", "")
    if kind == "array":
        return f"list of {_values(schema, entry['items'])}"
    words = {"integer": "whole number", "null": "nothing", "object": "mapping"}
    kind = words.get(kind, kind)
    signs = {"minimum": "≥", "maximum": "≤"}
    signs |= {"exclusiveMinimum": ">", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {entry[key]}" for key, sign in signs.items() if key in entry]
    return f"{kind} {' and '.join(bounds)}".strip()
