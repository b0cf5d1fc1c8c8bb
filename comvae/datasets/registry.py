"""The datasets that a study can name. A dataset is added with an entry of
registry.yaml."""

from pathlib import Path

import yaml
from pydantic import TypeAdapter

from comvae.datasets.source import DatasetSource

REGISTRY: dict[str, DatasetSource] = TypeAdapter(
    dict[str, DatasetSource]
).validate_python(yaml.safe_load(Path(__file__).with_suffix(".yaml").read_bytes()))

STUDIED: dict[str, DatasetSource] = {}  # as the study that this process reads has them
