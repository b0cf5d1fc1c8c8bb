"""From the tables of gaps to what the page Gaps draws."""

import pandas as pd

from comvae.results.formats import BOTH
from comvae.results.quantities import QUANTITIES
from dashboard.charts.effects import effect_row
from dashboard.study import Study
from dashboard.text import NOTHING, number, with_interval

MAIN_GAP = "amortization_gap"
NOISE, AT_MEANS = "weight_noise_gap", "amortization_gap_mean_weights"  # its two parts
PARTS = [NOISE, AT_MEANS, "approximation_gap"]  # of the inference gap, from the ELBO up
GAIN = ["elbo", "log_px", *reversed(PARTS)]  # the whole, then its parts
QUANTILES = {"q05": "5%", "q25": "25%", "median": "Median", "q75": "75%", "q95": "95%"}


def gaps_of(table: str) -> list[str]:
    """The gaps that a table has, the amortization gap first."""
    found = [
        name
        for name, quantity in QUANTITIES.items()
        if quantity.difference is not None and table in quantity.tables
    ]
    return sorted(found, key=lambda name: name != MAIN_GAP)


def of_quantity(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """The rows of one quantity, by model."""
    return table[table["quantity"] == quantity].set_index("model")


def measured(table: pd.DataFrame, study: Study) -> list[str]:
    """The models whose gaps are measured here, in the study's order."""
    rows = table[table["quantity"].isin(PARTS)].dropna(subset="mean")
    return study.in_order(
        m for m, n in rows["model"].value_counts(sort=False).items() if n == len(PARTS)
    )


def stack_rows(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """The rows of the stack of the gaps, from the ELBO to log p(x), which is at 0."""
    rows = []
    for model in measured(table, study):
        here = table[table["model"] == model].set_index("quantity")
        at, sizes = here.loc["inference_gap"], -here.loc[PARTS, "mean"]
        ends = at["mean"] + sizes.cumsum().shift(fill_value=0.0)
        for part in PARTS:
            rows.append(
                {
                    "model": model,
                    "title": study.title(model),
                    "part": part,
                    "start": ends[part],
                    "stop": ends[part] + sizes[part],
                    "elbo": at["mean"],
                    "low": at["ci_low"],
                    "high": at["ci_high"],
                    "text": _interval(here.loc[part]),
                    "both": both_text(here.loc[part]),
                }
            )
    return pd.DataFrame(rows)


def _interval(row: pd.Series) -> str:
    return with_interval(row["mean"], row["ci_low"], row["ci_high"])


def both_text(row: pd.Series) -> str:
    """The interval over seeds and images, or a dash."""
    ends = [number(end) for end in row[BOTH].dropna()]
    return f"[{', '.join(ends)}]" if ends else NOTHING


def widest(table: pd.DataFrame, study: Study) -> str:
    """Where the amortization gap is narrowest and widest, in one sentence."""
    means = of_quantity(table, MAIN_GAP)["mean"].dropna()
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
    """The rows of the chart of effects: the gain and its parts, of every model."""
    rows = []
    for model in study.in_order(attribution["model"]):
        of_model = attribution[attribution["model"] == model].set_index("part")
        if not set(GAIN) <= set(of_model.index) or of_model["effect"].isna().all():
            continue
        for part in GAIN:
            name = "ELBO gain" if part == "elbo" else QUANTITIES[part].heading
            found = of_model.loc[part]
            row = effect_row(model, study.title(model), model, found, name)
            rows.append(row | {"quantity": part})
    return pd.DataFrame(rows)


def gain_message(rows: pd.DataFrame) -> str:
    """The largest gain and what the gap and the noise add to it, in one sentence."""
    total = rows[rows["quantity"] == "elbo"].set_index("model")
    best = total["effect"].idxmax()
    texts = rows[rows["model"] == best].set_index("quantity")["text"]
    return (
        f"{total.loc[best, 'title']} gains most over vanilla, {texts['elbo']} nats per "
        f"image in ELBO, of which the amortization gap makes {texts[AT_MEANS]} and the "
        f"weight noise {texts[NOISE]}."
    )


def bounds_table(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """The bounds between which gaps lie beside each other, as text."""
    ends = {end for each in QUANTITIES.values() for end in each.difference or ()}
    rows = []
    for model in measured(table, study):
        row = {"Model": study.title(model)}
        for name in [name for name in QUANTITIES if name in ends]:
            found, title = of_quantity(table, name), QUANTITIES[name].title
            row[title] = (
                _interval(found.loc[model]) if model in found.index else NOTHING
            )
        rows.append(row)
    return pd.DataFrame(rows)


def spread(table: pd.DataFrame, study: Study, gap: str) -> pd.DataFrame:
    """Mean and quantiles over the images of one gap, one row per model."""
    models = measured(table, study)
    rows = of_quantity(table, gap).reindex(models)
    rows["title"] = [study.title(model) for model in models]
    kept = ["title", "mean", *BOTH, *QUANTILES, "n_seeds", "images"]
    return rows[kept].reset_index(names="model")


def spread_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The same as text."""
    shown = {"Model": rows["title"].tolist()}
    for column, name in {"mean": "Mean", **QUANTILES}.items():
        shown[name] = rows[column].map(number).tolist()
    shown["Seeds and images"] = [both_text(row) for _, row in rows.iterrows()]
    return pd.DataFrame(shown)
