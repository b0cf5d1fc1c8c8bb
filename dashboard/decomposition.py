"""From the tables of gaps to what the page Gaps draws."""

import pandas as pd

from comvae.results.formats import BOTH
from comvae.results.quantities import QUANTITIES
from comvae.results.statistics import reach
from dashboard.charts.effects import effect_row
from dashboard.study import Study
from dashboard.text import NOTHING, extremes, number, with_interval

MAIN_GAP = "amortization_gap"
NOISE, AT_MEANS = "weight_noise_gap", "amortization_gap_mean_weights"  # its two parts
CERTIFICATE = "certificate"
PARTS = [NOISE, AT_MEANS, "approximation_gap"]  # of the inference gap, from the ELBO up
GAIN = ["elbo", "log_px", *reversed(PARTS)]  # the whole, then its parts
QUANTILES = {"q05": "5%", "q25": "25%", "median": "Median", "q75": "75%", "q95": "95%"}


def gaps_of(table: str) -> list[str]:
    """The gaps that a table has, the amortization gap first."""
    found = [
        name
        for name, quantity in QUANTITIES.items()
        if quantity.difference and quantity.better and table in quantity.tables
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
    """The rows of the stack of the gaps, from the ELBO to log p(x), which is at 0; the
    model that lacks least comes first."""
    rows, lacking = [], of_quantity(table, "inference_gap")["mean"]
    for model in sorted(measured(table, study), key=lacking.get):
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
    means = of_quantity(table, MAIN_GAP)["mean"].dropna().rename(study.title)
    if means.empty:
        return "No gap is measured here."
    return extremes("The amortization gap", dict(means), ("narrowest", "widest"))


def certified(table: pd.DataFrame, study: Study) -> str:
    """How far log p(x) may be off, in one sentence; empty without a certificate."""
    cells = of_quantity(table, CERTIFICATE)
    off = cells.apply(reach, axis="columns").astype(float).dropna()
    if off.empty:
        return ""
    return (
        f"{QUANTITIES[CERTIFICATE].title} {number(off.max(), 3)} nats per image, "
        f"{study.title(off.idxmax())} the least sure: it is bounded from both sides on "
        "images simulated from each model."
    )


def gains(attribution: pd.DataFrame, study: Study) -> pd.DataFrame:
    """The rows of the chart of effects: the gain of every model, the largest first, and
    its parts."""
    rows, by_model = [], attribution.set_index(["model", "part"])["effect"].unstack()
    by_model = by_model.reindex(columns=GAIN).dropna()
    for model in by_model.sort_values("elbo", ascending=False).index:
        of_model = attribution[attribution["model"] == model].set_index("part")
        for part in GAIN:
            name = "ELBO gain" if part == "elbo" else QUANTITIES[part].heading
            found = of_model.loc[part]
            row = effect_row(model, study.title(model), model, found, name)
            rows.append(row | {"quantity": part})
    return pd.DataFrame(rows)


def gain_message(rows: pd.DataFrame) -> str:
    """The largest gain and what the gap and the noise make of it, in one sentence."""
    best = rows.iloc[0]
    texts = rows[rows["model"] == best["model"]].set_index("quantity")["text"]
    most = "gains most over" if best["effect"] > 0 else "comes closest to"
    return (
        f"{best['title']} {most} vanilla: {texts['elbo']} nats, {texts[AT_MEANS]} by "
        f"the amortization gap and {texts[NOISE]} by weight noise."
    )


def bounds_table(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """The bounds between which gaps lie beside each other, as text."""
    ends = {end for gap in gaps_of("gaps") for end in QUANTITIES[gap].difference}
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
    """The same to be read."""
    heads = {"title": "Model", "mean": "Mean", **QUANTILES}
    both = [both_text(row) for _, row in rows.iterrows()]
    return rows[[*heads]].rename(columns=heads).assign(**{"Seeds and images": both})
