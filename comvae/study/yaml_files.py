"""Reading YAML files of settings: small, without tricks, and each key once."""

from pathlib import Path
from typing import Any

import yaml

from comvae.errors import SettingsError
from comvae.study.validation import shown

MOST_BYTES = 1_000_000
MOST_NODES = 50_000  # with every alias written out
MOST_BITS = 63  # of a whole number


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; raises SettingsError."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"{path}: cannot be read: {why}") from None
    if len(content) > MOST_BYTES:
        raise SettingsError(
            f"{path}: is larger than {MOST_BYTES} bytes, expected a file of settings"
        )
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
    """Refuses what PyYAML would guess at, or would not end."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            _check(node)
        return node

    def construct_yaml_int(self, node: yaml.Node) -> int:
        value = super().construct_yaml_int(node)
        if value.bit_length() > MOST_BITS:
            raise yaml.constructor.ConstructorError(
                None, None, "a whole number of more than 64 bits", node.start_mark
            )
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def _check(root: yaml.Node) -> None:
    """Raise where a key stands twice, and where aliases make a document of a few lines
    endless or enormous."""
    sizes: dict[int, int | None] = {}  # None while a node is being measured

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = None
            if isinstance(node, yaml.MappingNode):
                _refuse_twins([key for key, _ in node.value])
                parts = [part for pair in node.value for part in pair]
            else:
                parts = node.value if isinstance(node, yaml.SequenceNode) else []
            sizes[id(node)] = 1 + sum(size(part) for part in parts)
        found = sizes[id(node)]
        if found is None:
            raise ValueError("an alias names what it stands in")
        if found > MOST_NODES:
            raise ValueError(f"more than {MOST_NODES} values, aliases written out")
        return found

    size(root)


def _refuse_twins(keys: list[yaml.Node]) -> None:
    seen = set()
    for key in keys:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if (key.tag, key.value) in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key `{key.value[:80]}` stands twice", key.start_mark
            )
        seen.add((key.tag, key.value))
