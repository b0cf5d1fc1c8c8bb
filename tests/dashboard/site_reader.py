"""Reads the pages of a static site, which are well-formed XML as well."""

import json
from pathlib import Path
from xml.etree import ElementTree

ADDRESSES = ("href", "src", "srcset", "action", "poster", "data", "style")


class Page:
    """A page, its elements in their order, and what can be read of it."""

    def __init__(self, path: Path) -> None:
        self.source = path.read_text("utf-8")
        self.root = ElementTree.fromstring(self.source)

    def all(self, path: str) -> list[ElementTree.Element]:
        """The elements that an XPath finds, by default those of a tag."""
        return self.root.findall(f".//{path}")

    @property
    def words(self) -> str:
        """The text that is read, without scripts."""
        [body] = self.all("body")
        scripts = {script.text for script in self.all("script")}
        return " ".join(
            " ".join(t for t in body.itertext() if t not in scripts).split()
        )

    @property
    def addresses(self) -> list[str]:
        """Every address that the page names."""
        return [e.get(n) for e in self.root.iter() for n in ADDRESSES if n in e.attrib]

    @property
    def specifications(self) -> list[dict]:
        """Of its charts."""
        return [json.loads(script.text) for script in self.all("script[@type]")]

    def table(self, place: int) -> list[list[str]]:
        """The cells of a table's body, by row."""
        rows = self.all("table")[place].findall("tbody/tr")
        return [["".join(cell.itertext()) for cell in row] for row in rows]
