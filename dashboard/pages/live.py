"""What trains now: how far each block is, its curves so far, and what ended last."""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from functools import partial

import pandas as pd

from comvae.results.standing import Seen, Standing, histories
from comvae.results.trail import Progress as Trail
from dashboard import elements as el
from dashboard import progress, summary
from dashboard.charts.curves import by_seed, lines, message
from dashboard.forecast import forecast
from dashboard.progress import seeds_text
from dashboard.study import Study, nothing_yet, warnings
from dashboard.text import duration

EVERY = 3.0  # seconds
CARDS = 12  # blocks shown one by one; the others are counted
ABREAST = 2  # of them
LINES = 8  # blocks in one chart
ROWS = 8  # of what ended last
GOES_ON = "`make study` goes on from its last checkpoint."


def compose(study: Study, ask: el.Ask) -> Iterator[el.Element]:
    """The page, whose changing part alone is composed again by itself."""
    updates = ask.switch("Update by itself", "updates")
    yield el.Updating(EVERY if updates else None, partial(_now, study, ask, updates))


def _now(study: Study, ask: el.Ask, updates: bool) -> Iterator[el.Element]:
    how = f"every {EVERY:.0f} s" if updates else "when the page is loaded again"
    yield el.Caption(f"As of {_clock(time.time(), ask.zone)}; updated {how}.")
    found = progress.load_progress(study.results, study.folder.name)
    if not found.seen:
        yield from nothing_yet(study.results)
        return
    yield from warnings(p for p in found.problems if p not in study.index.problems)
    running = found.with_status("running")
    told, problems = progress.load_trails(running)
    yield from warnings(problems)
    yield from _outlook(found, told, study)
    yield from _running(running, told, study)
    yield from _interrupted(found, study, ask.zone)
    yield from _curves(running, study, ask)
    yield from _ended(found, study)


def _outlook(
    found: Standing, told: dict[str, Trail | None], study: Study
) -> Iterator[el.Element]:
    """The study as a whole: what is done, and when the rest may be."""
    counts = found.counts()
    yield el.Heading("The study")
    done = counts.get("finished", 0) / sum(counts.values())
    yield el.Bar(done, progress.in_words(counts))
    text = forecast(found, told, study.table("runs"))
    yield from [el.Text(text)] if text else []
    if not told and text:
        yield el.Text("In a terminal, at the root of the repository, this goes on:")
        yield el.Code("make study")


def _running(
    running: list[Seen], told: dict[str, Trail | None], study: Study
) -> Iterator[el.Element]:
    """A card for each running block."""
    yield el.Heading("Training now")
    if not running:
        yield el.Text("No block trains at the moment.")
    for place in range(0, min(len(running), CARDS), ABREAST):
        row = running[place : place + ABREAST]
        cards = [list(_card(seen, told[seen.folder], study)) for seen in row]
        yield el.Columns(cards, framed=True)
    if len(running) > CARDS:
        yield el.Text(f"And {len(running) - CARDS} more.")


def _card(seen: Seen, trail: Trail | None, study: Study) -> Iterator[el.Element]:
    block = seen.block
    yield el.Subheading(study.title(block.model))
    yield el.Text(f"{block.dataset}, {seeds_text(block.seeds)}")
    alive = f"Last sign of life {_ago(seen.alive)}"
    if trail is None:
        yield el.Bar(0.0, "Starting: it has told nothing yet")
        yield el.Caption(f"{alive}.")
        return
    words = [f"Epoch {trail.epoch} of {trail.epochs}"]
    if trail.seconds_left is not None:
        words.append(f"about {duration(trail.seconds_left)} left")
    if trail.images_per_second is not None:
        words.append(f"{trail.images_per_second:,.0f} images/s")
    yield el.Bar(trail.done, " · ".join(words))
    if set(trail.seeds_in_memory) != set(block.seeds):
        alive += f"; {seeds_text(trail.seeds_in_memory)} in memory"
    job = f", job {trail.job}" if trail.job else ""
    yield el.Caption(f"{alive}; host {trail.host}, process {trail.pid}{job}.")


