"""Off the training data: how well each model tells foreign images from its own."""

from collections.abc import Iterator

import pandas as pd

from comvae.results.quantities import QUANTITIES, names
from dashboard import elements as el
from dashboard.study import Study
from dashboard.text import effect_text, number, with_interval

SCORES = names(table="ood")
LIKELIHOODS = ("foreign_negative_log_px", "foreign_negative_elbo")
KNOWS = ("knows_own", "knows_foreign")
CHANCE = 0.5
WIDER = "generalisation_gap"


def compose(study: Study, ask: el.Ask) -> Iterator[el.Element]:
    """The whole page."""
    dataset = ask.one(el.Choice("Dataset", "dataset", study.datasets))
    table = study.of("ood", dataset)
    if table is None:
        yield from study.lacking("ood")
        return
    others = table["foreign"].unique().tolist()
    foreign = ask.one(el.Choice("Foreign images", "foreign", others))
    here = table[table["foreign"] == foreign]
    rows = here.pivot(index="model", columns="quantity")
    rows = rows.loc[study.in_order(rows.index)]
    yield el.Text(_answer(study, rows["mean"], dataset, foreign))
    misled = rows["mean"][[*LIKELIHOODS]].lt(CHANCE).any(axis=1)
    if misled.any():
        models = "; ".join(study.title(model) for model in misled.index[misled])
        yield el.Notice(
            f"The likelihood misleads here: {models} find images of {foreign} more "
            f"probable than test images of {dataset}. A Bernoulli likelihood is known "
            "to do so; neither it nor the ELBO tells what is foreign.",
            "warning",
        )
    yield el.Heading(f"Telling {foreign} from {dataset}")
    says = "Area under the ROC curve of each score, by model."
    yield el.Table(_table(study, rows, SCORES), says)
    yield el.Caption(
        "How to read it: the chance that a foreign image scores higher than a test "
        "image of the dataset; 0.5 is chance, below it the score is the wrong way "
        "round. Mean over seeds with its 95% interval. The gap is L[q*] "
        "\N{MINUS SIGN} L[q], the Likelihood Regret; the variance is that of the ELBO "
        "over draws of the encoder's weights, which plain encoders have not."
    )
    yield el.Heading("Does a random encoder know where it is wrong?")
    says = "Rank correlation of the variance with the gap, image by image, by model."
    yield el.Table(_table(study, rows, KNOWS), says)
    yield el.Caption(
        "1: the images with the widest gap are those on which the weight draws "
        "disagree most. 0: they have nothing to do with each other."
    )
    yield el.File("tables/ood.csv")
    yield from _generalisation(study, dataset)


def _generalisation(study: Study, dataset: str) -> Iterator[el.Element]:
    """How much wider the gap is on test images than on those that were trained on."""
    table = study.of("gaps", dataset)
    yield from study.damage("gaps")
    if table is None:
        return
    rows = table[table["quantity"].eq(WIDER) & table["split"].eq("test")]
    rows = rows.set_index("model")
    shown = [
        {
            "Model": study.title(model),
            "Test minus train": effect_text(row["mean"], row["ci_low"], row["ci_high"]),
            "Seeds": number(row["n_seeds"], 0),
        }
        for model, row in rows.loc[study.in_order(rows.index)].iterrows()
    ]
    if not shown:
        return
    yield el.Heading("Does inference generalise to test images?")
    says = "Inference gap on test images minus that on training images."
    yield el.Table(pd.DataFrame(shown), says)
    yield el.Caption(
        f"{says[:-1]}, nats per image, with its 95% interval over seeds: what the "
        "encoder loses on images that it was not trained on."
    )


def _answer(study: Study, means: pd.DataFrame, dataset: str, foreign: str) -> str:
    """Which model tells foreign images best, and by what, in one sentence."""
    areas = means[SCORES].stack().dropna()
    if areas.empty:
        return f"No model is scored on {foreign} yet."
    model, score = areas.idxmax()
    return (
        f"Of all models and scores, {QUANTITIES[score].title} of {study.title(model)} "
        f"tells {foreign} from {dataset} best: it puts a foreign image above a test "
        f"image {number(100 * areas.max(), 0)} times in 100."
    )


def _table(study: Study, rows: pd.DataFrame, quantities: tuple | list) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"Model": study.title(model)}
            | {
                QUANTITIES[name].heading: with_interval(
                    *(row[part, name] for part in ("mean", "ci_low", "ci_high"))
                )
                for name in quantities
            }
            | {"Seeds": number(row["n_seeds", quantities[0]], 0)}
            for model, row in rows.iterrows()
        ]
    )
