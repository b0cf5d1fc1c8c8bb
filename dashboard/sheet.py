"""Rows of small images as one SVG file, to keep or to print."""

import io
from collections.abc import Sequence
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

from dashboard.charts.tiles import Row, data_url

TILE = 112  # pixels: whole multiples of 8 and of 28
GAP = 8
NAME = 44  # the line of text above a row
NOTE = 30  # the line of text below an image
MARGIN = 24
COLUMNS = 20
FONT = "font-family='Source Sans Pro, Helvetica, Arial, sans-serif'"


def svg(rows: Sequence[Row], heads: Sequence[str] = ()) -> bytes:
    """Black on white: every row below its name, at most COLUMNS images a line.

    Images lie in the file, enlarged without blur; text stays text.
    """
    most = max(len(row.images) for row in rows)
    columns = min(COLUMNS, most)
    line_height = TILE + GAP + (NOTE if any(row.notes for row in rows) else 0)
    row_height = NAME + -(-most // columns) * line_height + GAP
    width = 2 * MARGIN + columns * (TILE + GAP) - GAP
    top = MARGIN + (NOTE if heads else 0)
    height = top + len(rows) * row_height

    def left(place: int) -> int:
        return MARGIN + place % columns * (TILE + GAP)

    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
        f"viewBox='0 0 {width} {height}' {FONT}>",
        f"<rect width='{width}' height='{height}' fill='white'/>",
    ]
    for place, head in enumerate(heads):
        parts.append(_text(head, left(place) + TILE / 2, MARGIN + NOTE / 2, 22, True))
    for at, row in enumerate(rows):
        y = top + at * row_height
        parts.append(_text(row.name.replace("|", "   "), MARGIN, y + NAME / 2, 26))
        for place, image in enumerate(row.images):
            line = y + NAME + place // columns * line_height
            parts.append(
                f"<image x='{left(place)}' y='{line}' width='{TILE}' height='{TILE}' "
                f"style='image-rendering: pixelated' href='{data_url(_large(image))}'/>"
            )
            if row.notes:
                note = row.notes[place]
                middle = left(place) + TILE / 2
                parts.append(_text(note, middle, line + TILE + NOTE / 2, 22, True))
    return "\n".join([*parts, "</svg>\n"]).encode()


def png(image: np.ndarray) -> bytes:
    """A single image, (h, w) in uint8, enlarged without blur."""
    buffer = io.BytesIO()
    Image.fromarray(_large(image)).save(buffer, "PNG")
    return buffer.getvalue()


def _large(image: np.ndarray) -> np.ndarray:
    """The image with its longer side about TILE pixels."""
    factor = max(1, TILE // max(image.shape))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def _text(text: str, x: float, y: float, size: int, middle: bool = False) -> str:
    anchor = "text-anchor='middle' " if middle else ""
    return (
        f"<text x='{x:g}' y='{y:g}' font-size='{size}' {anchor}"
        f"dominant-baseline='central'>{escape(text)}</text>"
    )
