"""Reading YAML files of settings, in which each key stands once."""

from pathlib import Path
from typing import Any

import yaml

from comvae.errors import SettingsError
from comvae.study.validation import shown


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; raises SettingsError."""
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"{path}: cannot be read: {why}") from None
    values = parse_yaml(content, str(path))
    if not isinstance(values, dict):
        raise SettingsError(
            f"{path}: found {shown(values)}, expected a mapping of settings"
        )
    return values


def parse_yaml(content: str | bytes, source: str) -> Any:
    """The value of YAML text; SettingsError, which names `source`, where it is none."""
    try:
        return yaml.load(content, _Loader)
    except RecursionError:
        raise SettingsError(f"{source}: is nested too deeply") from None
    except Exception as error:  # each wrong scalar has a class of its own in PyYAML
        flat = " ".join(str(error).split()) or type(error).__name__
        raise SettingsError(f"{source}: is not valid YAML: {flat[:500]}") from None


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which PyYAML takes the last value."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key `{name[:80]}` stands twice", key.start_mark
                )
            seen |= {name} - {None}
        return node
