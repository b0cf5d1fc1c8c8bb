"""The sections on latents of the page Pictures: traversals and posteriors."""

import pandas as pd
import streamlit as st

from dashboard import charts, components, gallery, sheet, theme
from dashboard.components import plain
from dashboard.gallery import Found
from dashboard.pictures import Pictures
from dashboard.study import Study
from dashboard.summary import number
from dashboard.tiled import download_rows


def traversals(found: Found, study: Study) -> None:
    """Each latent of one model by itself, around 0 and around an image."""
    st.header("Latent by latent")
    left, right = st.columns(2)
    with left:
        model = components.choose("Traversed model", "of", list(found), study.title)
    pictures = found[model]
    anchors = [int(image) for image in pictures.traversal_image if image >= 0]
    with right:
        around = components.choose(
            "Second traversal around", "around", anchors, "test image {}".format
        )
    kl = pictures.dimension_kl()
    used = int((kl > gallery.USED).sum())
    message = (
        f"{study.title(model)} uses {used} of {len(kl)} latents: as many have a mean "
        f"KL above {gallery.USED} nats."
    )
    st.markdown(plain(message))
    for column, image in zip(st.columns(2, gap="large"), (-1, around), strict=True):
        name = "the mean of the prior, 0" if image < 0 else f"q(z|x) of image {image}"
        with column:
            st.markdown(f"**{plain(f'Around {name}')}**")
            _traversed(
                pictures, image, f"{study.title(model)} around {name}. {message}"
            )
    st.caption(
        "How to read it: each row changes one latent alone, from 3 standard deviations "
        "of the prior below 0 to 3 above; the others stay. The most used latents "
        "come first, by their mean KL in nats; a row whose images are all alike is a "
        "latent that the decoder does not use."
    )


def _traversed(pictures: Pictures, image: int, says: str) -> None:
    place = pictures.traversal_image.tolist().index(image)
    rows, heads = gallery.traversal_rows(pictures, place)
    chart = charts.steps(rows, heads, components.chart_ink())
    components.show_chart(chart, says=f"Latent traversal of {says}")
    name = "traversal-prior" if image < 0 else f"traversal-image-{image}"
    download_rows(name, rows, heads)


def posteriors(
    found: Found, study: Study, images: list[int], widest: list[int]
) -> None:
    """q(z given x) of chosen images beside the prior; `widest` are offered first."""
    st.header("Posteriors beside the prior")
    typical = gallery.spread(images, 3)
    default = list(dict.fromkeys([*widest[:1], *typical]))[:3]
    chosen = components.choose_many(
        "Images, of which three are drawn",
        "images",
        [str(image) for image in dict.fromkeys([*widest, *images])],
        [str(image) for image in default],
        "test image {}".format,
    )
    if not chosen:
        st.info("Choose at least one image above.")
        return
    marks = theme.marks(list(found), components.dark())
    tables = []
    for column, name in zip(st.columns(3, gap="large"), chosen[:3], strict=False):
        table = gallery.posteriors(found, study, int(name))
        tables.append(table)
        with column:
            _posterior(found, study, int(name), table, marks)
    latents = tables[0]["rank"].max()
    text = (
        "How to read it: the mark is the mean of q(z|x), the line one standard "
        "deviation on either side, the band the same of the prior. Latents are ordered "
        "by their mean KL, the most used first, for each model by itself: the first of "
        "one model need not mean what the first of another does. A line as wide as the "
        "band, at 0, says nothing about the image. Random weights are at their means."
    )
    if latents > gallery.DIMENSIONS:
        text += f" The first {gallery.DIMENSIONS} of {latents} latents are drawn."
    st.caption(plain(text))
    content = pd.concat(tables).to_csv(index=False).encode()
    components.download_bytes("posteriors.csv", content)


def _posterior(
    found: Found,
    study: Study,
    image: int,
    table: pd.DataFrame,
    marks: dict[str, theme.Mark],
) -> None:
    narrow = table.groupby("title", sort=False)["deviation"].mean()
    message = (
        f"Image {image}: the mean standard deviation of q(z|x) is "
        f"{number(narrow.min())} ({narrow.idxmin()})"
    )
    if len(narrow) > 1:
        message += f" to {number(narrow.max())} ({narrow.idxmax()})"
    message += "."
    first = next(iter(found.values()))
    [place] = first.places([image])
    st.image(sheet.png(first.original[place]), width=84, alt=f"Test image {image}.")
    st.markdown(plain(message))
    drawn = table[table["rank"] <= gallery.DIMENSIONS]
    components.show_chart(
        charts.posterior(drawn, marks, components.chart_ink()), says=message
    )
