"""Settings and other values of JSON files as text."""

from typing import Any


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
    """A value as a reader writes it."""
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
