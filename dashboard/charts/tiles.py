"""Small images in rows, each row below its name: as many columns as there is room."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd
from PIL import Image

from dashboard import theme
from dashboard.charts import scales
from dashboard.theme import Ink

TILE = 56  # pixels: 7 for each of 8x8, 2 for each of 28x28
GAP = 4
CELL = TILE + GAP
NAME_HEIGHT = 24  # the line of text above a row
NOTE_HEIGHT = 17  # the line of text below an image
ROW_GAP = 12
SHEET = 20  # images in a line of a sheet
SHEET_WIDTH = 400  # pixels, at least: names need them
LEFT = 66  # width of the names where they stand left of their rows


@dataclass(frozen=True, eq=False)
class Row:
    """Images (k, h, w) in uint8, with one name and, each, a tip and maybe a note."""

    name: str
    images: np.ndarray
    tips: Sequence[str]
    notes: Sequence[str] = ()
    model: str | None = None


def gallery(rows: Sequence[Row], lines: int, dark: bool) -> alt.LayerChart:
    """Rows of equally many images, at most `lines` lines each.

    Where there is no room for all columns the last images are left out, the same ones
    in every row. The room is the width of the chart, which only the browser knows.
    """
    ink = theme.ink(dark)
    marks = theme.marks([row.model for row in rows if row.model], dark)
    cell_height = CELL + (NOTE_HEIGHT if any(row.notes for row in rows) else 0)
    row_height = NAME_HEIGHT + lines * cell_height + ROW_GAP
    columns = f"max(1, floor((width + {GAP}) / {CELL}))"
    table = _table(rows, row_height)
    place = {
        "line": f"floor(datum.place / {columns})",
        "x": f"(datum.place % {columns}) * {CELL} + {TILE / 2}",
        "y": f"datum.top + {NAME_HEIGHT} + datum.line * {cell_height} + {TILE / 2}",
    }
    base = alt.Chart(table)
    for name, expression in place.items():
        base = base.transform_calculate(**{name: expression})
    base = base.transform_filter(f"datum.line < {lines}")
    layers = _images(base, f"{TILE}", ink)
    if any(row.notes for row in rows):
        layers.append(
            base.transform_calculate(note_y=f"datum.y + {TILE / 2 + NOTE_HEIGHT / 2}")
            .mark_text(fontSize=12, color=ink.text)
            .encode(x=_pixels("x"), y=_pixels("note_y"), text="note:N")
        )
    names = pd.DataFrame(
        {
            "name": [row.name for row in rows],
            "top": [i * row_height + NAME_HEIGHT / 2 - 2 for i in range(len(rows))],
            "left": [0 if row.model is None else 18 for row in rows],
        }
    )
    layers.append(
        alt.Chart(names)
        .mark_text(align="left", baseline="middle", fontSize=13, color=ink.text)
        .encode(x=_pixels("left"), y=_pixels("top"), text="name:N")
    )
    layers += [
        alt.Chart(
            pd.DataFrame({"x": [7], "y": [at * row_height + NAME_HEIGHT / 2 - 2]})
        )
        .mark_point(
            **scales.dot(ink, 120),
            color=marks[row.model].colour,
            shape=marks[row.model].shape,
        )
        .encode(x=_pixels("x"), y=_pixels("y"))
        for at, row in enumerate(rows)
        if row.model in marks
    ]
    return scales.finished(layers, row_height * len(rows) - ROW_GAP)


def sheet(rows: Sequence[Row], dark: bool) -> alt.LayerChart:
    """All images of the rows, to keep or to print: as many lines as they need."""
    most = max(len(row.images) for row in rows)
    columns = min(SHEET, most)
    width = max(columns * CELL - GAP, SHEET_WIDTH)
    return gallery(rows, -(-most // columns), dark).properties(width=width)


def steps(rows: Sequence[Row], heads: Sequence[str], dark: bool) -> alt.LayerChart:
    """Rows whose columns all stay, below their `heads`, smaller where room is short.

    Names stand on the left, a line for each part that `|` divides.
    """
    ink, table = theme.ink(dark), _table(rows, CELL)
    cell = f"min({CELL}, floor((width - {LEFT}) / {len(heads)}))"
    x = f"{LEFT} + (datum.place + 0.5) * {cell}"
    y = f"datum.top + {NAME_HEIGHT} + {CELL / 2}"
    base = alt.Chart(table).transform_calculate(x=x, y=y)
    top = alt.Chart(pd.DataFrame({"head": heads, "place": range(len(heads))}))
    names = pd.DataFrame(
        {
            "name": [row.name for row in rows],
            "y": [NAME_HEIGHT + (i + 0.5) * CELL for i in range(len(rows))],
            "x": 0,
        }
    )
    layers = [
        *_images(base, f"{cell} - {GAP}", ink),
        top.transform_calculate(x=x, y=f"{NAME_HEIGHT / 2}")
        .mark_text(fontSize=12, color=ink.muted)
        .encode(x=_pixels("x"), y=_pixels("y"), text="head:N"),
    ]
    for part, (colour, size) in enumerate([(ink.text, 13), (ink.muted, 12)]):
        layers.append(
            alt.Chart(names)
            .transform_calculate(
                text=f"split(datum.name, '|')[{part}]", at=f"datum.y + {17 * part - 8}"
            )
            .mark_text(align="left", baseline="middle", fontSize=size, color=colour)
            .encode(x=_pixels("x"), y=_pixels("at"), text="text:N")
        )
    return scales.finished(layers, NAME_HEIGHT + CELL * len(rows))


def _table(rows: Sequence[Row], row_height: int) -> pd.DataFrame:
    """One line per image."""
    return pd.DataFrame(
        [
            {
                "row": row.name.replace("|", ", "),
                "top": at * row_height,
                "place": place,
                "url": data_url(image),
                "tip": row.tips[place],
                "note": row.notes[place] if row.notes else "",
            }
            for at, row in enumerate(rows)
            for place, image in enumerate(row.images)
        ]
    )


def data_url(image: np.ndarray) -> str:
    """An image, (h, w) in uint8, as a PNG file within an address."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _images(base: alt.Chart, side: str, ink: Ink) -> list[alt.Chart]:
    """The images, every pixel a sharp square, in faint frames: on a dark page nothing
    else would tell where a black image ends."""
    size = alt.ExprRef(side)
    place = {"x": _pixels("x"), "y": _pixels("y")}
    frame = {"shape": "square", "filled": False, "strokeWidth": 2, "opacity": 1}
    frames = base.mark_point(
        **frame, size=alt.ExprRef(f"pow({side}, 2)"), color=ink.grid
    ).encode(**place)
    images = base.mark_image(
        width=size, height=size, smooth=False, align="center", baseline="middle"
    ).encode(
        **place,
        url="url:N",
        tooltip=[
            alt.Tooltip("row:N", title="Row"),
            alt.Tooltip("tip:N", title="Image"),
        ],
    )
    return [frames, images]


def _pixels(field: str) -> dict:
    """A position that is given in pixels and has no axis."""
    return {"field": field, "type": "quantitative", "scale": None, "axis": None}
