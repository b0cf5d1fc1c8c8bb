"""The controls: what each one is, and that they leave what there was as it was."""

import json

import pytest
import torch

from comvae.engine.build import build
from comvae.engine.training import train
from comvae.errors import SettingsError
from comvae.evaluation.elbo import evaluate, modes
from comvae.evaluation.encoders import with_evaluated_encoder
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.options import ModelOptions
from comvae.model.vae import encoder_parameters, encoder_width
from comvae.results.weights import load_vae, save_block
from comvae.study.loading import load_models, load_study
from comvae.study.settings import Evaluation
from tests.support import MODELS, ROOT, run_config

MODELS_FILE = ROOT / "config" / "models.yaml"
SETTINGS = Evaluation(samples=5, batch_size=50)


def load(name="config"):
    return load_study(source=ROOT / "config" / f"{name}.yaml", models=MODELS_FILE)


CONTROLS = [name for name, model in load("controls").models.items() if model.control]


def test_all_means_the_models_of_table_1():
    assert list(load().models) == MODELS and len(MODELS) == 8
    assert CONTROLS
    assert list(load("controls").models) == ["vanilla", "compound-mixture", *CONTROLS]


def test_the_controls_study_is_the_default_study_with_other_models():
    one, other = load("config").study, load("controls").study
    for part in ("datasets", "training", "evaluation", "gap", "seeds"):
        assert getattr(one, part) == getattr(other, part)


@pytest.mark.parametrize(
    "pixels,hidden,latent", [(64, 32, 5), (784, 100, 5), (12, 7, 3)]
)
def test_the_wide_encoder_has_as_many_parameters_as_fit(pixels, hidden, latent, models):
    wide, compound = models["vanilla-wide"], models["compound-mixture"]
    allowed = encoder_parameters(pixels, hidden, latent, compound)
    width = encoder_width(pixels, hidden, latent, wide)
    assert encoder_parameters(pixels, width, latent, wide) <= allowed
    assert encoder_parameters(pixels, width + 1, latent, wide) > allowed
    assert encoder_width(pixels, hidden, latent, models["vanilla"]) == hidden


@pytest.mark.parametrize("name", [*MODELS, *CONTROLS])
def test_parameters_are_counted_as_they_are_built(name, models):
    options = models[name].model_copy(update={"hidden_layers": 2})
    vae = build(run_config(options, [0, 1], hidden=7, latent=3), 12)
    width = encoder_width(12, 7, 3, options)
    encoder = sum(p[0].numel() for p in vae.encoder.parameters())
    assert encoder == encoder_parameters(12, width, 3, options)
    decoder = (3 * 7 + 7) + (7 * 7 + 7) + (7 * 12 + 12)
    assert vae.parameters_per_seed() == encoder + decoder


def test_the_width_of_the_encoder_can_be_a_number(models):
    options = models["vanilla"].model_copy(update={"encoder_hidden": 9})
    vae = build(run_config(options, [0], hidden=7, latent=3), 12)
    assert vae.encoder.hidden[0].weight.shape == (1, 12, 9)
    assert vae.decoder.layers[0].weight.shape == (1, 3, 7)


@pytest.mark.parametrize("layer", ["bayesian", "dynamic"])
def test_without_weight_noise_a_layer_has_its_means_alone(layer, blobs):
    """The same as a model with random weights whose weights are at their means."""
    kinds = dict(title="t", hidden_layer=layer, latent_layer=layer)
    norms = dict(batch_norm_maps=True, batch_norm_hidden=True)
    silent = ModelOptions(weight_noise=False, **kinds, **norms)
    noisy = ModelOptions(weight_prior={"kind": "gaussian"}, **kinds, **norms)
    vae, twin = (build(run_config(options, [0, 3]), 12) for options in (silent, noisy))
    assert not any("rho" in name for name, _ in vae.named_parameters())
    for name, tensor in vae.state_dict().items():
        own = twin.state_dict()[name]
        tensor.copy_(own[tuple(slice(size) for size in tensor.shape)])
    x = blobs.to_float(blobs.train[:16]).expand(2, 16, 12)
    terms = vae(x, Mode(Noise([0, 3], "t"), batch_statistics=True))
    means = Mode(Noise([0, 3], "t"), sample_weights=False, batch_statistics=True)
    expected = twin(x, means)
    torch.testing.assert_close(terms.reconstruction, expected.reconstruction)
    torch.testing.assert_close(terms.latent_kl, expected.latent_kl)
    assert torch.equal(terms.weight_kl, torch.zeros(2))


def test_the_deterministic_compound_learns(models, blobs):
    config = run_config(
        models["compound-deterministic"], [0, 1], epochs=20, learning_rate=0.01
    )
    trained = train(config, blobs)
    history = trained.history
    first = history[history["epoch"] == 1].set_index("seed")["reconstruction"]
    last = history[history["epoch"] == 20].set_index("seed")["reconstruction"]
    assert (last < first).all() and (history["weight_kl"] == 0).all()
    assert modes(config.options) == ["default", "batch-statistics"]


@pytest.mark.parametrize(
    "changes,words",
    [
        (dict(weight_noise=False), "no layer is Bayesian"),
        (
            dict(hidden_layer="dynamic", weight_noise=False, weight_prior="mixture"),
            "weights without noise have no prior",
        ),
        (dict(hidden_layer="dynamic"), "needs a `weight_prior`"),
        (dict(encoder_hidden=0), "encoder_hidden"),
        (dict(encoder_hidden="wide"), "match-dynamic"),
        (dict(evaluated_encoder="best"), "'optimal'"),
    ],
)
def test_options_that_contradict_are_refused(changes, words, tmp_path):
    path = tmp_path / "models.yaml"
    path.write_text(json.dumps({"m": {"title": "M"} | changes}))
    with pytest.raises(SettingsError, match=words):
        load_models(path)


@pytest.fixture(scope="module")
def ends(models, blobs, tmp_path_factory):
    """Vanilla and both ends of the scale, trained and read back: config and VAE."""
    found = {}
    for name in ("vanilla", "vanilla-prior-encoder", "vanilla-optimal-encoder"):
        config = run_config(
            models[name], [0, 3], epochs=30, latent=2, learning_rate=0.01
        )
        folder = tmp_path_factory.mktemp(name)
        save_block(folder, config, train(config, blobs), torch.device("cpu"))
        vae = load_vae(folder, config, 12, torch.device("cpu"))
        found[name] = config, with_evaluated_encoder(vae)
    return found


def test_the_ends_of_the_scale_have_the_decoder_of_vanilla(ends):
    decoders = [vae.decoder.state_dict() for _, vae in ends.values()]
    for key, tensor in decoders[0].items():
        for other in decoders[1:]:
            assert torch.equal(other[key], tensor)


def test_the_ends_of_the_scale_enclose_vanilla(ends, blobs):
    elbo = {}
    for name, (config, vae) in ends.items():
        table = evaluate(vae, config, blobs, SETTINGS)
        assert set(table["mode"]) == {"default"} and (table["weight_kl"] == 0).all()
        elbo[name] = table.set_index(["seed", "split"])["negative_elbo"]
        if name == "vanilla-prior-encoder":
            assert (table["latent_kl"] == 0).all()
    optimal, prior = elbo["vanilla-optimal-encoder"], elbo["vanilla-prior-encoder"]
    assert (optimal < elbo["vanilla"]).all()
    assert (elbo["vanilla"] < prior).all()
