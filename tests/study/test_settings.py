"""Settings: what is accepted, what is refused in which words, and what is hashed."""

import functools
import json
import math

import pytest
import yaml
from pydantic import create_model

from comvae.errors import SettingsError
from comvae.model.options import ModelOptions
from comvae.model.priors import ScaleMixturePrior
from comvae.model.settings import Settings
from comvae.schemas import generated_texts
from comvae.study.loading import load_models, load_study
from comvae.study.run_config import RunConfig, load_run_config
from comvae.study.settings import Training
from tests.support import ROOT

MODELS_FILE = ROOT / "config" / "models.yaml"
GOOD = {"study": "t", "datasets": ["digits"], "seeds": 2}


def load(**changes):
    return load_study(GOOD | changes, source="study.yaml", models=MODELS_FILE)


def test_the_paper_study_has_the_papers_settings():
    study = load_study(source=ROOT / "config" / "paper.yaml", models=MODELS_FILE)
    training = study.study.training
    assert study.study.datasets.names == ["mnist", "emnist-mnist"]
    assert len(study.models) == 8 and len(study.study.seeds_of("vanilla")) == 5
    assert (training.epochs, training.batch_size, training.hidden) == (50, 32, 100)
    assert (training.latent, training.learning_rate) == (5, 0.001)


def test_readings_of_the_paper_are_the_defaults():
    model = load_models(MODELS_FILE)["compound-mixture"]
    assert model.weight_prior == ScaleMixturePrior(pi=0.5, slab=1, spike=math.exp(-6))
    assert model.hidden_layers == 1
    assert model.likelihood == "bernoulli" and model.latent_scale == "softplus"
    assert model.bayesian.rho_init == -5 and model.bayesian.draws == "minibatch"
    assert model.dynamic.mu_scale is None and model.dynamic.mu_shift == 0
    assert model.dynamic.rho_scale == 0.1 and model.dynamic.rho_shift == -3
    assert model.batch_norm_maps and model.batch_norm_hidden
    assert model.weight_kl == "auto" and model.weight_kl_over_images == "mean"
    assert model.complexity_weights == "blundell" and model.data_term == "sum"


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"trainning": {}}, ["study.yaml: trainning", "mean `training`", "models"]),
        (
            {"training": {"epoch": 3}},
            ["training.epoch", "found 3", "mean `epochs`", "batch_size"],
        ),
        ({"training": {"epochs": -1}}, ["training.epochs", "found -1", "equal to 1"]),
        ({"training": {"epochs": "many"}}, ["training.epochs", "'many'", "integer"]),
        ({"training": {"epochs": True}}, ["training.epochs", "True", "integer"]),
        ({"training": {"learning_rate": 0}}, ["learning_rate", "found 0", "than 0"]),
        ({"training": {"learning_rate": math.nan}}, ["learning_rate", "finite"]),
        ({"training": 3}, ["study.yaml: training", "found 3"]),
        ({"models": ["vanila"]}, ["models", "mean `vanilla`", "compound-mixture"]),
        ({"models": ["vanilla"] * 2}, ["models", "Each name may stand once"]),
        ({"datasets": ["minst"]}, ["datasets", "mean `mnist`", "digits"]),
        ({"datasets": []}, ["datasets", "found []", "at least 1"]),
        ({"datasets": {"names": ["digits"], "binarise": 1}}, ["mean `binarize`"]),
        (
            {"datasets": {"names": ["digits"], "binarize": "yes"}},
            ["datasets.binarize", "'yes'", "'threshold'", "'stochastic'"],
        ),
        (
            {"datasets": {"names": ["mnist", "digits"], "pool": 7}},
            ["study.yaml: datasets.pool: found 7", "`digits`, 8 x 8 pixels", "divisor"],
        ),
        ({"datasets": {"names": ["mnist"], "pool": 14}}, ["pool", "found 14", "to 11"]),
        ({"ood": ["fashion"]}, ["ood", "found", "mean `fashion-mnist`"]),
        (
            {"ood": ["mnist"]},
            ["study.yaml: ood: found mnist", "28x28", "8x8, as digits"],
        ),
        ({"seeds": 0}, ["seeds", "found 0"]),
        ({"seeds": [-1]}, ["seeds", "found [-1]"]),
        ({"seeds": "three"}, ["study.yaml: seeds: found 'three'", "each model"]),
        ({"seeds": {"vanilla": 1}}, ["seeds", "found seeds for vanilla", "compound"]),
        ({"models": 3}, ["study.yaml: models: found 3", "`all`"]),
        ({"gap": {"image": 3}}, ["gap.image", "mean `images`", "ais_images"]),
        ({"gap": {"images": -1}}, ["gap.images", "found -1", "equal to 0"]),
        ({"gap": {"ais": "slow"}}, ["gap.ais", "'slow'", "'cremer'"]),
        ({"study": "My Study"}, ["study", "My Study", "match"]),
    ],
)
def test_a_wrong_setting_names_file_key_value_and_what_is_allowed(changes, words):
    with pytest.raises(SettingsError) as error:
        load(**changes)
    for word in words:
        assert word in str(error.value)


