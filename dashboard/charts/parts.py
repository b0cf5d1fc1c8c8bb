"""A small bar of what a gain is made of, for a cell of a table."""

import base64
from collections.abc import Mapping, Sequence

COLOURS = {"blue": "#0072B2", "sky": "#56B4E9", "orange": "#E69F00", "grey": "#8A929C"}
"""Of the parts, in their order; seen on a white page and on a dark one."""
WIDTH, HEIGHT = 110, 29  # pixels; as high as a row, which it would be drawn to


def bars(parts: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """The address of a picture for each name, all on one scale around a line at 0.

    What is worth something stands right of the line, what costs something left.
    """
    ends = {
        name: [sum(p for p in of if p < 0), sum(p for p in of if p > 0)]
        for name, of in parts.items()
    }
    low = min((end[0] for end in ends.values()), default=0.0)
    high = max((end[1] for end in ends.values()), default=0.0)
    scale = (WIDTH - 2) / ((high - low) or 1.0)
    return {name: _bar(of, low, scale) for name, of in parts.items()}


def _bar(parts: Sequence[float], low: float, scale: float) -> str:
    zero = 1 - low * scale
    drawn, at = [], {False: zero, True: zero}
    for colour, part in zip(COLOURS.values(), parts, strict=True):
        size, right = abs(part) * scale, part > 0
        left = at[right] - (0 if right else size)
        at[right] += size if right else -size
        drawn.append(
            f'<rect x="{left:.1f}" y="5" width="{size:.1f}" height="{HEIGHT - 10}" '
            f'fill="{colour}"/>'
        )
    line = f'<rect x="{zero - 0.5:.1f}" width="1" height="{HEIGHT}" fill="#777"/>'
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">'
        f"{''.join(drawn)}{line}</svg>"
    )
    return f"data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()}"
