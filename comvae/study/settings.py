"""The settings of a study, and how they resolve into one config per block.

A study is one YAML file (`config/*.yaml`); the models that it names are entries of
`config/models.yaml`. Everything here is validated before anything runs, without
importing torch. `docs/settings.md` and `workflow/schemas/*.json` are generated from
these classes and those of options.py (`make schemas`).
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from comvae.datasets.options import DataOptions
from comvae.datasets.registry import REGISTRY
from comvae.datasets.source import DatasetSource, OwnFiles
from comvae.errors import SettingsError, did_you_mean
from comvae.model.options import ModelOptions
from comvae.model.settings import Positive, PositiveNumber, Settings
from comvae.study.passwords import has_password
from comvae.study.validation import S, shown, validate
from comvae.study.yaml_files import parse_yaml, read_yaml

Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=100)]

MOST_SEEDS = 10_000  # of one model
LARGEST_SEED = 2**32 - 1
MOST_RUNS = 100_000  # of a study: each has files of its own, and rows in the tables


class Training(Settings):
    """How every model of the study is trained (paper, section 3.1)."""

    epochs: Positive = Field(50, description="Passes over the training split.")
    batch_size: Annotated[int, Field(ge=2)] = Field(
        32, description="Images per minibatch; the last, smaller one is trained on too."
    )
    learning_rate: PositiveNumber = Field(0.001, description="Step size of Adam.")
    hidden: Positive = Field(100, description="Width of every hidden layer.")
    latent: Positive = Field(5, description="Dimensions of the latent vector z.")
    tf32: bool = Field(
        False,
        description="Multiply matrices on a GPU with TF32, whose mantissa has 10 bits: "
        "faster; sums stay in float32.",
    )
    kernels: Literal["auto", "off"] = Field(
        "auto",
        description="`auto`: dynamic layers train with fused kernels, in Triton on a "
        "GPU, in C on a CPU, where these can run: faster, the same to float32; `off`: "
        "in plain PyTorch.",
    )
    seeds_per_block: Positive = Field(
        5, description="Most seeds that train in lockstep in one job."
    )
    keep_optimiser: bool = Field(
        False,
        description="Keep the optimiser and the random streams of a finished block, "
        "three times the size of its weights: a study of more epochs goes on from it.",
    )


class Evaluation(Settings):
    """How trained models are evaluated."""

    samples: Positive = Field(
        10, description="Draws of weights and latents per image, averaged."
    )
    batch_size: Annotated[int, Field(ge=2)] = Field(
        500, description="Images per evaluation batch; one static weight draw each."
    )


class Gap(Settings):
    """How the gaps are measured (docs/gap.md)."""

    images: Annotated[int, Field(ge=0)] = Field(
        1000,
        description="Images of each split, the same for all models and seeds; all of "
        "them where there are fewer. 0: the gaps are not measured.",
    )
    marginal_draws: Positive = Field(
        50,
        description="Draws of the encoder's weights per image in L[q]; their mixture "
        "is the marginal q(z given x), whose bound grows with them.",
    )
    optimum_draws: Positive = Field(
        64, description="Noise vectors per image in the objective of q*."
    )
    optimum_iterations: Positive = Field(
        400, description="Most iterations of the search for q*, from each start."
    )
    optimum_tolerance: PositiveNumber = Field(
        0.001,
        description="The search for q* of an image ends where it gains less, in nats.",
    )
    final_draws: Positive = Field(
        1000,
        description="Fresh draws per image that evaluate L[q] and L[q*]; below 1000 "
        "an image's gap is mostly noise.",
    )
    importance_draws: Positive = Field(
        5000, description="Draws per image of the importance-sampled log p(x)."
    )
    ais: Literal["off", "fast", "cremer"] = Field(
        "fast",
        description="Annealed importance sampling of log p(x): `off`, a `fast` "
        "schedule, or that of Cremer et al. 2018.",
    )
    ais_images: Positive = Field(
        100, description="Images of each split that annealing runs on."
    )


class Tracking(Settings):
    """Where MLflow keeps the mirror of the results."""

    uri: str | None = Field(
        None,
        description="MLflow tracking URI. Default: an SQLite store under "
        "`results/mlflow/`. A user and password belong into the environment "
        "(docs/mlflow.md).",
    )

    @field_validator("uri")
    @classmethod
    def _without_password(cls, uri: str | None) -> str | None:
        # A study file is published, and its plan and logs name the address.
        if uri is not None and has_password(uri):
            raise ValueError(
                "There was a password in it, which is not shown here. Give the address "
                "alone, and user and password in the environment: "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD for a server, "
                "PGPASSWORD for PostgreSQL"
            )
        return uri


class Datasets(DataOptions):
    """The datasets of a study. A plain list of names is short for `names`."""

    files: dict[Name, OwnFiles] = Field(
        {},
        description="Datasets of your own by name: the paths of their two files, "
        "`train` and `test` (docs/data.md).",
    )
    names: Annotated[list[Name], Field(min_length=1)] = Field(
        description="Names from the registry, `comvae/datasets`, or of `files`."
    )
    mirror: str | None = Field(
        None,
        description="Folder or base URL that is asked for files before their "
        "publishers; the environment variable COMVAE_MIRROR goes before it.",
    )

    @field_validator("files")
    @classmethod
    def _new(cls, files: dict[str, OwnFiles]) -> dict[str, OwnFiles]:
        if taken := sorted(set(files) & set(REGISTRY)):
            raise ValueError(f"Taken by the registry: {', '.join(taken)}; rename yours")
        return files

    @field_validator("names")
    @classmethod
    def _known(cls, names: list[str], info: ValidationInfo) -> list[str]:
        if "files" in info.data:  # else these are what is wrong
            _refuse_unknown("dataset", names, {**REGISTRY, **info.data["files"]})
        return _distinct(names)

    def source(self, name: str) -> DatasetSource:
        """What one of the datasets is; DatasetError where its own files are wrong."""
        if name in self.files:
            from comvae.datasets.own import own_source

            return own_source(name, self.files[name])
        return REGISTRY[name]


def _from_list(value: Any) -> Any:
    return {"names": value} if isinstance(value, list) else value


def _checked_models(value: Any) -> Any:
    names = isinstance(value, list) and all(isinstance(name, str) for name in value)
    if value != "all" and not (names and value):
        raise ValueError("Expected `all` or a list of names from config/models.yaml")
    return value


def _checked_seeds(value: Any) -> Any:
    for seeds in value.values() if isinstance(value, dict) else [value]:
        listed = isinstance(seeds, list) and 0 < len(seeds) <= MOST_SEEDS
        least, most = (0, LARGEST_SEED) if listed else (1, MOST_SEEDS)
        for number in seeds if listed else [seeds]:
            if type(number) is not int or not least <= number <= most:
                raise ValueError(
                    f"Expected a number of seeds, 1 to {MOST_SEEDS}; or a list of as "
                    f"many seeds, each 0 to {LARGEST_SEED}; or one of these for each "
                    "model by name"
                )
    return value


Seeds = int | list[int]


class Study(Settings):
    """A study: datasets x models x seeds, and how they are trained and evaluated."""

    study: Name = Field(description="Name of the study, shown in tables and charts.")
    datasets: Annotated[Datasets, BeforeValidator(_from_list)] = Field(
        description="Datasets: a list of names, or a mapping with more settings."
    )
    models: Annotated[Literal["all"] | list[str], BeforeValidator(_checked_models)] = (
        Field(
            "all",
            description="Names from `config/models.yaml`, or `all` of them but the "
            "controls.",
        )
    )
    seeds: Annotated[Seeds | dict[str, Seeds], BeforeValidator(_checked_seeds)] = Field(
        description="Number of seeds, counted from 0, or a list of them; or one of "
        f"these for each model by name. At most {MOST_SEEDS} of a model, and "
        f"{MOST_RUNS} runs in a study.",
    )
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    gap: Gap = Gap()
    tracking: Tracking = Tracking()

    def seeds_of(self, model: str) -> list[int]:
        """The seeds of a model, in ascending order."""
        seeds = self.seeds[model] if isinstance(self.seeds, dict) else self.seeds
        return sorted(set(range(seeds) if isinstance(seeds, int) else seeds))

    @property
    def measured(self) -> str:
        """Hash of what an evaluation and its gaps depend on beside the trained block,
        as far as it is not the default."""
        stages = (self.evaluation, self.gap)
        return _hash(
            [_chosen(stage, stage.model_dump(mode="json")) for stage in stages]
        )


class RunConfig(Settings):
    """The resolved config of one block: all that its training depends on."""

    dataset: Name
    model: Name
    seeds: Annotated[list[int], Field(min_length=1)]
    options: ModelOptions
    training: Training
    data: DataOptions = DataOptions()
    dataset_sha256: str = Field(
        "",
        description="Checksum of the registry's entry for the dataset, or of its own "
        "files.",
    )

    @property
    def config_hash(self) -> str:
        """Hash of what determines one seed's result, as far as it is not the default.

        A new setting with a default changes no hash. A changed default does not either,
        and makes other results of the same hash: give the new reading a new name.
        """
        counts = self.model_dump(
            mode="json",
            exclude={
                "seeds": True,
                "training": {"seeds_per_block", "tf32", "kernels", "keep_optimiser"},
                "options": {"title", "control"},
            },
        )
        return _hash(_chosen(self, counts))

    @property
    def hash_at_any_epoch(self) -> str:
        """As `config_hash`, and the same for any number of epochs: a training is the
        beginning of each longer one."""
        training = self.training.model_copy(update={"epochs": 1})
        return self.model_copy(update={"training": training}).config_hash

    def to_json(self) -> str:
        """The text of `run.json`."""
        return self.model_dump_json(indent=2)


def _hash(values: Any) -> str:
    canonical = json.dumps(values, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _chosen(settings: Settings, values: dict[str, Any]) -> dict[str, Any]:
    """Of the `values` of `settings`, those that differ from their defaults.

    A tag, which tells the members of a union apart, is kept at its default too.
    """
    chosen = {}
    for name, value in values.items():
        found, field = getattr(settings, name), type(settings).model_fields[name]
        is_tag = get_origin(field.annotation) is Literal
        is_tag &= len(get_args(field.annotation)) == 1
        if is_tag or found != field.default:
            nested = isinstance(found, Settings)
            chosen[name] = _chosen(found, value) if nested else value
    return chosen


class Catalogue(Settings):
    """A study with the options of every model it names."""

    study: Study
    models: dict[Name, ModelOptions]

    def run_config(self, dataset: str, model: str, seeds: list[int]) -> RunConfig:
        """The resolved config of the block of `seeds` of one (dataset, model)."""
        return RunConfig(
            dataset=dataset,
            model=model,
            seeds=seeds,
            options=self.models[model],
            training=self.study.training,
            data=DataOptions(
                binarize=self.study.datasets.binarize,
                data_seed=self.study.datasets.data_seed,
            ),
            dataset_sha256=self.study.datasets.source(dataset).checksum,
        )


def load_study(
    values: Mapping[str, Any] | None = None,
    *,
    source: str | Path,
    models: str | Path,
) -> Catalogue:
    """The study in the file `source`, with its models from the file `models`.

    `values` are the settings where the file was read already. Raises SettingsError
    with one line per wrong setting.
    """
    if values is None:
        values = read_yaml(source)
    study = validate(Study, values, str(source))
    options = load_models(models)
    names = study.models
    if names == "all":
        names = [name for name, model in options.items() if not model.control]
    try:
        _refuse_unknown("model", names, options)
        names = _distinct(names)
    except ValueError as error:
        raise SettingsError(
            f"{source}: models: found {shown(names)}. {error}."
        ) from None
    if not names:
        raise SettingsError(f"{models}: found no model but controls, expected others")
    if isinstance(study.seeds, dict) and set(study.seeds) != set(names):
        raise SettingsError(
            f"{source}: seeds: found seeds for {', '.join(study.seeds)}. Expected one "
            f"entry for each model of the study: {', '.join(names)}."
        )
    runs = len(study.datasets.names) * sum(len(study.seeds_of(n)) for n in names)
    if runs > MOST_RUNS:
        raise SettingsError(
            f"{source}: found {runs} runs, expected at most {MOST_RUNS}: datasets x "
            "models x seeds; cut the study into several"
        )
    return Catalogue(study=study, models={name: options[name] for name in names})


def load_models(path: str | Path) -> dict[str, ModelOptions]:
    """Every model of a models file, by name; raises SettingsError."""
    entries = read_yaml(path)
    for name in entries:
        try:
            TypeAdapter(Name).validate_python(name, strict=True)
        except ValidationError:
            raise SettingsError(
                f"{path}: found the model {shown(name)}, expected a name of small "
                "letters, digits and single hyphens"
            ) from None
    return {
        name: validate(ModelOptions, entry, f"{path}: {name}")
        for name, entry in entries.items()
    }


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


def load_settings(kind: type[S], text: str) -> S:
    """Settings of a stage from YAML text, of which JSON is a part; SettingsError."""
    return validate(kind, parse_yaml(text, "--settings"), "--settings")


def _refuse_unknown(what: str, names: list[str], known: Mapping[str, Any]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(
                f"Unknown {what} `{name}`.{did_you_mean(name, known)} "
                f"Allowed values: {', '.join(known)}"
            )


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("Each name may stand once")
    return names