def _curves(running: list[Seen], study: Study, ask: el.Ask) -> Iterator[el.Element]:
    """One quantity over the epochs so far, a chart for each dataset."""
    if not running:
        return
    yield el.Heading("Curves so far")
    tables_of, problems = histories(running)
    terms = summary.measured_in(*tables_of.values()) or [summary.METRIC]
    term = ask.one(el.Choice("Term", "term", terms, summary.title_of))
    yield from warnings(problems)
    for dataset in dict.fromkeys(seen.block.dataset for seen in running):
        here = [seen for seen in running if seen.block.dataset == dataset]
        of_line = [
            (line, seen.block.model, _title(seen, study), tables_of[line])
            for seen in here[:LINES]
            if (line := str(seen.block.folder)) in tables_of
        ]
        epochs = by_seed(of_line, term)
        if epochs.empty:
            yield el.Text(f"No epoch on {dataset} has ended yet.")
            continue
        said = f"On {dataset}: {message(epochs, term)}"
        yield el.Text(said)
        yield el.Chart(f"curves-so-far-{dataset}", partial(lines, epochs, term), said)
        text = (
            "How to read it: one line per block, the mean over its seeds, which are "
            "the thin lines. Averages over each epoch while training."
        )
        if len(here) > LINES:
            text += f" Only the first {LINES} of {len(here)} blocks are drawn."
        yield el.Caption(text)


def _interrupted(
    found: Standing, study: Study, zone: tzinfo | None
) -> Iterator[el.Element]:
    for seen in found.with_status("silent")[:ROWS]:
        text = (
            f"{_name(seen, study)}: no sign of life since {_clock(seen.alive, zone)} "
            f"({_ago(seen.alive)}). Its process was killed, or its host is gone. "
        )
        yield el.Notice(text + GOES_ON, "warning")
    for seen in found.with_status("stopped")[:ROWS]:
        yield el.Notice(f"{_name(seen, study)}: was interrupted. {GOES_ON}")


def _ended(found: Standing, study: Study) -> Iterator[el.Element]:
    """The last of the blocks that have ended, the latest first."""
    trained = [seen for seen in found.seen if seen.trained is not None]
    trained.sort(key=lambda seen: seen.trained, reverse=True)
    broken = {"failed", "damaged"}
    failed = [seen for seen in trained if broken & set(seen.cells.values())]
    others = [seen for seen in trained if seen not in failed]
    for head, ended in (("Failed", failed), ("Trained last", others)):
        if not ended:
            continue
        yield el.Heading(head)
        last = ended[:ROWS]
        text = f"The last {len(last)} of {len(ended)} blocks."
        yield el.Table(_table(last, study), f"{head}. {text}")
        if len(last) < len(ended):
            yield el.Caption(text)


def _table(ended: Sequence[Seen], study: Study) -> pd.DataFrame:
    """Blocks that are trained: which, when, and what became of them, as text."""
    return pd.DataFrame(
        {
            "Block": [_name(seen, study) for seen in ended],
            "Trained": [_ago(seen.trained) for seen in ended],
            "What became of it": [progress.outcome(seen) for seen in ended],
        }
    )


def _title(seen: Seen, study: Study) -> str:
    return f"{study.title(seen.block.model)}, {seeds_text(seen.block.seeds)}"


def _name(seen: Seen, study: Study) -> str:
    return f"{_title(seen, study)}, {seen.block.dataset}"


def _clock(moment: float, zone: tzinfo | None) -> str:
    """The time of day for the visitor, with the date where it is not today's."""
    here = datetime.fromtimestamp(moment, zone)
    today = datetime.now(here.tzinfo).date()
    return f"{here:%H:%M:%S}" if here.date() == today else f"{here:%Y-%m-%d %H:%M:%S}"


def _ago(moment: float) -> str:
    return f"{duration(max(time.time() - moment, 0.0))} ago"
