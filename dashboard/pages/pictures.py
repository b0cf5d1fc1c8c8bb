"""What the models make of images: reconstructions, samples, latents, posteriors."""

from collections.abc import Generator, Iterator, Sequence
from functools import partial

import pandas as pd
from PIL import Image

from comvae.results.index import STATUSES, Run
from comvae.results.pictures import Arrays
from dashboard import elements as el
from dashboard import gallery, summary
from dashboard.charts import tiles
from dashboard.charts.posterior import posterior
from dashboard.comparison import image_gaps
from dashboard.decomposition import gaps_of
from dashboard.gallery import Found
from dashboard.sharp import sharp
from dashboard.study import Study, warnings
from dashboard.summary import title_of
from dashboard.text import extremes, number

AT_MEANS = (
    "Pixels are means of p(x|z), z is the mean of q(z|x), and weights that are random "
    "are at their means: nothing here is drawn at random."
)
SECTIONS = (
    "Reconstructions of the same images",
    "Images with the widest gap",
    "Samples from the prior",
    "Latent by latent",
    "Posteriors beside the prior",
)
POSTERIORS = 3  # images whose posteriors are drawn
WIDTH = 84  # pixels, of the image above its posteriors


def compose(study: Study, ask: el.Ask) -> Iterator[el.Element]:
    """The whole page."""
    yield el.Text("What the models make of the same images.")
    dataset = ask.one(el.Choice("Dataset", "dataset", study.datasets))
    here = study.runs_on(dataset)
    seeds = sorted({run.seed for run in here}) or [0]
    seed = ask.one(el.Choice("Seed", "seed", seeds))
    names = study.in_order(run.model for run in here)
    first = summary.default_models(study, dataset, names)
    models = ask.some(
        el.Choice("Models", "models", names, study.title, default=first, written=names)
    )
    of_seed = {run.model: run for run in here if run.seed == seed}
    chosen = [of_seed[model] for model in models if model in of_seed]
    if not chosen:
        yield el.Notice("Choose at least one model above.")
        return
    found, absent, problems = gallery.load(chosen)
    yield from warnings(problems)
    for run in absent:
        yield _absent(run, study)
    images = gallery.shared_images(found) if found else []
    if found and not images:
        yield el.Notice(
            "These models are pictured on other images each, so that they cannot be "
            "set beside each other. `make study` pictures them on the same.",
            "warning",
        )
    if not images:
        return
    yield el.Contents(SECTIONS)
    yield from _reconstructions(found, study, images)
    widest = yield from _widest(chosen, found, study, images, ask)
    yield from _samples(found, study)
    yield from _traversals(found, study, ask)
    yield from _posteriors(found, study, images, widest, ask)


def _absent(run: Run, study: Study) -> el.Notice:
    status = STATUSES.get(run.status, run.status or "unknown")
    text = f"No pictures of {study.title(run.model)}, seed {run.seed} ({status})."
    if run.status in ("finished", "evaluated"):
        return el.Notice(f"{text} `make study` draws them.")
    return el.Notice(text, "warning")


def _rows(
    name: str, rows: Sequence[tiles.Row], message: str, lines: int = 1
) -> Iterator[el.Element]:
    """Rows of equally many images below their message, at most `lines` lines each."""
    yield el.Text(message)
    names = "; ".join(row.name for row in rows)
    says = f"Rows of images: {names}. {message}"
    draw = partial(tiles.gallery, rows, lines)
    yield el.Chart(name, draw, says, still=partial(tiles.sheet, rows))


def _reconstructions(
    found: Found, study: Study, images: list[int]
) -> Iterator[el.Element]:
    yield el.Heading(SECTIONS[0])
    means = gallery.errors(found, study, images)
    what = f"The mean reconstruction error over {len(images)} test images"
    message = extremes(what, means)
    shown = gallery.spread(images, gallery.SHOWN)
    rows = gallery.reconstruction_rows(found, study, shown)
    yield from _rows("reconstructions", rows, message)
    yield el.Caption(
        "How to read it: each column is one test image, each row a model; columns that "
        "do not fit the screen are left out. The error is \N{MINUS SIGN}log p(x|z) in "
        f"nats and stands in the tooltip. {AT_MEANS}"
    )


def _widest(
    chosen: list[Run], found: Found, study: Study, images: list[int], ask: el.Ask
) -> Generator[el.Element, None, list[int]]:
    """Shows the images with the widest gaps, and gives their numbers."""
    yield el.Heading(SECTIONS[1])
    if not study.measures_gaps:
        yield el.Notice("This study measures no gaps: its setting `gap.images` is 0.")
        return []
    gap = ask.one(el.Choice("Gap", "gap", gaps_of("runs"), title_of))
    table, problems = image_gaps(chosen, "test", gap)
    table = table[table.index.isin(images)]
    measured = [model for model in found if model in table]
    if not measured or table.empty:
        yield from warnings(problems)
        yield el.Text("The gaps of these models are not measured on these images.")
        return []
    under = ask.one(el.Choice("Widest under", "under", measured, study.title))
    yield from warnings(problems)
    rows = gallery.widest_rows(found, study, table, under)
    values = table[under]
    message = (
        f"{title_of(gap)} of {study.title(under)}: {number(values.max())} nats on "
        f"image {values.idxmax()}, the widest of {len(values)}; the median is "
        f"{number(values.median())} nats."
    )
    yield from _rows("widest-gaps", rows, message)
    yield el.Caption(
        "How to read it: below each reconstruction stands the gap of that image under "
        "that model, in nats, with weights sampled as on the page Gaps; the widest "
        f"come first. {AT_MEANS}"
    )
    return [int(image) for image in values.sort_values(ascending=False).index]


