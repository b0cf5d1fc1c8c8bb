"""The paper's claims: what was found, and how the verdict is reached."""

import pandas as pd
import streamlit as st

from comvae.claims import RESOLUTION
from dashboard import charts, components, data, theme
from dashboard.components import plain
from dashboard.differences import effect_text
from dashboard.study import datasets_of, load_study
from dashboard.summary import METRICS, number

VERDICTS = {
    "supported": ("Supported", "green", ":material/check:"),
    "contradicted": ("Contradicted", "red", ":material/close:"),
    "inconclusive": ("Inconclusive", "orange", ":material/question_mark:"),
    "not run": ("Not run", "gray", ":material/hourglass_empty:"),
}
QUANTITIES = METRICS | {"amortization_gap": "Amortization gap"}
RULE = (
    "**How a verdict is reached.** Each claim says that a sum over models, its effect, "
    "is greater than a bar, which is 0 unless it says otherwise. The effect is paired "
    "by seed, with a 95% interval (Student's t over the seeds).\n\n"
    "- *Supported*: the whole interval lies above the bar.\n"
    "- *Contradicted*: the whole interval lies below it.\n"
    "- *Inconclusive*: the interval holds the bar, or there is one seed, or the effect "
    f"is within {RESOLUTION:g} nats of the bar, which the estimators cannot tell "
    "apart.\n"
    "- *Not run*: no seed has all that the effect is made of.\n\n"
    "A claim of several parts needs all of them; one contradicted part contradicts it. "
    "Intervals are not corrected for the number of claims."
)


def page() -> None:
    """The whole page."""
    st.title("Claims")
    st.markdown("What the paper says, and what this study finds.")
    results = data.results_folder()
    study = load_study(results)
    claims = components.opened(data.load_claims, results)
    components.notices(study.index.problems)
    if claims is None or claims.empty:
        components.no_table(results, study.index, "claims")
        return
    dataset = components.choose("Dataset", "dataset", datasets_of(claims))
    here = claims[claims["dataset"] == dataset]
    _verdicts(here)
    st.markdown(RULE)
    _chart(here)
    st.header("The numbers")
    components.text_table(
        numbers(here), says=f"Effects and verdicts of {here['claim'].nunique()} claims."
    )
    st.caption("Effects in nats per image, with their 95% interval over paired seeds.")
    components.download(results, "claims")


def _verdicts(claims: pd.DataFrame) -> None:
    for _, parts in claims.groupby("claim", sort=False):
        first = parts.iloc[0]
        words, colour, icon = VERDICTS.get(
            first["verdict"], (str(first["verdict"]), "gray", None)
        )
        left, right = st.columns([1, 4], vertical_alignment="center")
        left.badge(plain(words), icon=icon, color=colour)
        right.markdown(plain(first["statement"]))


def _chart(claims: pd.DataFrame) -> None:
    rows = effect_rows(claims)
    found = rows.dropna(subset="effect")
    st.header("Effects beyond their bar")
    if found.empty:
        st.markdown("No claim has a finished seed yet.")
        return
    says = message(claims)
    st.markdown(plain(says))
    chart = charts.effects(
        found,
        {row.model: theme.VERDICT_MARKS[row.model] for row in found.itertuples()},
        components.chart_ink(),
        x_title="Effect minus bar, nats per image (claimed: > 0)",
        wide=True,
    )
    components.show_chart(chart, says=says)
    st.caption(
        "How to read it: each claim's parts, the mark at the effect minus its bar, the "
        "line its 95% interval. Right of 0 the claim holds. Circles are supported, "
        "crosses contradicted, squares inconclusive. The scale is linear near 0 and "
        "logarithmic beyond, so that a collapse of tens of nats and a gain of a tenth "
        "can both be seen."
    )


def effect_rows(claims: pd.DataFrame) -> pd.DataFrame:
    """One row per part of a claim, for the chart of effects."""
    rows = []
    for claim, parts in claims.groupby("claim", sort=False):
        for place, part in enumerate(parts.itertuples(), start=1):
            rows.append(
                {
                    "group": claim,
                    "title": claim.replace("-", " "),
                    "model": part.part_verdict
                    if part.part_verdict in theme.VERDICT_MARKS
                    else "not run",
                    "part": f"part {place}" if len(parts) > 1 else "",
                    "effect": part.effect - part.at_least,
                    "low": part.ci_low - part.at_least,
                    "high": part.ci_high - part.at_least,
                    "text": f"{_quantity(part.metric)}: {part.definition}: "
                    + effect_text(part.effect, part.ci_low, part.ci_high),
                }
            )
    return pd.DataFrame(rows)


def message(claims: pd.DataFrame) -> str:
    """How many claims have which verdict, in one sentence."""
    counts = claims.drop_duplicates("claim")["verdict"].value_counts()
    words = [f"{n} {name}" for name, n in counts.items()]
    return f"Of {counts.sum()} claims of the paper: {', '.join(words)}."


def numbers(claims: pd.DataFrame) -> pd.DataFrame:
    """Every part of every claim as text."""
    rows = []
    for claim, parts in claims.groupby("claim", sort=False):
        for place, part in enumerate(parts.itertuples()):
            bar = f", more than {part.at_least:g}" if part.at_least else ""
            rows.append(
                {
                    "Claim": claim.replace("-", " ") if place == 0 else "",
                    "Verdict": part.verdict if place == 0 else "",
                    "Effect is": f"{_quantity(part.metric)}: {part.definition}{bar}",
                    "Effect": effect_text(part.effect, part.ci_low, part.ci_high),
                    "Seeds": number(part.n_seeds, 0),
                    "This part": part.part_verdict if len(parts) > 1 else "",
                }
            )
    return pd.DataFrame(rows)


def _quantity(metric: str) -> str:
    return QUANTITIES.get(metric, metric.replace("_", " "))


page()
