"""Numbers, times and settings as text."""

import math
from collections.abc import Callable, Sequence
from typing import Any

NOTHING = "\N{EN DASH}"
NO_INTERVAL = "(no interval)"


def number(value: float, digits: int = 2) -> str:
    """A number with a true minus sign, or a dash for NaN; what rounds to 0 has none."""
    if math.isnan(value):
        return NOTHING
    return f"{value:z,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def signed(value: float) -> str:
    """A difference with its sign, or a dash for NaN."""
    text = number(value)
    return f"+{text}" if value > 0 and text != number(0) else text


def with_interval(mean: float, low: float, high: float) -> str:
    """`0.94 ± 0.02`, or `0.94 [0.90, 1.20]` where it is skewed; as much as there is."""
    if math.isclose(high - mean, mean - low, abs_tol=0.005):
        half = number(high - mean)
        return f"{number(mean)}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{half}"
    return effect_text(mean, low, high, number)


def effect_text(
    value: float, low: float, high: float, text: Callable[[float], str] = signed
) -> str:
    """A difference with its interval, `+0.43 [+0.38, +0.48]`, as much as there is."""
    if math.isnan(value):
        return NOTHING
    if math.isnan(low) or math.isnan(high):
        return f"{text(value)} {NO_INTERVAL}"
    return f"{text(value)} [{text(low)}, {text(high)}]"


def listed(names: Sequence[str]) -> str:
    """`a; b and c`."""
    return " and ".join(filter(None, ["; ".join(names[:-1]), names[-1]]))


def extremes(
    what: str, values: dict[str, float], ends: Sequence[str] = ("lowest", "highest")
) -> str:
    """Who has the least and who the most nats, in one sentence."""
    low, high = min(values, key=values.get), max(values, key=values.get)
    if len(values) == 1:
        return f"{what} of {low} is {number(values[low])} nats."
    return (
        f"{what} is {ends[0]} for {low}, {number(values[low])} nats, and {ends[1]} for "
        f"{high}, {number(values[high])} nats."
    )


def counted(count: float, word: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{count:.0f} {word}" + ("" if count == 1 else "s")


def duration(seconds: float) -> str:
    """`8 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if round(seconds) < 60:
        return f"{round(seconds)} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    days, rest = divmod(hours, 24)
    parts = [(days, "d"), (rest, "h")] if days else [(hours, "h"), (minutes, "min")]
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Settings with the nested ones as `outer.inner`."""
    rows: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, dict) and value:
            rows += flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value))
    return rows


def shown(value: Any) -> str:
    """A value of a JSON file as a reader writes it."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, list):
        return ", ".join(shown(item) for item in value)
    return "none" if value == {} else str(value)
