"""The resolved config of a block: its run.json."""

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field

from comvae.datasets.options import DataOptions
from comvae.errors import SettingsError
from comvae.model.options import ModelOptions
from comvae.model.settings import Settings
from comvae.study.hashing import chosen, hash_of
from comvae.study.settings import Name, Training
from comvae.study.validation import validate

NO_RESULT = {
    "seeds": True,
    "training": {"seeds_per_block", "tf32", "kernels", "keep_optimiser"},
    "options": {"title", "control", "rival", "reading_of"},
}
"""What a seed's result does not depend on, but for rounding."""


class RunConfig(Settings):
    """The resolved config of one block: all that its training depends on."""

    dataset: Name
    model: Name
    seeds: Annotated[list[int], Field(min_length=1)]
    options: ModelOptions
    training: Training
    data: DataOptions = DataOptions()
    parent: str = Field(
        "", description="The config hash of what `options.starts_from` names."
    )
    dataset_sha256: str = Field(
        "",
        description="Checksum of the registry's entry for the dataset, or of its own "
        "files.",
    )

    @property
    def config_hash(self) -> str:
        """Hash of what determines one seed's result."""
        return hash_of(chosen(self, exclude=NO_RESULT))

    @property
    def hash_at_any_epoch(self) -> str:
        """As `config_hash`, and the same for any number of epochs: a training is the
        beginning of each longer one."""
        training = self.training.model_copy(update={"epochs": 1})
        return self.model_copy(update={"training": training}).config_hash

    def to_json(self) -> str:
        """The text of `run.json`."""
        return self.model_dump_json(indent=2)


def load_run_config(path: str | Path) -> RunConfig:
    """The config of a block from its `run.json`; raises SettingsError."""
    try:
        values = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{path}: found no readable config ({error}), expected the run.json that "
            "the workflow or `comvae configure` writes"
        ) from None
    return validate(RunConfig, values, str(path))
