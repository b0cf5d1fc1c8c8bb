"""Reads the pages of a static site, for tests alone."""

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "img", "br", "hr", "input", "source"}
HEADINGS = ("h1", "h2", "h3", "h4")


@dataclass(eq=False, repr=False)
class Element:
    """An element, its attributes, what lies around it, and the text in it."""

    tag: str
    attributes: dict[str, str]
    parents: tuple["Element", ...]
    text: str = ""

    def inside(self, tag: str) -> bool:
        return any(parent.tag == tag for parent in self.parents)


@dataclass(eq=False, repr=False)
class Page(HTMLParser):
    """A page as a list of its elements, in their order."""

    path: Path
    elements: list[Element] = field(default_factory=list)
    declared: str = ""

    def __post_init__(self):
        super().__init__(convert_charrefs=True)
        self.open: list[Element] = []
        self.source = self.path.read_text("utf-8")
        self.feed(self.source)
        self.close()
        assert not self.open, f"{self.path}: <{self.open[-1].tag}> is not closed"

    def handle_decl(self, declaration):
        self.declared = declaration

    def handle_starttag(self, tag, attributes):
        element = Element(tag, {k: v or "" for k, v in attributes}, tuple(self.open))
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1].tag == tag, f"{self.path}: </{tag}>"
        self.open.pop()

    def handle_data(self, text):
        for element in self.open:
            element.text += text

    def all(self, *tags: str) -> list[Element]:
        return [element for element in self.elements if element.tag in tags]

    @property
    def words(self) -> str:
        """The text that is read, without scripts."""
        scripts = [e.text for e in self.all("script")]
        [body] = self.all("body")
        text = body.text
        for script in scripts:
            text = text.replace(script, "") if script else text
        return " ".join(text.split())

    @property
    def addresses(self) -> list[str]:
        """Every address that the page names."""
        names = ("href", "src", "srcset", "action", "poster", "data", "style")
        return [
            e.attributes[n] for e in self.elements for n in names if n in e.attributes
        ]

    @property
    def specifications(self) -> list[dict]:
        return [
            json.loads(e.text) for e in self.all("script") if "type" in e.attributes
        ]

    def table(self, place: int) -> list[list[str]]:
        """The cells of a table's body, by row."""
        whole = self.all("table")[place]
        rows = []
        for element in self.elements:
            if whole not in element.parents or not element.inside("tbody"):
                continue
            if element.tag == "tr":
                rows.append([])
            elif element.tag in ("td", "th"):
                rows[-1].append(element.text)
        return rows
