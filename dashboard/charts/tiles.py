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
    ink = theme.Ink(dark)
    notes = any(row.notes for row in rows)
    cell_height = CELL + (NOTE_HEIGHT if notes else 0)
    row_height = NAME_HEIGHT + lines * cell_height + ROW_GAP
    columns = f"max(1, floor((width + {GAP}) / {CELL}))"
    line = f"floor(datum.place / {columns})"
    x = f"(datum.place % {columns}) * {CELL} + {TILE / 2}"
    y = f"datum.at * {row_height} + {NAME_HEIGHT} + {line} * {cell_height}"
    images, names = _tables(rows)
    base = alt.Chart(images).transform_filter(f"{line} < {lines}")
    layers = _tiles(base, x, f"{y} + {TILE / 2}", f"{TILE}", ink)
    if notes:
        note = base.mark_text(fontSize=12, color=ink.text).encode(text="note:N")
        layers.append(_at(note, x, f"{y} + {TILE + NOTE_HEIGHT / 2}"))
    y = f"datum.at * {row_height} + {NAME_HEIGHT / 2 - 2}"
    x = "isValid(datum.model) ? 18 : 0"
    layers.append(_at(_left_text(names, 13, ink.text).encode(text="name:N"), x, y))
    models = [row.model for row in rows if row.model]
    colour, shape = scales.mark_scales(models, dark)
    dots = alt.Chart(names.dropna()).mark_point(**scales.dot(ink, 120))
    layers.append(_at(dots.encode(color=colour, shape=shape), "7", y))
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
    ink = theme.Ink(dark)
    cell = f"min({CELL}, floor((width - {LEFT}) / {len(heads)}))"
    x = f"{LEFT} + (datum.place + 0.5) * {cell}"
    y = f"datum.at * {CELL} + {NAME_HEIGHT} + {CELL / 2}"
    images, names = _tables(rows)
    layers = _tiles(alt.Chart(images), x, y, f"{cell} - {GAP}", ink)
    top = alt.Chart(pd.DataFrame({"head": heads, "place": range(len(heads))}))
    top = top.mark_text(fontSize=12, color=ink.muted).encode(text="head:N")
    layers.append(_at(top, x, f"{NAME_HEIGHT / 2}"))
    for part, (colour, size) in enumerate([(ink.text, 13), (ink.muted, 12)]):
        text = {"expr": f"split(datum.name, '|')[{part}]"}
        name = _left_text(names, size, colour).encode(text=alt.value(text))
        layers.append(_at(name, "0", f"{y} + {17 * part - 8}"))
    return scales.finished(layers, NAME_HEIGHT + CELL * len(rows))


def data_url(image: np.ndarray) -> str:
    """An image, (h, w) in uint8, as a PNG file within an address."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _tables(rows: Sequence[Row]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The images, and the names of the rows."""
    images = [
        {
            "row": row.name.replace("|", ", "),
            "at": at,
            "place": place,
            "url": data_url(image),
            "tip": row.tips[place],
            "note": row.notes[place] if row.notes else "",
        }
        for at, row in enumerate(rows)
        for place, image in enumerate(row.images)
    ]
    names = [(at, row.name, row.model) for at, row in enumerate(rows)]
    return pd.DataFrame(images), pd.DataFrame(names, columns=["at", "name", "model"])


def _tiles(base: alt.Chart, x: str, y: str, side: str, ink: Ink) -> list[alt.Chart]:
    """The images, every pixel a sharp square, in faint frames: on a dark page nothing
    else would tell where a black image ends."""
    size = alt.ExprRef(side)
    frames = base.mark_point(
        shape="square",
        filled=False,
        size=alt.ExprRef(f"pow({side}, 2)"),
        color=ink.grid,
        strokeWidth=2,
        opacity=1,
        aria=False,
    )
    place = {"align": "center", "baseline": "middle"}
    images = base.mark_image(width=size, height=size, smooth=False, **place)
    images = images.encode(url="url:N", tooltip=scales.tips(row="Row", tip="Image"))
    return [_at(frames, x, y), _at(images, x, y)]


def _left_text(rows: pd.DataFrame, size: int, colour: str) -> alt.Chart:
    look = {"align": "left", "baseline": "middle", "fontSize": size, "color": colour}
    return alt.Chart(rows).mark_text(**look)


def _at(layer: alt.Chart, x: str, y: str) -> alt.Chart:
    """A layer at a place in pixels, by expressions of Vega."""
    return layer.encode(x=alt.value(alt.ExprRef(x)), y=alt.value(alt.ExprRef(y)))
