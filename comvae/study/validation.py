"""Check values against settings, and say of each wrong one what and where it is."""

import reprlib
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from comvae.errors import SettingsError, did_you_mean
from comvae.model.settings import Settings
from comvae.study.passwords import without_password

S = TypeVar("S", bound=Settings)

_REPR = reprlib.Repr()  # never looks at all of a value, which may be enormous
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 200
_REPR.maxlist = _REPR.maxdict = 20


def validate(kind: type[S], values: Any, source: str) -> S:
    """`values` as `kind`, or a SettingsError that names each wrong key of `source`."""
    if not isinstance(values, Mapping):
        raise SettingsError(
            f"{source}: found {shown(values)}, expected a mapping of settings"
        )
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = [
            f"{source}: {_problem(kind, detail)}"
            for detail in error.errors(include_url=False)
        ]
        raise SettingsError("\n".join(dict.fromkeys(lines))) from None


def _problem(kind: type[Settings], detail: ErrorDetails) -> str:
    names, found = _without_tags(kind, detail["loc"]), detail["input"]
    key = ".".join(names)
    if detail["type"] == "extra_forbidden":
        allowed = _keys_at(kind, names[:-1])
        return (
            f"{key}: unknown setting (found {shown(found)})."
            f"{did_you_mean(names[-1], allowed)} Allowed here: {', '.join(allowed)}."
        )
    if detail["type"] == "missing":
        return f"{key}: this setting is required and missing."
    return f"{key or 'as a whole'}: found {shown(found)}. {_expectation(detail)}"


def _without_tags(kind: Any, location: tuple[int | str, ...]) -> list[str]:
    """The keys of a location, without the union members that it went through."""
    names: list[str] = []
    for index, part in enumerate(location, start=1):
        if index == len(location) or part in _keys_at(kind, names):
            names.append(str(part))
    return names


def _expectation(detail: ErrorDetails) -> str:
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "literal_error":
        message = f"Allowed values: {detail['ctx']['expected']}"
    return message.rstrip(".") + "."


def _keys_at(kind: Any, names: list[str]) -> list[str]:
    """The keys that the settings at `names` below `kind` accept."""
    for name in names:
        for settings in _settings_in(kind):
            if name in settings.model_fields:
                kind = settings.model_fields[name].annotation
    return sorted({key for s in _settings_in(kind) for key in s.model_fields})


def _settings_in(annotation: Any) -> list[type[Settings]]:
    """The settings classes that an annotation such as `A | B | None` names."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    if get_origin(annotation) is Literal:
        return []
    return [k for part in get_args(annotation) for k in _settings_in(part)]


def shown(value: Any, longest: int = 80) -> str:
    """A value as messages show it, cut where it is long."""
    text = without_password(_REPR.repr(value))
    return text if len(text) <= longest else text[: longest - 1] + "…"
