"""What trains now: how far each block is, its curves so far, and what ended last."""

import time
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from comvae.errors import ResultsError
from dashboard import (
    charts,
    components,
    data,
    forecast,
    progress,
    theme,
    trails,
)
from dashboard.components import plain
from dashboard.forecast import duration
from dashboard.progress import Progress, Seen, seeds_text
from dashboard.study import Study, load_study
from dashboard.trails import Trail

EVERY = 3.0  # seconds
CARDS = 12  # blocks shown one by one; the others are counted
ABREAST = 2  # of them
LINES = 8  # blocks in one chart
ROWS = 8  # of what ended last
GOES_ON = "`make study` goes on from its last checkpoint."


def page() -> None:
    """The page, whose changing part alone runs again by itself."""
    st.title("Live")
    results = data.results_folder()
    study = load_study(results)
    components.notices(study.index.problems)
    updates = st.toggle(
        "Update by itself", value=True, key="updates", bind="query-params"
    )
    watch = st.fragment(run_every=EVERY if updates else None)(_now)
    watch(results, study, updates)


def _now(results: Path, study: Study, updates: bool) -> None:
    how = f"every {EVERY:.0f} s" if updates else "when the page is loaded again"
    st.caption(plain(f"As of {_clock(time.time())}; updated {how}."))
    found = progress.load_progress(results)
    if not found.seen:
        components.nothing_yet(results)
        return
    components.notices([p for p in found.problems if p not in study.index.problems])
    running = found.with_status("running")
    trails_by_block = _trails(running)
    _outlook(found, trails_by_block, results)
    _blocks(running, trails_by_block, study)
    _interrupted(found, study)
    _curves(running, study)
    _ended(found, study)


def _trails(running: list[Seen]) -> dict[str, Trail | None]:
    """The trail of each running block, by its folder."""
    found: dict[str, Trail | None] = {}
    for seen in running:
        try:
            found[str(seen.block.folder)] = trails.load_trail(seen)
        except ResultsError as error:
            components.notices([str(error)])
            found[str(seen.block.folder)] = None
    return found


def _outlook(
    found: Progress, trails_by_block: dict[str, Trail | None], results: Path
) -> None:
    """The study as a whole: what is done, and when the rest may be."""
    counts = found.counts()
    st.header("The study")
    st.progress(
        counts.get("finished", 0) / sum(counts.values()),
        text=plain(progress.in_words(counts)),
    )
    try:
        runs = data.load_runs(results)
    except ResultsError:
        runs = None  # the pages that show the table say so
    left = {
        name: trail and trail.seconds_left for name, trail in trails_by_block.items()
    }
    outlook = forecast.forecast(found, left, runs)
    if text := forecast.in_words(outlook):
        st.markdown(plain(text))
    if not outlook.running and outlook.to_come:
        st.markdown("In a terminal, at the root of the repository, this goes on:")
        st.code("make study", language="bash")


def _blocks(
    running: list[Seen], trails_by_block: dict[str, Trail | None], study: Study
) -> None:
    """A card for each running block."""
    st.header("Training now")
    if not running:
        st.markdown("No block trains at the moment.")
        return
    for place in range(0, min(len(running), CARDS), ABREAST):
        row = running[place : place + ABREAST]
        columns = st.columns(min(len(running), ABREAST))
        for column, seen in zip(columns, row, strict=False):
            with column.container(border=True):
                _card(seen, trails_by_block[str(seen.block.folder)], study)
    if len(running) > CARDS:
        st.markdown(f"And {len(running) - CARDS} more.")


def _card(seen: Seen, trail: Trail | None, study: Study) -> None:
    block = seen.block
    st.markdown(
        f"**{plain(study.title(block.model))}**"
        f" {plain(f'on {block.dataset}, {seeds_text(block.seeds)}')}"
    )
    alive = f"Last sign of life {_ago(seen.alive)}"
    if trail is None:
        st.progress(0.0, text="Starting: it has told nothing yet")
        st.caption(plain(f"{alive}."))
        return
    words = [f"Epoch {trail.epoch} of {trail.epochs}"]
    if trail.seconds_left is not None:
        words.append(f"about {duration(trail.seconds_left)} left")
    if trail.images_per_second is not None:
        words.append(f"{trail.images_per_second:,.0f} images/s")
    st.progress(trail.done, text=plain(" · ".join(words)))
    if set(trail.together) != set(block.seeds):
        alive += f"; {seeds_text(trail.together)} in memory"
    st.caption(plain(f"{alive}; {trail.where}."))


