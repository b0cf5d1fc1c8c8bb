"""The first page: what the study is, how far it is, and what it found."""

from collections.abc import Iterator

import pandas as pd

from comvae.results.claims import PAPER as PAPERS
from comvae.results.claims import of_source
from comvae.results.headline import headline, rivals_headline
from dashboard import elements as el
from dashboard import findings, progress, records, summary
from dashboard.differences import RULE
from dashboard.forecast import forecast
from dashboard.leaderboard import leaderboard
from dashboard.pages.claims import judged
from dashboard.study import Study, bounds_alone
from dashboard.text import counted

PAPER = el.WebLink(
    "https://doi.org/10.1109/ICASSP.2019.8683633",
    "Su, Lin and Chen, ICASSP 2019",
)


def compose(study: Study, ask: el.Ask) -> Iterator[el.Element]:
    """The whole page."""
    datasets = study.datasets
    dataset = datasets[0]
    if len(datasets) > 1:
        dataset = ask.one(el.Choice("Dataset", "dataset", datasets))
    yield from _headline(study, dataset)
    runs, found = study.table("runs"), None
    if runs is not None:
        found = findings.lead(runs, dataset, bounds_alone(study))
    if found is not None:
        best, _ = findings.best_model(study, runs, dataset, found)
        yield el.Heading(f"Best model: {best}")
        yield from leaderboard(study, runs, dataset, set(found.means.index))
    yield from _progress(study, dataset)
    yield from _findings(study, dataset, found)
    yield from _claims(study, dataset)


def _headline(study: Study, dataset: str) -> Iterator[el.Element]:
    """What is found, in a sentence; of which paper, and in which setting."""
    runs = study.table("runs")
    if runs is not None:
        said = headline(runs, study.table("attribution"), dataset)
        if said:
            yield el.Heading(said)
    if said := rivals_headline(study.table("rivals"), study.titles, dataset):
        yield el.Text(said)
        yield el.Link("rivals", "More: Rivals", {"dataset": dataset})
    yield el.Text(
        "Variational auto-encoders whose encoders have fixed, random, or dynamic "
        "weights: do they explain unseen images better, and is it because they narrow "
        "the amortization gap?"
    )
    setting = _setting(study, dataset)
    again = f"Compound Variational Auto-Encoder, run again on {setting}"
    yield el.Row([PAPER, el.Text(again)])
    yield from summary.departures(study, dataset)


def _setting(study: Study, dataset: str) -> str:
    """Images, seeds, epochs, commit and date of what was run."""
    datasets, _ = records.load_datasets(study.results)  # Provenance warns
    record, here = datasets.get(dataset, {}), study.runs_on(dataset)
    parts = [dataset]
    if {"height", "width"} <= record.keys():
        parts.append(f"{record['height']} x {record['width']} pixels")
    if isinstance(record.get("counts"), dict):
        parts += [
            f"{count:,} {split} images" for split, count in record["counts"].items()
        ]
    parts.append(counted(len({run.seed for run in here}), "seed"))
    for settings in records.load_settings(here[:1]).values():
        parts.append(f"{settings.get('training.epochs', '?')} epochs")
    runs = study.of("runs", dataset)
    commits = [] if runs is None else runs["git_commit"].dropna().unique()
    if len(commits) == 1:
        parts.append(f"commit {commits[0][:7]}")
    blocks, _ = records.load_blocks(here)
    if not blocks.empty and pd.notna(blocks["finished"].max()):
        parts.append(f"{blocks['finished'].max():%Y-%m-%d}")
    return f"{', '.join(parts)}."


def _progress(study: Study, dataset: str) -> Iterator[el.Element]:
    """How far the study is, the time left, and the way to what trains now."""
    now = progress.load_progress(study.results, study.folder.name)
    here = now.on(dataset)
    counts = here.counts()
    if not counts:
        return
    finished = counts.get("finished", 0)
    text = f"{dataset}: {progress.in_words(counts)}"
    if study.measures_gaps and finished:
        measured = sum(seen.measured for seen in here.seen)
        text += f"; gaps measured in {measured} of {finished}"
    done = finished / sum(counts.values())
    yield el.Caption(f"{text}.") if done == 1 else el.Bar(done, text)
    told, _ = progress.load_trails(now.with_status("running"))  # the page Live warns
    if text := forecast(now, told, study.table("runs")):
        yield el.Caption(text)
        yield el.Link("live", "More: Live")
    yield from summary.absent_runs(study, dataset)


def _findings(
    study: Study, dataset: str, found: findings.Lead | None
) -> Iterator[el.Element]:
    """The three findings, and how sure they are."""
    runs = study.table("runs")
    if runs is None:
        yield from study.lacking("runs")
        return
    attribution = study.table("attribution")
    yield from study.damage("attribution", "gaps")
    if found is None:
        yield el.Notice(f"No model has a finished run on {dataset} yet.")
        return
    model = findings.candidate(found)
    here = {"dataset": dataset}
    name, pair = "Another model", here
    if model is not None:
        name = study.title(model)
        pair = here | {"models": f"{findings.BASELINE},{model}"}
    answers = [
        (
            "Which model is best?",
            findings.best_model(study, runs, dataset, found),
            el.Link("table-1", "More: Table 1", here),
        ),
        (
            f"{name}: is its gain over vanilla real?",
            findings.against_vanilla(study, runs, attribution, dataset, model),
            el.Link("compare", "More: Compare", pair),
        ),
        (
            "How much of it is amortization gap?",
            findings.amortization(study, runs, attribution, dataset, model),
            el.Link("gaps", "More: Gaps", pair),
        ),
        (
            "What does it cost?",
            findings.cost(study, runs, dataset, model),
            el.Link("runs", "More: Runs", pair),
        ),
    ]
    cards = [
        [el.Answer(answer, question), el.Text(because), more]
        for question, (answer, because), more in answers
    ]
    yield el.Columns(cards, framed=True)
    text = f"How sure is it: {RULE}"
    absent = study.in_order(bounds_alone(study) & set(runs["model"]))
    if absent:
        names = "; ".join(map(study.title, absent))
        text += f" Not among the rivals, since no encoder gives their q(z|x): {names}."
    yield el.Caption(text)


def _claims(study: Study, dataset: str) -> Iterator[el.Element]:
    """The paper's claims with their verdicts, if the table is there."""
    claims = study.of("claims", dataset)
    if claims is None:
        yield from study.damage("claims")
        return
    yield el.Heading("The paper's claims")
    yield from judged(claims[claims["claim"].map(of_source) == PAPERS])
    yield el.Link("claims", "More: Claims", {"dataset": dataset})
