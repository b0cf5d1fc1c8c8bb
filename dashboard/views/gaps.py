"""The gaps: how far each model's ELBO lies below log p(x), and why."""

from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import charts, components, data, decomposition, theme
from dashboard.components import plain
from dashboard.study import Study, bounds_alone, datasets_of, load_study

SPLITS = {"test": "Test images", "train": "Training images"}
SHOWN = {
    "gaps": "The gaps alone, from 0",
    "levels": "From log p(x) down to the ELBO",
}


def page() -> None:
    """The whole page."""
    st.title("Gaps")
    st.markdown(
        "ELBO = log p(x) \N{MINUS SIGN} approximation gap \N{MINUS SIGN} amortization "
        "gap, for every image. The *approximation gap* is what the best diagonal "
        "Gaussian q\\* still lacks; the *amortization gap* is what the encoder's q "
        "lacks beside q\\*."
    )
    results = data.results_folder()
    study = load_study(results)
    gaps = components.opened(data.load_gaps, results)
    components.notices(study.index.problems)
    if not study.measures_gaps:
        st.info("This study measures no gaps: its setting `gap.images` is 0.")
        return
    if gaps is None or gaps.empty:
        components.no_table(results, study.index, "gaps")
        return
    dataset, split = _choices(gaps)
    here = gaps[(gaps["dataset"] == dataset) & (gaps["split"] == split)]
    measured = decomposition.measured(here, study)
    _absent(here, study, measured)
    if not measured:
        return
    models = _models(study, measured)
    if not models:
        st.info("Choose at least one model above.")
        return
    here = here[here["model"].isin(models)]
    marks = theme.marks(models, components.dark())
    _stack(here, study, marks, dataset)
    _gains(results, study, (dataset, split), models)
    _spread(here, study, marks)
    _bounds(here, study)
    components.download(results, "gaps")


def _choices(gaps: pd.DataFrame) -> tuple[str, str]:
    left, right = st.columns(2)
    with left:
        dataset = components.choose("Dataset", "dataset", datasets_of(gaps))
    known = set(gaps.loc[gaps["dataset"] == dataset, "split"])
    splits = [s for s in SPLITS if s in known] + sorted(known - set(SPLITS))
    with right:
        split = components.choose("Images", "split", splits, lambda s: SPLITS.get(s, s))
    return dataset, split


def _models(study: Study, measured: list[str]) -> list[str]:
    """Those to draw: at first all but the ends of the scale, which dwarf the rest."""
    ends = bounds_alone(study)
    return components.choose_many(
        "Models",
        "shown",
        measured,
        [model for model in measured if model not in ends] or measured,
        study.title,
    )


def _absent(here: pd.DataFrame, study: Study, models: list[str]) -> None:
    absent = [m for m in study.in_order(here["model"]) if m not in models]
    if absent:
        names = "; ".join(study.title(model) for model in absent)
        st.warning(plain(f"Not measured, or no run finished: {names}."))


def _stack(
    here: pd.DataFrame, study: Study, marks: dict[str, theme.Mark], dataset: str
) -> None:
    st.header(plain(f"What the ELBO lacks on {dataset}"))
    shown = components.choose("Show", "show", list(SHOWN), SHOWN.get)
    message = decomposition.widest(here, study)
    st.markdown(plain(message))
    if shown == "levels":
        rows = decomposition.levels(here, study)
        title = "nats per image (higher is better)"
    else:
        rows = decomposition.below(here, study)
        title = "log p(x) minus ELBO, nats per image (lower is better)"
    chart = charts.stack(rows, marks, components.chart_ink(), x_title=title)
    components.show_chart(chart, says=message)
    if shown == "levels":
        text = "the bar ends at log p(x) on the right and begins at the ELBO, where"
    else:
        text = (
            "the bar begins at log p(x), which is set to 0, and ends at the ELBO, where"
        )
    st.caption(
        f"How to read it: {text} the mark of the model stands, with its 95% interval "
        "over seeds. The part that the mark ends is the amortization gap, the other "
        "one the approximation gap."
    )


def _gains(
    results: Path, study: Study, view: tuple[str, str], models: list[str]
) -> None:
    dataset, split = view
    attribution = components.opened(data.load_attribution, results)
    st.header("What the gain over vanilla is made of")
    rows = pd.DataFrame()
    if attribution is not None:
        chosen = (attribution["dataset"] == dataset) & (attribution["split"] == split)
        chosen &= attribution["model"].isin(models)
        rows = decomposition.gains(attribution[chosen], study)
    if rows.empty:
        st.markdown(
            "There is no gain over vanilla to take apart: no other model has a seed "
            "whose gaps are measured together with vanilla's."
        )
        return
    message = decomposition.gain_message(rows)
    st.markdown(plain(message))
    marks = theme.marks(rows["model"].unique().tolist(), components.dark())
    chart = charts.effects(
        rows,
        marks,
        components.chart_ink(),
        x_title="Gain over vanilla, nats per image",
        wide=rows["effect"].abs().max() > 5,
    )
    components.show_chart(chart, says=message)
    text = (
        "How to read it: the ELBO gain is the sum of the three parts below it. What "
        "improves the ELBO is positive, a narrower gap too. Lines are 95% intervals, "
        "paired over seeds; one that crosses 0 shows nothing."
    )
    if rows["effect"].abs().max() > 5:
        text += " The scale is linear near 0 and logarithmic beyond."
    st.caption(text)
    components.download(results, "attribution")


def _spread(here: pd.DataFrame, study: Study, marks: dict[str, theme.Mark]) -> None:
    st.header("Image by image")
    gap = components.choose(
        "Gap", "gap", list(decomposition.GAPS), decomposition.GAPS.get
    )
    rows = decomposition.spread(here, study, gap)
    name = decomposition.GAPS[gap]
    images = rows["images"].max()
    message = (
        f"{name}: mean and median differ most for "
        f"{_most_skewed(rows)}, over {images:.0f} images."
    )
    st.markdown(plain(message))
    chart = charts.quantiles(
        rows, marks, components.chart_ink(), x_title=f"{name}, nats per image"
    )
    components.show_chart(chart, says=message)
    st.caption(
        "How to read it: the thin line holds 90% of the images, the thick one the "
        "middle half, the tick is the median and the mark the mean. A mean right of "
        "the thick line comes from few images with a large gap. Quantiles are averaged "
        "over seeds."
    )
    components.text_table(
        decomposition.spread_table(rows), says=f"{name} in nats by model: quantiles."
    )


def _most_skewed(rows: pd.DataFrame) -> str:
    place = (rows["mean"] - rows["median"]).abs().idxmax()
    row = rows.loc[place]
    return (
        f"{row['title']} ({row['mean']:.2f} and {row['median']:.2f} nats)"
        if pd.notna(place)
        else "no model"
    )


def _bounds(here: pd.DataFrame, study: Study) -> None:
    st.header("Which L[q]? Three meanings")
    st.markdown(
        "An encoder with random weights has more than one q. Its ELBO can be taken "
        "with the weights sampled for each image (what it is trained on, and what the "
        "gaps above are measured from), with the weights at their means, or with q as "
        "the mixture over all weights. They agree where weights are not random."
    )
    components.text_table(
        decomposition.bounds_table(here, study),
        says="Lower bounds on log p(x) of each model, in nats per image.",
    )
    st.caption(
        "Nats per image: mean ± half of the 95% interval over seeds; higher is better. "
        "The mixture may lie above the best Gaussian, since it is no Gaussian."
    )


page()
