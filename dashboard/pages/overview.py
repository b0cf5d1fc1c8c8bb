"""The first page: what the study is, how far it is, and what it found."""

from collections.abc import Iterator
from functools import partial

from dashboard import elements as el
from dashboard import findings, progress, summary
from dashboard.charts.means import means
from dashboard.differences import RULE
from dashboard.forecast import forecast
from dashboard.study import Study, bounds_alone


def compose(study: Study, ask: el.Ask) -> Iterator[el.Element]:
    """The whole page."""
    yield el.Text(
        "Variational auto-encoders whose encoders have fixed, random, or dynamic "
        "weights, each trained across seeds. Do they explain unseen images better, and "
        "is it because they narrow the amortization gap?"
    )
    datasets = study.datasets
    dataset = datasets[0]
    if len(datasets) > 1:
        dataset = ask.one(el.Choice("Dataset", "dataset", datasets))
    yield from _progress(study, dataset)
    yield from _findings(study, dataset)
    yield from _chart(study, dataset)
    yield from _claims(study, dataset)


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
    yield el.Bar(finished / sum(counts.values()), text)
    told, _ = progress.load_trails(now.with_status("running"))  # the page Live warns
    if text := forecast(now, told, study.table("runs")):
        yield el.Caption(text)
        yield el.Link("live", "More: Live")
    yield from summary.absent_runs(study, dataset)


def _findings(study: Study, dataset: str) -> Iterator[el.Element]:
    """The three findings, and how sure they are."""
    runs = study.table("runs")
    if runs is None:
        yield from study.lacking("runs")
        return
    attribution, gaps = study.table("attribution"), study.table("gaps")
    yield from study.damage("attribution", "gaps")
    left_out = bounds_alone(study)
    found = findings.lead(runs, dataset, left_out)
    if found is None:
        yield el.Notice(f"No model has a finished run on {dataset} yet.")
        return
    model = findings.candidate(found)
    here = {"dataset": dataset}
    pair = here
    if model is not None:
        pair = here | {"models": f"{findings.BASELINE},{model}"}
    answers = [
        (
            "Which model is best?",
            findings.best_model(study, runs, dataset, found),
            el.Link("table-1", "More: Table 1", here),
        ),
        (
            "Is the gain over vanilla real?",
            findings.against_vanilla(study, runs, dataset, model),
            el.Link("compare", "More: Compare", pair),
        ),
        (
            "How much of it is amortization gap?",
            findings.amortization(study, attribution, gaps, dataset, model),
            el.Link("gaps", "More: Gaps", here),
        ),
    ]
    cards = [
        [el.Answer(answer, question), el.Text(because), more]
        for question, (answer, because), more in answers
    ]
    yield el.Columns(cards, framed=True)
    text = f"How sure is it: {RULE}"
    absent = study.in_order(left_out & set(runs["model"]))
    if absent:
        names = "; ".join(map(study.title, absent))
        text += f" Not among the rivals, since no encoder gives their q(z|x): {names}."
    yield el.Caption(text)


def _chart(study: Study, dataset: str) -> Iterator[el.Element]:
    """The test negative ELBO of all models, if one has a result."""
    if study.of("table1", dataset) is None:
        yield from study.damage("table1")
        return
    rows = summary.metric_rows(study, dataset, "test", summary.METRIC)
    rows = rows[~rows["model"].isin(bounds_alone(study))].reset_index(drop=True)
    if rows["mean"].isna().all():
        return
    yield el.Heading("All models, on images that none has seen")
    message = summary.finding(rows, summary.METRIC)
    yield el.Chart("means", partial(means, rows, summary.METRIC), message)
    caption = (
        "How to read it: a filled mark is the mean over seeds, the line its 95% "
        "interval. Lower is better. Overlapping intervals decide nothing, since seeds "
        "are paired: Compare shows the differences."
    )
    if rows["paper"].notna().any():
        caption += " A hollow diamond is the paper's value, which has no interval."
    yield el.Caption(caption)


def _claims(study: Study, dataset: str) -> Iterator[el.Element]:
    """How many of the paper's claims have which verdict, if the table is there."""
    claims = study.of("claims", dataset)
    if claims is None:
        yield from study.damage("claims")
        return
    yield el.Heading("The paper's claims")
    yield from summary.departures(study, dataset)
    yield el.Text(summary.verdicts(claims))
    yield el.Link("claims", "More: Claims", {"dataset": dataset})
