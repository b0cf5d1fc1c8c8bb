"""From the pictures of several models to what the page Pictures shows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from comvae.results import index as runs
from comvae.results.pictures import Arrays, load_arrays
from comvae.results.reading import noting
from dashboard.charts.tiles import Row
from dashboard.study import Study
from dashboard.text import number

Found = dict[str, Arrays]  # by model
SHOWN = 40  # images of a row: more than any screen has room for
WIDEST = 20  # of the images with the widest gaps
DIMENSIONS = 10  # latents of a posterior that are drawn: the most used ones
USED = 0.1  # nats: a latent of less KL hardly tells images apart


def load(
    chosen: Iterable[runs.Run],
) -> tuple[Found, list[runs.Run], list[str]]:
    """The pictures of runs of one seed, the runs without any, and what is damaged."""
    found: Found = {}
    absent, problems = [], []
    for run in chosen:
        with noting(problems):
            if (pictures := load_arrays(run)) is None:
                absent.append(run)
            else:
                found[run.model] = pictures
    return found, absent, problems


def shared_images(found: Found) -> list[int]:
    """The images that all models have, in order; none where their sizes differ."""
    if len({pictures.original.shape[1:] for pictures in found.values()}) != 1:
        return []
    first, *others = (set(p.image.tolist()) for p in found.values())
    return sorted(first.intersection(*others))


def spread(images: Sequence[int], wanted: int) -> list[int]:
    """`wanted` of the images from all parts of the list; all, where there are fewer."""
    if wanted >= len(images):
        return list(images)
    return [images[(2 * i + 1) * len(images) // (2 * wanted)] for i in range(wanted)]


def errors(found: Found, study: Study, images: list[int]) -> dict[str, float]:
    """Mean reconstruction error over `images` in nats, by the title of the model."""
    return {
        study.title(model): float(of.reconstruction_nats[of.places(images)].mean())
        for model, of in found.items()
    }


def reconstruction_rows(found: Found, study: Study, images: list[int]) -> list[Row]:
    """The images above their reconstructions by each model, with their errors."""

    def error(model: str, image: int) -> str:
        [place] = found[model].places([image])
        nats = number(found[model].reconstruction_nats[place])
        return f"image {image}: error {nats} nats"

    return _rows(found, study, images, error)


def widest_rows(
    found: Found, study: Study, table: pd.DataFrame, under: str
) -> list[Row]:
    """The images with the widest gap under a model, their reconstructions by all, and
    the gap of each; widest first. `table` has a column of gaps for each model."""
    widest = table[under].sort_values(ascending=False, kind="stable").index[:WIDEST]
    models = [under, *(model for model in found if model != under)]

    def note(model: str, image: int) -> str:
        return number(table.loc[image, model]) if model in table else ""

    def gap(model: str, image: int) -> str:
        nats = note(model, image)
        return f"image {image}: gap {nats} nats" if nats else f"image {image}"

    first, *rows = _rows({m: found[m] for m in models}, study, list(widest), gap)
    numbered = replace(
        first, name=f"{first.name}, by number", notes=[str(i) for i in widest]
    )
    return [
        numbered,
        *(replace(row, notes=[note(row.model, i) for i in widest]) for row in rows),
    ]


def _rows(
    found: Found, study: Study, images: list[int], tip: Callable[[str, int], str]
) -> list[Row]:
    """The images above their reconstructions by each model; `tip` says more of each."""
    arrays = next(iter(found.values()))
    tips = [f"image {number}" for number in images]
    rows = [Row("Original test images", arrays.original[arrays.places(images)], tips)]
    for model, arrays in found.items():
        drawn = arrays.reconstruction[arrays.places(images)]
        tips = [tip(model, image) for image in images]
        rows.append(Row(study.title(model), drawn, tips, model=model))
    return rows


def sample_rows(found: Found, study: Study) -> list[Row]:
    """Decoded draws from the prior by each model, as many as all have."""
    count = min(2 * SHOWN, *(len(pictures.sample) for pictures in found.values()))
    return [
        Row(
            study.title(model),
            pictures.sample[:count],
            [f"draw {i + 1}" for i in range(count)],
            model=model,
        )
        for model, pictures in found.items()
    ]


def traversal_rows(pictures: Arrays, place: int) -> tuple[list[Row], list[str]]:
    """A traversal, the most used latent first, and the heads of its columns."""
    kl = pictures.dimension_kl()
    heads = [
        f"{value:+g}".replace("-", "\N{MINUS SIGN}") if value else "0"
        for value in pictures.traversal_step
    ]
    rows = [
        Row(
            f"z{at + 1}|{number(kl[at])} nats",
            pictures.traversal[place, at],
            [f"z{at + 1} = {head}" for head in heads],
        )
        for at in np.argsort(-kl, kind="stable")
    ]
    return rows, heads


def posteriors(found: Found, study: Study, image: int) -> pd.DataFrame:
    """Mean and deviation of q(z given x) for one image by model and latent.

    Columns: model, title, rank (of the latent's KL, 1 is the most used), dimension,
    kl (mean over the images, nats), mean, deviation, low, high.
    """
    tables = []
    for model, pictures in found.items():
        kl = pictures.dimension_kl()
        order = np.argsort(-kl, kind="stable")
        [place] = pictures.places([image])
        mean, deviation = pictures.mean[place], pictures.deviation[place]
        tables.append(
            pd.DataFrame(
                {
                    "image": image,
                    "model": model,
                    "title": study.title(model),
                    "rank": np.arange(1, len(order) + 1),
                    "dimension": order + 1,
                    "kl": kl[order],
                    "mean": mean[order].astype(float),
                    "deviation": deviation[order].astype(float),
                }
            )
        )
    table = pd.concat(tables, ignore_index=True)
    return table.assign(
        low=table["mean"] - table["deviation"], high=table["mean"] + table["deviation"]
    )
