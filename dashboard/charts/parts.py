"""Small pictures for rows of text: what a gain is made of, and effects."""

import base64
import math
from collections.abc import Callable, Mapping, Sequence

COLOURS = {"blue": "#0072B2", "sky": "#56B4E9", "orange": "#E69F00", "grey": "#8A929C"}
"""Of the parts, in their order; seen on a white page and on a dark one."""
WIDTH, HEIGHT = 110, 29  # pixels; as high as a row, which it would be drawn to
SPAN, STEP = 220, 18  # pixels of the axis of effects, and between two of them
LINEAR = 0.1  # nats up to which that axis is about linear


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
    return _picture(f"{''.join(drawn)}{_line(zero)}", WIDTH, HEIGHT)


def intervals(found: Sequence[Sequence[tuple[float, float, float, str]]]) -> list[str]:
    """The address of a picture for each list of effects, low ends, high ends and
    colours, a row each: all on one axis with a line at 0 in its middle, linear near 0
    and logarithmic beyond."""
    ends = [abs(end) for rows in found for *row, _ in rows for end in row]
    most = max(filter(math.isfinite, ends), default=0.0)
    room = math.asinh(most / LINEAR) or 1.0

    def x(value: float) -> float:
        return SPAN * (0.5 + 0.47 * math.asinh(value / LINEAR) / room)

    return [_intervals(rows, x) for rows in found]


def _intervals(
    rows: Sequence[tuple[float, float, float, str]], x: Callable[[float], float]
) -> str:
    drawn = [_line(SPAN / 2)]
    for place, (effect, low, high, colour) in enumerate(rows):
        y = STEP * (place + 0.5)
        if math.isfinite(high - low):
            drawn.append(
                f'<path d="M{x(low):.1f} {y}H{x(high):.1f}" stroke="{colour}" '
                'stroke-width="2.5"/>'
            )
        if math.isfinite(effect):
            drawn.append(
                f'<circle cx="{x(effect):.1f}" cy="{y}" r="4.5" fill="{colour}"/>'
            )
    return _picture("".join(drawn), SPAN, STEP * len(rows))


def _line(x: float) -> str:
    return f'<path d="M{x:.1f} 0V999" stroke="#777"/>'


def _picture(drawn: str, width: int, height: int) -> str:
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f"{drawn}</svg>"
    )
    return f"data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()}"
