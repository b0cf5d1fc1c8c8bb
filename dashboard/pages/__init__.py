"""The pages, in the order of the navigation: one file each, and one line here."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from comvae.results import paths
from dashboard.elements import Ask, Element
from dashboard.pages import (
    claims,
    compare,
    gaps,
    live,
    ood,
    overview,
    pictures,
    provenance,
    readings,
    rivals,
    run,
    runs,
    studies,
    table1,
)
from dashboard.study import Study, nothing_yet, part_of, warnings


@dataclass(frozen=True)
class Page:
    """A page: its path in an address, its title, and what it holds.

    `linked`: the navigation shows it. `written`: whether the static site of a study has
    it. `of_tables`: it shows the study as its tables have it. `table`: one that not
    every study has, and without which there is no way to the page.
    """

    path: str
    title: str
    compose: Callable[[Study, Ask], Iterable[Element]]
    linked: bool = True
    written: Callable[[Study], bool] = lambda study: True
    of_tables: bool = False
    table: str = ""

    def is_there(self, *studies: Path) -> bool:
        """Whether one of the studies, by their folders, has something for the page."""
        return not self.table or any(
            paths.table(study, self.table).exists() for study in studies
        )

    def head(self, study: Study) -> str:
        """What stands above the page: on the first one, the study."""
        study_title = f"Study: {study.name}" if study.name else "The study"
        return study_title if self is PAGES[0] else self.title

    def elements(self, study: Study, ask: Ask) -> Iterator[Element]:
        """What could not be read, and then the page, or that there are no results."""
        yield from warnings(study.index.problems)
        if study.datasets:
            if self.of_tables:
                yield from part_of(study)
            yield from self.compose(study, ask)
        else:
            yield from nothing_yet(study.results)


def _live(study: Study) -> bool:
    """Of pages that show nothing without their visitor's choice, or what changes."""
    return False


PAGES = [
    Page("overview", "Overview", overview.compose, of_tables=True),
    Page("table-1", "Table 1", table1.compose, of_tables=True),
    Page("claims", "Claims", claims.compose, of_tables=True),
    Page("readings", "Readings", readings.compose, of_tables=True, table="readings"),
    Page("gaps", "Gaps", gaps.compose, of_tables=True),
    Page("ood", "Off the training data", ood.compose, of_tables=True, table="ood"),
    Page("rivals", "Rivals", rivals.compose, of_tables=True, table="rivals"),
    Page("compare", "Compare", compare.compose, of_tables=True),
    Page("studies", "Studies", studies.compose, True, studies.side_by_side, True),
    Page("pictures", "Pictures", pictures.compose),
    Page("runs", "Runs", runs.compose),
    Page("run", "One run", run.compose, linked=False, written=_live),
    Page("live", "Live", live.compose, written=_live),
    Page("provenance", "Provenance", provenance.compose),
]