def test_models_may_have_seeds_of_their_own():
    study = load(
        models=["vanilla", "simplified-mixture"],
        seeds={"vanilla": 5, "simplified-mixture": [3, 1]},
    ).study
    assert study.seeds_of("vanilla") == [0, 1, 2, 3, 4]
    assert study.seeds_of("simplified-mixture") == [1, 3]


def test_every_wrong_setting_is_named_at_once():
    values = {"datasets": ["digits"], "seeds": 0, "training": {"epochs": 0}}
    with pytest.raises(SettingsError, match=r"study.yaml: study: .*required") as error:
        load_study(values, source="study.yaml", models=MODELS_FILE)
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize(
    "entry,words",
    [
        ({"hidden_layer": "bayes"}, ["m.hidden_layer", "'bayes'", "'dynamic'"]),
        ({"hidden_layer": "dynamic"}, ["needs a `weight_prior`"]),
        ({"weight_prior": "gaussian"}, ["no layer is Bayesian"]),
        (
            {"hidden_layer": "dynamic", "weight_prior": "laplace"},
            ["weight_prior", "'gaussian', 'mixture'"],
        ),
        (
            {
                "hidden_layer": "dynamic",
                "weight_prior": {"kind": "mixture", "sigma": 1},
            },
            ["weight_prior.sigma", "Allowed here", "spike"],
        ),
    ],
)
def test_a_wrong_model_is_refused(entry, words, tmp_path):
    path = tmp_path / "models.yaml"
    path.write_text(yaml.safe_dump({"m": {"title": "M"} | entry}))
    with pytest.raises(SettingsError) as error:
        load_models(path)
    for word in [str(path), *words]:
        assert word in str(error.value).replace(": hidden_layer", ".hidden_layer")


def test_exponents_without_a_point_are_numbers():
    """YAML 1.1 reads 1e-3 as text."""
    assert load(training={"learning_rate": "1e-3"}).study.training.learning_rate == 1e-3


def test_run_config_survives_its_file(tmp_path):
    config = load().run_config("digits", "compound-mixture", [0, 1])
    path = tmp_path / "run.json"
    path.write_text(config.to_json())
    assert load_run_config(path) == config


@pytest.mark.parametrize(
    "path,value,same",
    [
        ("dataset", "mnist", False),
        ("model", "compound-gaussian", False),
        ("seeds", [5], True),
        ("options.title", "Another name", True),
        ("options.control", True, True),
        ("options.reading_of", "vanilla", True),
        ("options.dynamic.rank", 3, False),
        ("options.batch_norm_momentum", "cumulative", False),
        ("options.encoder_hidden", 50, False),
        ("options.evaluated_encoder", "prior", False),
        ("options.hidden_layers", 2, False),
        ("options.complexity_weights", "none", False),
        ("options.weight_prior.spike", 0.5, False),
        ("options.dynamic.rho_shift", -4.0, False),
        ("options.bayesian.draws", "image", False),
        ("training.seeds_per_block", 1, True),
        ("training.tf32", True, True),
        ("training.learning_rate", 0.5, False),
        ("training.batch_size", 2, False),
        ("data.binarize", "threshold", False),
        ("data.data_seed", 3, False),
        ("data.pool", 2, False),
    ],
)
def test_config_hash_is_of_what_determines_a_seeds_result(path, value, same):
    base = load().run_config("digits", "compound-mixture", [0])
    values = base.model_dump(mode="json")
    *parents, name = path.split(".")
    inner = values
    for parent in parents:
        inner = inner[parent]
    assert inner[name] != value
    inner[name] = value
    changed = RunConfig.model_validate(values)
    assert (changed.config_hash == base.config_hash) is same