def _curves(running: list[Seen], study: Study) -> None:
    if not running:
        return
    st.header("Curves so far")
    term = components.choose(
        "Term", "term", list(charts.TERM_TITLES), charts.TERM_TITLES.get
    )
    for dataset in dict.fromkeys(seen.block.dataset for seen in running):
        here = [seen for seen in running if seen.block.dataset == dataset]
        shown = here[:LINES]
        epochs, problems = trails.curves(shown, study, term)
        components.notices(problems)
        if epochs.empty:
            st.markdown(plain(f"No epoch on {dataset} has ended yet."))
            continue
        name = f"{charts.TERM_TITLES[term]} on {dataset}"
        message = trails.curves_message(epochs, name)
        st.markdown(plain(message))
        components.show_chart(
            charts.bands(epochs, term, _marks(shown), components.chart_ink()),
            says=message,
            file=f"curves-so-far-{dataset}.csv",
        )
        text = (
            "How to read it: one line per block, the mean over its seeds; the band "
            "reaches from the lowest seed to the highest. Averages over each epoch "
            "while training."
        )
        if len(here) > LINES:
            text += f" Only the first {LINES} of {len(here)} blocks are drawn."
        st.caption(text)


def _marks(seen: list[Seen]) -> dict[str, theme.Mark]:
    """The colour of its model for each block; blocks of one model differ in dashes."""
    models = theme.marks([one.block.model for one in seen], components.dark())
    marks, before = {}, dict.fromkeys(models, 0)
    for one in seen:
        model = one.block.model
        mark = models[model]
        turn = theme.DASHES.index(mark.dash) + before[model]
        dash = theme.DASHES[turn % len(theme.DASHES)]
        marks[str(one.block.folder)] = theme.Mark(mark.colour, mark.shape, dash)
        before[model] += 1
    return marks


def _interrupted(found: Progress, study: Study) -> None:
    for seen in found.with_status("silent")[:ROWS]:
        st.warning(
            plain(f"{_name(seen, study)}: no sign of life since {_clock(seen.alive)} ")
            + plain(f"({_ago(seen.alive)}). Its process was killed, or its host is ")
            + f"gone. {GOES_ON}"
        )
    for seen in found.with_status("stopped")[:ROWS]:
        st.info(f"{plain(_name(seen, study))}: was interrupted. {GOES_ON}")


def _ended(found: Progress, study: Study) -> None:
    trained = [seen for seen in found.seen if seen.trained is not None]
    trained.sort(key=lambda seen: seen.trained, reverse=True)
    broken = {"failed", "damaged"}
    failed = [seen for seen in trained if broken & set(seen.cells.values())]
    _last("Failed", failed, study)
    _last("Trained last", [seen for seen in trained if seen not in failed], study)


def _last(head: str, ended: list[Seen], study: Study) -> None:
    """The last of the blocks that have ended, the latest first."""
    if not ended:
        return
    st.header(head)
    shown = ended[:ROWS]
    text = f"The last {len(shown)} of {len(ended)} blocks."
    components.text_table(ended_table(shown, study), says=f"{head}. {text}")
    if len(shown) < len(ended):
        st.caption(text)


def ended_table(ended: list[Seen], study: Study) -> pd.DataFrame:
    """Blocks that are trained: which, when, and what became of them, as text."""
    return pd.DataFrame(
        {
            "Block": [_name(seen, study) for seen in ended],
            "Trained": [_ago(seen.trained) for seen in ended],
            "What became of it": [_outcome(seen) for seen in ended],
        }
    )


def _outcome(seen: Seen) -> str:
    words = list(seen.cells.values())
    parts = [
        f"{words.count(word)} {text}"
        for word, text in progress.WORDS.items()
        if word in words
    ]
    if seen.measured:
        parts.append(f"gaps measured in {seen.measured}")
    why = [f"seed {seed}: {reason}" for seed, reason in progress.reasons(seen).items()]
    return "; ".join([", ".join(parts), *why])


def _name(seen: Seen, study: Study) -> str:
    return f"{trails.title(seen, study)}, {seen.block.dataset}"


def _clock(moment: float) -> str:
    """The time of day for the visitor, with the date where it is not today's."""
    zone = st.context.timezone
    here = datetime.fromtimestamp(moment, ZoneInfo(zone) if zone else None)
    today = datetime.now(here.tzinfo).date()
    return f"{here:%H:%M:%S}" if here.date() == today else f"{here:%Y-%m-%d %H:%M:%S}"


def _ago(moment: float) -> str:
    return f"{duration(max(time.time() - moment, 0.0))} ago"


page()
