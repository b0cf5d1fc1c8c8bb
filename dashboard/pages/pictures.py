"""What the models make of images: reconstructions, samples, latents, posteriors."""

import pandas as pd
import streamlit as st

from dashboard import components, data, decomposition, gallery, latents
from dashboard.components import plain
from dashboard.gallery import Found
from dashboard.runs import STATUSES, Run
from dashboard.study import Study, load_study
from dashboard.summary import number
from dashboard.tiled import download_rows, show_rows

AT_MEANS = (
    "Pixels are means of p(x|z), z is the mean of q(z|x), and weights that are random "
    "are at their means: nothing here is drawn at random."
)


def page() -> None:
    """The whole page."""
    st.title("Pictures")
    results = data.results_folder()
    study = load_study(results)
    components.notices(study.index.problems)
    if not study.index.runs:
        st.markdown("What the models make of the same images.")
        components.nothing_yet(results)
        return
    table = components.opened(data.load_runs, results)
    chosen = _choices(study, table)
    if not chosen:
        st.info("Choose at least one model above.")
        return
    found, absent, problems = gallery.load(chosen)
    components.notices(problems)
    _absent(absent, study)
    images = gallery.shared_images(found) if found else []
    if found and not images:
        st.warning(
            "These models are pictured on other images each, so that they cannot be "
            "set beside each other. `make study` pictures them on the same."
        )
    if not images:
        return
    _reconstructions(found, study, images)
    widest = _widest(chosen, found, study, images)
    _samples(found, study)
    latents.traversals(found, study)
    latents.posteriors(found, study, images, widest)


def _choices(study: Study, table: pd.DataFrame | None) -> list[Run]:
    """The runs of the chosen dataset, seed and models."""
    left, middle, right = st.columns([1, 1, 4])
    index = study.index
    with left:
        names = list(dict.fromkeys(run.dataset for run in index.runs))
        dataset = components.choose("Dataset", "dataset", names)
    here = [run for run in index.runs if run.dataset == dataset]
    with middle:
        seeds = sorted({run.seed for run in here})
        seed = components.choose("Seed", "seed", seeds)
    names = study.in_order(run.model for run in here)
    with right:
        models = components.choose_many(
            "Models",
            "models",
            names,
            gallery.default_models(study, table, dataset, names),
            study.title,
        )
    of_seed = {run.model: run for run in here if run.seed == seed}
    return [of_seed[model] for model in models if model in of_seed]


def _absent(absent: list[Run], study: Study) -> None:
    for run in absent:
        status = STATUSES.get(run.status, run.status or "unknown")
        text = f"No pictures of {study.title(run.model)}, seed {run.seed} ({status})."
        if run.status in ("finished", "evaluated"):
            text += " `make study` draws them."
            st.info(plain(text))
        else:
            st.warning(plain(text))


def _reconstructions(found: Found, study: Study, images: list[int]) -> None:
    st.header("Reconstructions of the same images")
    means = gallery.errors(found, images)
    message = gallery.extremes(
        means, study, f"mean reconstruction error over {len(images)} test images"
    )
    st.markdown(plain(message))
    rows = gallery.reconstruction_rows(
        found, study, gallery.spread(images, gallery.SHOWN)
    )
    show_rows(rows, message)
    st.caption(
        "How to read it: each column is one test image, each row a model; columns that "
        "do not fit the screen are left out. The error is \N{MINUS SIGN}log p(x|z) in "
        f"nats and stands in the tooltip. {AT_MEANS}"
    )
    download_rows("reconstructions", rows)


def _widest(
    chosen: list[Run], found: Found, study: Study, images: list[int]
) -> list[int]:
    """Shows the images with the widest gaps, and gives their numbers."""
    st.header("Images with the widest gap")
    left, right = st.columns(2)
    with left:
        gap = components.choose(
            "Gap", "gap", list(decomposition.GAPS), decomposition.GAPS.get
        )
    if not study.measures_gaps:
        st.info("This study measures no gaps: its setting `gap.images` is 0.")
        return []
    table, problems = gallery.gaps(chosen, gap, images)
    components.notices(problems)
    measured = [model for model in found if model in table]
    if not measured or table.empty:
        st.markdown("The gaps of these models are not measured on these images.")
        return []
    with right:
        under = components.choose("Widest under", "under", measured, study.title)
    rows = gallery.widest_rows(found, study, table, under)
    name, values = decomposition.GAPS[gap], table[under]
    message = (
        f"{name} of {study.title(under)}: {number(values.max())} nats on image "
        f"{values.idxmax()}, the widest of {len(values)}; the median is "
        f"{number(values.median())} nats."
    )
    st.markdown(plain(message))
    show_rows(rows, message)
    st.caption(
        "How to read it: below each reconstruction stands the gap of that image under "
        "that model, in nats, with weights sampled as on the page Gaps; the widest "
        f"come first. {AT_MEANS}"
    )
    with st.container(horizontal=True):
        download_rows("widest-gaps", rows)
        content = table.rename_axis("image").to_csv().encode()
        components.download_bytes("pictured-gaps.csv", content)
    return [int(image) for image in values.sort_values(ascending=False).index]


def _samples(found: Found, study: Study) -> None:
    st.header("Samples from the prior")
    rows = gallery.sample_rows(found, study)
    message = "Images decoded from the same draws z ~ N(0, I) by every model."
    st.markdown(plain(message))
    show_rows(rows, message, lines=2)
    st.caption(
        "How to read it: the same place in each row is the same z, but each model "
        "arranges its latents by itself. Blurred or mixed images come from places "
        "where q(z|x) of no image lies."
    )
    download_rows("samples", rows)


page()
