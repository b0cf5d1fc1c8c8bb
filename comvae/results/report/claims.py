"""The paper's claims to read, each with what was found."""

import pandas as pd

from comvae.results.claims import RESOLUTION
from comvae.results.report.layout import Page, Section, with_interval
from comvae.results.report.table1 import HEADINGS
from comvae.study.plan import Plan

LEGEND = (
    "Effects in nats per image, paired over seeds, ± half of the 95% interval. A claim "
    "is supported where the whole interval lies above its bar (0 unless it says "
    "otherwise), contradicted where it lies below, and inconclusive else, with one "
    f"seed, or within {RESOLUTION} nats of the bar. A claim of several parts needs all "
    "of them."
)


def claims_page(plan: Plan, claims: pd.DataFrame) -> Page:
    """Every claim on every dataset of the study."""
    sections = [
        Section(
            f"{dataset}, claims of the paper",
            _readable(of_dataset),
            left=("claim", "effect is", "verdict"),
            wraps=True,
        )
        for dataset, of_dataset in claims.groupby("dataset", sort=False)
    ]
    return Page("claims", f"Claims in the study `{plan.study}`", LEGEND, sections)


def _readable(claims: pd.DataFrame) -> pd.DataFrame:
    """One row per claim, or one for it and one for each of its parts."""
    rows = []
    for _, parts in claims.groupby("claim", sort=False):
        statement, verdict = parts.iloc[0][["statement", "verdict"]]
        if len(parts) == 1:
            rows.append(_row(statement, parts.iloc[0], verdict))
            continue
        empty = {"effect is": "", "effect": "", "seeds": ""}
        rows.append({"claim": statement, **empty, "verdict": verdict})
        if set(parts["part_verdict"]) != {"not run"}:
            rows += [
                _row("", part, f"({part['part_verdict']})")
                for _, part in parts.iterrows()
            ]
    return pd.DataFrame(rows)


def _row(statement: str, part: pd.Series, verdict: str) -> dict[str, str]:
    metric = HEADINGS.get(part["metric"], part["metric"].replace("_", " "))
    metric = {"sum": "L_rec + D_KL"}.get(metric, metric)
    bar = f", more than {part['at_least']:g}" if part["at_least"] else ""
    return {
        "claim": statement,
        "effect is": f"{metric}: {part['definition']}{bar}",
        "effect": with_interval(
            part["effect"], part["ci_high"], part["n_seeds"], sign="+"
        ),
        "seeds": f"{part['n_seeds']:.0f}",
        "verdict": verdict,
    }
