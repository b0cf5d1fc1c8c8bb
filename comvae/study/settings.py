"""The settings of a study: one YAML file (`config/*.yaml`).

They are validated before anything runs, without importing torch. `docs/settings.md` and
`workflow/schemas/*.json` are generated from these classes and those of options.py
(`make schemas`).
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
)

from comvae.datasets.options import DataOptions
from comvae.datasets.registry import REGISTRY, STUDIED
from comvae.datasets.source import DatasetSource, OwnFiles
from comvae.errors import did_you_mean
from comvae.model.settings import Positive, PositiveNumber, Settings
from comvae.study.hashing import chosen, hash_of
from comvae.study.passwords import has_password

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
        description="`auto`: layers run with fused kernels where these can run, the "
        "dynamic ones in Triton on a GPU, all but static Bayesian ones in C on a CPU: "
        "faster, the same to float32; `off`: in plain PyTorch.",
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
        5000,
        description="Draws per image of the importance-sampled log p(x). Where less "
        "than a tenth of them is effective it is annealed from the local optima.",
    )
    ais: Literal["off", "fast", "cremer"] = Field(
        "fast",
        description="Annealed importance sampling of log p(x) from the prior, against "
        "missed modes: `off`, a `fast` schedule, or that of Cremer et al. 2018.",
    )
    ais_images: Positive = Field(
        100, description="Images of each split that annealing runs on."
    )
    certificate_images: Annotated[int, Field(ge=0)] = Field(
        20,
        description="Images simulated from each model, on which log p(x) is bounded "
        "from both sides. 0: no certificate.",
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
            refuse_unknown("dataset", names, {**REGISTRY, **info.data["files"]})
        return distinct(names)

    def source(self, name: str) -> DatasetSource:
        """What one of the datasets is, and its images at the size that the study has.

        Raises DatasetError where its own files are wrong, and SettingsError where
        `pool` does not divide its sides.
        """
        if name in self.files:
            from comvae.datasets.own import own_source

            published = own_source(name, self.files[name])
        else:
            published = REGISTRY[name]
        STUDIED[name] = published.pooled(name, self.pool)
        return STUDIED[name]


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
    ood: Annotated[list[Name], Field(max_length=10)] = Field(
        [],
        description="Foreign datasets, of images of the same size: how well the models "
        "tell their test images from those of the study (docs/gap.md).",
    )
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    gap: Gap = Gap()
    tracking: Tracking = Tracking()

    @field_validator("ood")
    @classmethod
    def _known(cls, names: list[str], info: ValidationInfo) -> list[str]:
        if "datasets" in info.data:  # else these are what is wrong
            refuse_unknown(
                "dataset", names, {**REGISTRY, **info.data["datasets"].files}
            )
        return distinct(names)

    def seeds_of(self, model: str) -> list[int]:
        """The seeds of a model, in ascending order."""
        seeds = self.seeds[model] if isinstance(self.seeds, dict) else self.seeds
        return sorted(set(range(seeds) if isinstance(seeds, int) else seeds))

    @property
    def measured(self) -> str:
        """Hash of what an evaluation and its gaps depend on beside the trained block,
        as far as it is not the default."""
        return hash_of([chosen(stage) for stage in (self.evaluation, self.gap)])


def refuse_unknown(what: str, names: list[str], known: Mapping[str, Any]) -> None:
    """Raise ValueError for the first of `names` that is not known."""
    for name in names:
        if name not in known:
            raise ValueError(
                f"Unknown {what} `{name}`.{did_you_mean(name, known)} "
                f"Allowed values: {', '.join(known)}"
            )


def distinct(names: list[str]) -> list[str]:
    """The names; raises ValueError where one stands twice."""
    if len(set(names)) < len(names):
        raise ValueError("Each name may stand once")
    return names