def hash_of(**options) -> str:
    """Hash of a config with these options of a model with a Bayesian layer."""
    options = {"title": "T", "hidden_layer": "bayesian", **options}
    return RunConfig(
        dataset="digits",
        model="m",
        seeds=[0],
        options=ModelOptions(**options),
        training=Training(),
    ).config_hash


def test_each_prior_has_a_hash_of_its_own():
    """Also with its default parameters, and however it is written down."""
    mixture = {"kind": "mixture", "slab": 1}
    assert hash_of(weight_prior="mixture") == hash_of(weight_prior=mixture)
    assert hash_of(weight_prior="mixture") != hash_of(weight_prior="gaussian")


def grown(kind: type[Settings], path: str) -> type[Settings]:
    """`kind` as a later version may be: with a new setting below the dotted path."""
    if not path:
        return create_model("New", __base__=kind, invented=(int, 3))
    name, _, rest = path.partition(".")
    field = kind.model_fields[name]
    inner = grown(field.annotation, rest)
    default = ... if field.is_required() else inner()
    return create_model("New", __base__=kind, **{name: (inner, default)})


@pytest.mark.parametrize(
    "path", ["", "options", "options.bayesian", "training", "data"]
)
def test_a_new_setting_changes_the_hash_only_where_it_is_set(path):
    base = load().run_config("digits", "simplified-mixture", [0])
    values, later = base.model_dump(mode="json"), grown(RunConfig, path)
    assert later.model_validate(values).config_hash == base.config_hash
    inner = functools.reduce(dict.get, path.split("."), values) if path else values
    inner["invented"] = 3
    assert later.model_validate(values).config_hash == base.config_hash
    inner["invented"] = 4
    assert later.model_validate(values).config_hash != base.config_hash


def test_run_json_names_the_defaults_too():
    written = json.loads(load().run_config("digits", "vanilla", [0]).to_json())
    assert written["options"]["weight_kl"] == "auto"
    assert written["training"]["tf32"] is False


def test_the_data_of_a_run_is_read_as_its_study_says():
    data = {"pool": 2, "binarize": "dynamic", "data_seed": 3}
    study = load(datasets={"names": ["digits"]} | data)
    assert study.run_config("digits", "vanilla", [0]).data.model_dump() == data


def test_damaged_run_config_is_one_message(tmp_path):
    path = tmp_path / "run.json"
    for text in ("{", json.dumps({"dataset": "digits"}), "[]"):
        path.write_text(text)
        with pytest.raises(SettingsError, match=r"run\.json"):
            load_run_config(path)


@pytest.mark.parametrize("name", generated_texts())
def test_generated_files_are_in_step_with_the_settings(name):
    assert (ROOT / name).read_text() == generated_texts()[name], "run `make schemas`"


def test_every_setting_is_documented():
    page = generated_texts()["docs/settings.md"]
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    described = {"training", "evaluation", "gap", "tracking"}
    described |= {"bayesian", "dynamic", "kind", "svi"}
    assert len(rows) > 40
    for row in rows:
        name, meaning = row.split("|")[1].strip(" `"), row.split("|")[-2].strip()
        assert meaning or name in described, row


@pytest.mark.parametrize(
    "seeds", [10_001, 10**9, [2**32], list(range(10_001)), {"vanilla": 10**9}]
)
def test_there_is_an_end_to_seeds(seeds):
    with pytest.raises(SettingsError, match="1 to 10000; or a list") as error:
        load(seeds=seeds, models=["vanilla"])
    assert len(str(error.value)) < 400


def test_there_is_an_end_to_runs():
    load(seeds=10_000)
    datasets = ["digits", "mnist"]
    with pytest.raises(SettingsError, match="160000 runs, expected at most 100000"):
        load(seeds=10_000, datasets=datasets)


@pytest.mark.parametrize("name", ["Vanilla", "a b", "a" * 101, 3, "../a"])
def test_names_of_models_are_names_of_folders(tmp_path, name):
    path = tmp_path / "models.yaml"
    path.write_text(yaml.safe_dump({name: {"title": "T"}}))
    with pytest.raises(SettingsError, match=r"models\.yaml: found the model"):
        load_models(path)


def test_models_that_are_all_controls_are_no_study(tmp_path):
    path = tmp_path / "models.yaml"
    path.write_text(yaml.safe_dump({"a": {"title": "A", "control": True}}))
    with pytest.raises(SettingsError, match="no model but controls"):
        load_study(GOOD, source="study.yaml", models=path)
