"""Read a study file and the models that it names, entries of `config/models.yaml`."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from comvae.datasets.options import DataOptions
from comvae.errors import SettingsError
from comvae.model.options import ModelOptions
from comvae.model.settings import Settings
from comvae.study.run_config import NO_RESULT, RunConfig
from comvae.study.settings import MOST_RUNS, Name, Study, distinct, refuse_unknown
from comvae.study.validation import S, shown, validate
from comvae.study.yaml_files import parse_yaml, read_yaml

OF_TRAINING = NO_RESULT["options"] | {
    *("starts_from", "trains", "objective", "data_term", "complexity_weights"),
    *("evaluated_encoder", "svi"),
}
"""Options in which a model may differ from the one that it starts from."""


class Catalogue(Settings):
    """A study with the options of every model it names, and of those that others start
    from and it does not name."""

    study: Study
    models: dict[Name, ModelOptions]
    parents: dict[Name, ModelOptions] = Field({})

    @property
    def readings(self) -> dict[str, str]:
        """The row of Table 1 that a model is another reading of, by model, where the
        study has more than one reading of the row."""
        rows = {name: model.reading_of or name for name, model in self.models.items()}
        several = {row for row, count in Counter(rows.values()).items() if count > 1}
        return {m: row for m, row in rows.items() if m != row and row in several}

    @property
    def rivals(self) -> list[str]:
        """The models that are rivals of the paper's."""
        return [name for name, model in self.models.items() if model.rival]

    def options(self, model: str) -> ModelOptions:
        """The options of a model that is named or started from."""
        return (self.models | self.parents)[model]

    def run_config(self, dataset: str, model: str, seeds: list[int]) -> RunConfig:
        """The resolved config of the block of `seeds` of one (dataset, model)."""
        options = self.options(model)
        start = options.starts_from
        return RunConfig(
            dataset=dataset,
            model=model,
            seeds=seeds,
            options=options,
            training=self.study.training,
            data=DataOptions(
                **self.study.datasets.model_dump(include=set(DataOptions.model_fields))
            ),
            dataset_sha256=self.study.datasets.source(dataset).checksum,
            parent=self.run_config(dataset, start, seeds).config_hash if start else "",
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
    try:
        sources = {n: study.datasets.source(n) for n in study.datasets.names}
        for foreign in study.ood:
            other = study.datasets.source(foreign)
            for name, own in sources.items():
                sizes = [f"{s.height}x{s.width}" for s in (other, own)]
                if sizes[0] != sizes[1]:
                    raise SettingsError(
                        f"ood: found {foreign} with images of {sizes[0]}, expected "
                        f"{sizes[1]}, as {name} has; name another dataset"
                    )
    except SettingsError as error:
        raise SettingsError(f"{source}: {error}") from None
    options = load_models(models)
    names = study.models
    if names == "all":
        names = [name for name, model in options.items() if not model.control]
    try:
        refuse_unknown("model", names, options)
        names = distinct(names)
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
    ancestors = {each for name in names for each in lineage(name, options)}
    return Catalogue(
        study=study,
        models={name: options[name] for name in names},
        parents={name: options[name] for name in sorted(ancestors.difference(names))},
    )


def lineage(model: str, options: Mapping[str, ModelOptions]) -> list[str]:
    """The model that one starts from, the one that this starts from, and so on; raises
    ValueError where they start from each other."""
    found: list[str] = []
    while (start := options[found[-1] if found else model].starts_from) is not None:
        if start in [model, *found]:
            raise ValueError(
                f"These start from each other: {', '.join([model, *found])}"
            )
        refuse_unknown("model", [start], options)
        found.append(start)
    return found


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
    models = {
        name: validate(ModelOptions, entry, f"{path}: {name}")
        for name, entry in entries.items()
    }
    for name, model in models.items():
        try:
            for start in lineage(name, models)[:1]:
                _refuse_other_layers(model, models[start])
        except ValueError as error:
            raise SettingsError(
                f"{path}: {name}: starts_from: found {shown(model.starts_from)}. "
                f"{error}."
            ) from None
    rows = {name: model for name, model in models.items() if not model.control}
    for name, model in models.items():
        if model.reading_of is not None:
            try:
                refuse_unknown("model", [model.reading_of], rows)
            except ValueError as error:
                raise SettingsError(
                    f"{path}: {name}: reading_of: found {shown(model.reading_of)}. "
                    f"{error}."
                ) from None
    return models


def _refuse_other_layers(model: ModelOptions, start: ModelOptions) -> None:
    """Raise ValueError where the parameters of one are not those of the other."""
    for name in ModelOptions.model_fields:
        if name not in OF_TRAINING and getattr(model, name) != getattr(start, name):
            raise ValueError(
                f"Its `{name}` is {shown(getattr(start, name))}, and "
                f"{shown(getattr(model, name))} here; set the same"
            )


def load_settings(kind: type[S], text: str) -> S:
    """Settings of a stage from YAML text, of which JSON is a part; SettingsError."""
    return validate(kind, parse_yaml(text, "--settings"), "--settings")
