"""The leaderboard of the first page: a row per model, the best one first."""

from collections.abc import Set

import pandas as pd

from comvae.results.headline import gain
from comvae.results.statistics import effect
from comvae.results.tables.attribution import BASELINE
from comvae.results.verdicts import verdict
from dashboard import elements as el
from dashboard.charts.parts import bars
from dashboard.decomposition import MAIN_GAP, of_quantity
from dashboard.differences import GAIN as VERDICTS
from dashboard.study import Study
from dashboard.summary import METRIC, compared

LESS, MORE, PARTS, GAP = "Negative ELBO", "Gain", "Its parts", "Gap"
HALF, THAN = "± 95%", "Beside vanilla"
TIME, ENCODING = "s per seed", "s per 1,000"
BY = dict(
    log_px="model",
    approximation_gap="approx.",
    amortization_gap_mean_weights="amort.",
    weight_noise_gap="noise",
)
"""The heads of the parts of a gain: generative model, two gaps, weight noise."""
FORMATS = {
    "Model": "",
    "Rank": ".0f",
    LESS: ".2f",
    MORE: "+.2f",
    HALF: ".2f",
    THAN: "",
    PARTS: el.PICTURE,
    **dict.fromkeys(BY.values(), "+.2f"),
    GAP: ".2f",
    "Parameters": ",.0f",
    TIME: ".1f",
    ENCODING: ".3g",
}
"""The columns in their order, and how their numbers are written."""
HOW = (
    "Nats per image on test images. Rank: 1 + the number of models that gain really "
    "more, by the rule below. The negative ELBO is over all test images; lower is "
    "better. Gains over vanilla, plus is better, are paired over seeds, with half of "
    "the 95% interval; "
)
AS_TRAINED = "Time is that of training, shared by the seeds of a block."
TO_ENCODE = " s per 1,000: to encode as many images."


def leaderboard(
    study: Study, runs: pd.DataFrame, dataset: str, models: Set[str]
) -> list[el.Element]:
    """The table of models that have finished runs, and how to read it."""
    here = runs[(runs["dataset"] == dataset) & (runs["split"] == "test")]
    here = here[here["model"].isin(models)].dropna(subset=METRIC)
    losses = compared(here).pivot(index="seed", columns="model", values=METRIC)
    attribution, gaps = study.table("attribution"), study.of("gaps", dataset)
    rivals = study.of("rivals", dataset)
    rivals = None if rivals is None else rivals.set_index("model")
    widths = {}
    if gaps is not None:
        widths = of_quantity(gaps[gaps["split"] == "test"], MAIN_GAP)["mean"]
    rows = []
    for model in losses:
        of_model = here[here["model"] == model]
        row = {
            "Rank": 1 + sum(_better(losses, other, model) for other in losses),
            "Model": study.title(model),
            LESS: of_model[METRIC].mean(),
        }
        if model == BASELINE:
            row |= {MORE: 0.0, HALF: 0.0, THAN: "the reference"}
            row |= dict.fromkeys(BY.values(), 0.0) if len(widths) else {}
        elif BASELINE in losses:
            found = gain(here, attribution, dataset, model)
            whole = found.iloc[0]
            row |= {
                MORE: whole["effect"],
                HALF: whole["ci_high"] - whole["effect"],
                THAN: VERDICTS[verdict(whole)],
            }
            row |= {BY[name]: part for name, part in found["effect"].iloc[1:].items()}
        row[GAP] = widths.get(model)
        row["Parameters"] = of_model["parameters"].mean()
        row[TIME] = of_model["train_seconds"].mean()
        if rivals is not None and model in rivals.index:
            row[ENCODING] = rivals.loc[model, "encode_seconds"]
        rows.append(row)
    table = pd.DataFrame(rows).dropna(axis="columns", how="all")
    if set(BY.values()) <= set(table):
        drawn = table.set_index("Model")[list(BY.values())].dropna()
        table[PARTS] = table["Model"].map(bars(drawn.T.to_dict("list")))
    table = table.sort_values(["Rank", LESS], ignore_index=True)[
        [name for name in FORMATS if name in table]
    ]
    says = f"{len(table)} models on {dataset}, the best first."
    of = (
        "they and their parts, which add up, are over the images of the gaps: what the "
        "generative model explains, log p(x), in blue, the approximation gap in light "
        "blue, the amortization gap at mean weights in orange, weight noise in grey. "
        "Gap: the amortization gap, with weight noise. "
    )
    parts = of if set(BY.values()) & set(table) else "they are over all test images. "
    return [
        el.SortableTable(table, says, {k: form for k, form in FORMATS.items() if form}),
        el.Caption(f"{HOW}{parts}{AS_TRAINED}{TO_ENCODE * (ENCODING in table)}"),
    ]


def _better(losses: pd.DataFrame, model: str, than: str) -> bool:
    """Whether a model's loss is really lower than another's, by seed."""
    return verdict(effect((losses[than] - losses[model]).dropna())) == "supported"
