"""Two or more models beside each other: curves, paired differences, images."""

from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import (
    charts,
    comparison,
    components,
    data,
    decomposition,
    summary,
    theme,
)
from dashboard.components import plain
from dashboard.differences import RULE
from dashboard.runs import Run
from dashboard.study import Study, load_study

SCATTERS = 3  # beside each other; more would not be looked at
SPLITS = {"test": "Test", "train": "Train"}


def page() -> None:
    """The whole page."""
    st.title("Compare")
    results = data.results_folder()
    study = load_study(results)
    components.notices(study.index.problems)
    if not study.index.runs:
        st.markdown("Two or more models beside each other.")
        components.nothing_yet(results)
        return
    dataset, models = _choices(study)
    if len(models) < 2:
        st.info("Choose at least two models above.")
        return
    here = [run for run in study.index.runs if run.dataset == dataset]
    chosen = [run for run in here if run.model in models]
    _curves(chosen, study, models)
    split = _differences(results, study, dataset, models)
    _images(chosen, study, models, split)


def _choices(study: Study) -> tuple[str, list[str]]:
    left, right = st.columns([1, 3])
    index = study.index
    with left:
        names = list(dict.fromkeys(run.dataset for run in index.runs))
        dataset = components.choose("Dataset", "dataset", names)
    here = study.in_order(run.model for run in index.runs if run.dataset == dataset)
    with right:
        models = components.choose_many(
            "Models, the first is what the others are compared with",
            "models",
            here,
            here[:3],
            study.title,
        )
    return dataset, models


def _curves(chosen: list[Run], study: Study, models: list[str]) -> None:
    st.header("Training")
    term = components.choose(
        "Term", "term", list(charts.TERM_TITLES), charts.TERM_TITLES.get
    )
    epochs, problems = comparison.epochs(chosen, study, term)
    components.notices(problems)
    if epochs.empty:
        st.markdown("None of these models has a training history yet.")
        return
    name = charts.TERM_TITLES[term]
    message = comparison.curves_message(epochs, name)
    st.markdown(plain(message))
    order = [model for model in models if model in set(epochs["model"])]
    epochs = epochs.sort_values("model", key=lambda column: column.map(order.index))
    marks = theme.marks(order, components.dark())
    components.show_chart(
        charts.bands(epochs, term, marks, components.chart_ink()), says=message
    )
    st.caption(
        "How to read it: the line is the mean over seeds, the band reaches from the "
        "lowest seed to the highest. Averages over each epoch while training, with "
        "weights and batch norm in training mode."
    )
    components.download_bytes("curves.csv", epochs.to_csv(index=False).encode())


def _differences(results: Path, study: Study, dataset: str, models: list[str]) -> str:
    st.header("Differences, seed by seed")
    left, right = st.columns(2)
    with left:
        split = components.choose("Split", "split", list(SPLITS), SPLITS.get)
    with right:
        metric = components.choose(
            "Quantity", "metric", list(comparison.METRICS), comparison.METRICS.get
        )
    table = components.opened(data.load_runs, results)
    if table is None:
        st.info("Differences need tables/runs.csv, which is not there or damaged.")
        return split
    view = (dataset, split, metric)
    rows, seeds = comparison.differences(table, study, view, models)
    _absent(rows, study)
    found = rows.dropna(subset="effect")
    if found.empty:
        text = "No seed has this quantity under the first model and another one."
        st.markdown(text)
        return split
    name = comparison.METRICS[metric]
    message = _message(found, study.title(models[0]), name)
    st.markdown(plain(message))
    better = {"log_px", "elbo"}
    sense = "positive" if metric in better else "negative"
    title = f"Difference in {name}, nats per image"
    chart = charts.effects(
        found,
        theme.marks(found["model"].tolist(), components.dark()),
        components.chart_ink(),
        x_title=title,
        seeds=seeds,
    )
    components.show_chart(chart, says=message)
    caption = (
        "How to read it: each thin tick is one seed's difference, the mark their mean, "
        "the line its 95% interval. "
    )
    if metric != "latent_kl":
        caption += f"A {sense} difference is better than the first model. "
    st.caption(plain(caption + RULE))
    components.text_table(
        difference_table(found), says=f"Paired differences of {len(found)} models."
    )
    components.download_bytes("differences.csv", _csv(found, seeds))
    return split


def _absent(rows: pd.DataFrame, study: Study) -> None:
    absent = rows.loc[rows["effect"].isna(), "model"]
    if len(absent):
        names = "; ".join(study.title(model) for model in absent)
        st.warning(plain(f"No seed in common with the first model here: {names}."))


def _message(found: pd.DataFrame, first: str, name: str) -> str:
    real = found[found["verdict"].str.startswith("clearly")]
    return (
        f"{len(real)} of {len(found)} differences to {first} in {name} are clearly "
        "different from 0."
    )


def difference_table(found: pd.DataFrame) -> pd.DataFrame:
    """The differences as text."""
    return pd.DataFrame(
        {
            "Difference": found["title"].tolist(),
            "Mean and 95% interval": found["text"].tolist(),
            "Seeds": [summary.number(n, 0) for n in found["n_seeds"]],
            "Which is": found["verdict"].tolist(),
        }
    )


def _csv(found: pd.DataFrame, seeds: pd.DataFrame) -> bytes:
    kept = found[["model", "effect", "low", "high", "n_seeds", "verdict"]]
    wide = seeds.pivot(index="group", columns="seed", values="value")
    wide = wide.rename(columns=lambda seed: f"seed_{seed:.0f}")
    return (
        kept.merge(wide, left_on="model", right_index=True, how="left")
        .to_csv(index=False)
        .encode()
    )


def _images(chosen: list[Run], study: Study, models: list[str], split: str) -> None:
    st.header("Image by image")
    gap = components.choose(
        "Gap", "gap", list(decomposition.GAPS), decomposition.GAPS.get
    )
    images, problems = comparison.image_gaps(chosen, split, gap)
    components.notices(problems)
    first = models[0]
    others = [model for model in models[1:] if model in images]
    if first not in images or not others:
        st.markdown(
            plain(
                f"No image has this gap under {study.title(first)} and another of "
                "these models: their gaps are not measured yet, or not on the same "
                "images."
            )
        )
        return
    name = decomposition.GAPS[gap]
    marks = theme.marks(others, components.dark())
    shown = others[:SCATTERS]
    columns = st.columns(len(shown), gap="large")
    for column, model in zip(columns, shown, strict=True):
        pairs = images[[first, model]].set_axis(["first", "second"], axis=1)
        wider = (pairs["second"] > pairs["first"]).mean()
        message = (
            f"{study.title(model)} has the wider gap on {wider:.0%} of {len(pairs)} "
            f"{SPLITS[split].lower()} images."
        )
        with column:
            st.markdown(plain(message))
            components.show_chart(
                charts.against(
                    pairs.reset_index(),
                    (study.title(first), study.title(model)),
                    marks[model],
                    components.chart_ink(),
                    gap=name,
                ),
                says=message,
            )
    text = (
        "How to read it: each point is one image, its gap averaged over the seeds of "
        "each model. Above the dashed line the gap is wider than under the first model."
    )
    if len(others) > SCATTERS:
        text += f" Only the first {SCATTERS} of {len(others)} models are drawn."
    st.caption(text)
    content = images[[first, *others]].to_csv().encode()
    components.download_bytes("image-gaps.csv", content)


page()
