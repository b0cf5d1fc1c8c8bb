"""From the tables of gaps to what the page Gaps shows."""

import pandas as pd

from dashboard import summary
from dashboard.differences import effect_text
from dashboard.study import Study
from dashboard.summary import NOTHING, number

GAPS = {
    "amortization_gap": "Amortization gap",
    "approximation_gap": "Approximation gap",
    "inference_gap": "Both together",
}
PARTS = {
    "elbo": "ELBO gain",
    "log_px": "log p(x)",
    "approximation_gap": "approximation",
    "amortization_gap": "amortization",
}
BOUNDS = {
    "elbo": "L[q], weights sampled",
    "elbo_mean_weights": "weights at their means",
    "elbo_marginal": "q as a mixture over weights",
    "elbo_optimal": "best Gaussian q*",
    "log_px": "log p(x)",
}


def of_quantity(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """The rows of one quantity, by model."""
    return table[table["quantity"] == quantity].set_index("model")


def measured(table: pd.DataFrame, study: Study) -> list[str]:
    """The models whose gaps are measured here, in the study's order."""
    rows = of_quantity(table, "amortization_gap")
    return study.in_order(rows.index[rows["mean"].notna()])


def levels(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """The rows of the stack from log p(x) down to the ELBO."""
    rows = []
    elbo, best = of_quantity(table, "elbo"), of_quantity(table, "elbo_optimal")
    log_px = of_quantity(table, "log_px")
    for model in measured(table, study):
        ends = [float(t["mean"].get(model)) for t in (elbo, best, log_px)]
        rows += _bars(table, study, model, ends, elbo.loc[model])
    return pd.DataFrame(rows)


def below(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """The same stack with log p(x) of every model at 0: the gaps alone."""
    rows = []
    for model in measured(table, study):
        gaps = {name: of_quantity(table, name).loc[model] for name in GAPS}
        whole = gaps["inference_gap"]
        inner = gaps["approximation_gap"]["mean"]
        rows += _bars(table, study, model, [whole["mean"], inner, 0.0], whole)
    return pd.DataFrame(rows)


def _bars(
    table: pd.DataFrame, study: Study, model: str, ends: list[float], at: pd.Series
) -> list[dict]:
    rows = []
    for place, part in enumerate(("amortization_gap", "approximation_gap")):
        gap = of_quantity(table, part).loc[model]
        rows.append(
            {
                "model": model,
                "title": study.title(model),
                "part": part,
                "start": ends[place],
                "stop": ends[place + 1],
                "elbo": at["mean"],
                "low": at["ci_low"],
                "high": at["ci_high"],
                "text": with_interval(gap),
            }
        )
    return rows


def with_interval(row: pd.Series) -> str:
    """`0.94 ± 0.02`, with as much of it as there is."""
    if pd.isna(row["mean"]):
        return NOTHING
    text = number(row["mean"])
    if pd.isna(row["ci_high"]):
        return f"{text} (no interval)"
    half = number(row["ci_high"] - row["mean"])
    return f"{text}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{half}"


def widest(table: pd.DataFrame, study: Study) -> str:
    """Where the amortization gap is narrowest and widest, in one sentence."""
    means = of_quantity(table, "amortization_gap")["mean"].dropna()
    if means.empty:
        return "No gap is measured here."
    low, high = means.idxmin(), means.idxmax()
    if low == high:
        return (
            f"The amortization gap of {study.title(low)} is {number(means[low])} nats."
        )
    return (
        f"The amortization gap is narrowest for {study.title(low)}, "
        f"{number(means[low])} nats per image, and widest for {study.title(high)}, "
        f"{number(means[high])}."
    )


def gains(attribution: pd.DataFrame, study: Study) -> pd.DataFrame:
    """The rows of the chart of effects: four per model that has a gain."""
    rows = []
    for model in study.in_order(attribution["model"]):
        of_model = attribution[attribution["model"] == model].set_index("part")
        if not set(PARTS) <= set(of_model.index) or of_model["effect"].isna().all():
            continue
        for part, name in PARTS.items():
            found = of_model.loc[part]
            rows.append(
                {
                    "group": model,
                    "title": study.title(model),
                    "model": model,
                    "part": name,
                    "effect": found["effect"],
                    "low": found["ci_low"],
                    "high": found["ci_high"],
                    "text": effect_text(
                        found["effect"], found["ci_low"], found["ci_high"]
                    ),
                }
            )
    return pd.DataFrame(rows)


def gain_message(rows: pd.DataFrame) -> str:
    """The largest gain and what the amortization gap adds to it, in one sentence."""
    total = rows[rows["part"] == PARTS["elbo"]].set_index("model")
    best = total["effect"].idxmax()
    part = rows[(rows["model"] == best) & (rows["part"] == PARTS["amortization_gap"])]
    return (
        f"{total.loc[best, 'title']} gains most over vanilla, "
        f"{total.loc[best, 'text']} "
        "nats per image in ELBO, of which the amortization gap makes "
        f"{part.iloc[0]['text']}."
    )


def bounds_table(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """The meanings of L[q] beside each other, as text."""
    rows = []
    for model in measured(table, study):
        row = {"Model": study.title(model)}
        for quantity, name in BOUNDS.items():
            found = of_quantity(table, quantity)
            row[name] = with_interval(found.loc[model]) if model in found.index else ""
        rows.append(row)
    return pd.DataFrame(rows)


def spread(table: pd.DataFrame, study: Study, gap: str) -> pd.DataFrame:
    """Mean and quantiles over the images of one gap, one row per model."""
    models = measured(table, study)
    rows = of_quantity(table, gap).reindex(models)
    rows["title"] = [study.title(model) for model in models]
    kept = ["title", "mean", "q05", "q25", "median", "q75", "q95", "n_seeds", "images"]
    return rows[kept].reset_index(names="model")


def spread_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The same as text."""
    columns = {
        "mean": "Mean",
        "q05": "5%",
        "q25": "25%",
        "median": "Median",
        "q75": "75%",
        "q95": "95%",
    }
    shown = {"Model": rows["title"].tolist()}
    shown |= {name: rows[c].map(summary.number).tolist() for c, name in columns.items()}
    return pd.DataFrame(shown)