def _samples(found: Found, study: Study) -> Iterator[el.Element]:
    yield el.Heading(SECTIONS[2])
    rows = gallery.sample_rows(found, study)
    message = "Images decoded from the same draws z ~ N(0, I) by every model."
    yield from _rows("samples", rows, message, lines=2)
    yield el.Caption(
        "How to read it: the same place in each row is the same z, but each model "
        "arranges its latents by itself. Blurred or mixed images come from places "
        "where q(z|x) of no image lies."
    )


def _traversals(found: Found, study: Study, ask: el.Ask) -> Iterator[el.Element]:
    """Each latent of one model by itself, around 0 and around an image."""
    yield el.Heading(SECTIONS[3])
    model = ask.one(el.Choice("Traversed model", "of", list(found), study.title))
    arrays = found[model]
    anchors = [int(image) for image in arrays.traversal_image if image >= 0]
    name = "test image {}".format
    around = ask.one(el.Choice("Second traversal around", "around", anchors, name))
    kl = arrays.dimension_kl()
    used = int((kl > gallery.USED).sum())
    message = (
        f"{study.title(model)} uses {used} of {len(kl)} latents: as many have a mean "
        f"KL above {gallery.USED} nats."
    )
    yield el.Text(message)
    columns: list[list[el.Element]] = []
    for image, kept, where in (
        (-1, "prior", "the mean of the prior, 0"),
        (around, f"image-{around}", f"q(z|x) of image {around}"),
    ):
        place = arrays.traversal_image.tolist().index(image)
        draw = partial(tiles.steps, *gallery.traversal_rows(arrays, place))
        says = f"Latent traversal of {study.title(model)} around {where}. {message}"
        chart = el.Chart(f"traversal-{kept}", draw, says, still=draw)
        columns.append([el.Subheading(f"Around {where}"), chart])
    yield el.Columns(columns)
    yield el.Caption(
        "How to read it: each row changes one latent alone, from 3 standard deviations "
        "of the prior below 0 to 3 above; the others stay. The most used latents "
        "come first, by their mean KL in nats; a row whose images are all alike is a "
        "latent that the decoder does not use."
    )


def _posteriors(
    found: Found, study: Study, images: list[int], widest: list[int], ask: el.Ask
) -> Iterator[el.Element]:
    """q(z given x) of chosen images beside the prior; `widest` are offered first."""
    yield el.Heading(SECTIONS[4])
    typical = gallery.spread(images, POSTERIORS)
    first = list(dict.fromkeys([*widest[:1], *typical]))[:POSTERIORS]
    chosen = ask.some(
        el.Choice(
            "Images, of which three are drawn",
            "images",
            list(dict.fromkeys([*widest, *images])),
            "test image {}".format,
            default=first,
        )
    )
    if not chosen:
        yield el.Notice("Choose at least one image above.")
        return
    tables = {
        image: gallery.posteriors(found, study, image) for image in chosen[:POSTERIORS]
    }
    arrays = next(iter(found.values()))
    yield el.Columns([_posterior(arrays, *each) for each in tables.items()])
    latents = max(table["rank"].max() for table in tables.values())
    text = (
        "How to read it: the mark is the mean of q(z|x), the line one standard "
        "deviation on either side, the band the same of the prior. Latents are ordered "
        "by their mean KL, the most used first, for each model by itself: the first of "
        "one model need not mean what the first of another does. A line as wide as the "
        "band, at 0, says nothing about the image. Random weights are at their means."
    )
    if latents > gallery.DIMENSIONS:
        text += f" The first {gallery.DIMENSIONS} of {latents} latents are drawn."
    yield el.Caption(text)


def _posterior(arrays: Arrays, image: int, table: pd.DataFrame) -> list[el.Element]:
    """One image above the posteriors of all models."""
    narrow = table.groupby("title", sort=False)["deviation"].mean()
    message = (
        f"Image {image}: the mean standard deviation of q(z|x) is "
        f"{number(narrow.min())} ({narrow.idxmin()})"
    )
    if len(narrow) > 1:
        message += f" to {number(narrow.max())} ({narrow.idxmax()})"
    message += "."
    [place] = arrays.places([image])
    png = sharp(Image.fromarray(arrays.original[place]), WIDTH)
    drawn = table[table["rank"] <= gallery.DIMENSIONS]
    draw = partial(posterior, drawn)
    return [
        el.Picture(f"image-{image}", png, f"Test image {image}.", width=WIDTH),
        el.Text(message),
        el.Chart(f"posterior-{image}", draw, message),
    ]
