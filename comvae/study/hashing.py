"""Hashes of settings, as far as they are not the defaults: addresses of results.

A new setting with a default changes no hash. A changed default does not either, and
makes other results of the same hash: give the new reading a new name.
"""

import hashlib
import json
from typing import Any

from comvae.model.settings import Settings

KEPT = {"kind", "objective", "posterior", "encoder"}
"""Settings that count at their defaults too: the tag that tells the members of a union
apart, and the parts of a model that are found by name."""


def hash_of(values: Any) -> str:
    """Twelve hexadecimal digits of what JSON can hold."""
    canonical = json.dumps(values, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def chosen(settings: Settings, exclude: Any = None) -> dict[str, Any]:
    """The settings that differ from their defaults, and those KEPT, but for those to
    `exclude`, as pydantic takes them."""
    return _chosen(settings, settings.model_dump(mode="json", exclude=exclude))


def _chosen(settings: Settings, values: dict[str, Any]) -> dict[str, Any]:
    differ = {}
    for name, value in values.items():
        found, field = getattr(settings, name), type(settings).model_fields[name]
        if name in KEPT or found != field.default:
            nested = isinstance(found, Settings)
            differ[name] = _chosen(found, value) if nested else value
    return differ
