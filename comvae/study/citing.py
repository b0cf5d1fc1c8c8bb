"""How to cite the paper and this study: CITATION.cff as BibTeX."""

from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).resolve().parents[2] / "CITATION.cff"


def citation(file: Path = FILE) -> str:
    """Both as BibTeX; what holds no such thing, or is not there, is empty."""
    try:
        study = yaml.safe_load(file.read_text("utf-8"))
        entries = [*study["references"], study]
        return "\n\n".join(map(_bibtex, entries))
    except (OSError, LookupError, TypeError, yaml.YAMLError):
        return ""


def _bibtex(entry: dict[str, Any]) -> str:
    paper = "conference" in entry
    values = {
        "title": f"{{{entry['title']}}}",
        "author": " and ".join(map(_name, entry["authors"])),
        "booktitle": entry["conference"]["name"] if paper else None,
        "year": entry.get("year"),
        "version": entry.get("version"),
    }
    lines = [f"  {name} = {{{value}}}," for name, value in values.items() if value]
    kind, key = ("inproceedings", "compoundvae") if paper else ("software", "comvae")
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def _name(author: dict[str, str]) -> str:
    if "name" in author:
        return f"{{{author['name']}}}"
    return f"{author['family-names']}, {author['given-names']}"
