"""The table of one block: its columns, seeds on their own, and what is compared."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from comvae.datasets.loading import Dataset
from comvae.engine.training import train
from comvae.evaluation.encoders import PriorEncoder
from comvae.evaluation.gap import image_indices, measure
from comvae.evaluation.gap.measure import encode
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.options import StaticBayesian
from tests.support import run_config

SEARCH = ["iterations", "converged", "start", "start_difference"]
BOUNDS = ["elbo", "elbo_mean_weights", "elbo_marginal", "elbo_optimal"]
EVIDENCE = [
    "log_px",
    "log_px_is",
    "log_px_ais",
    "withheld",
    "log_px_error",
    "ess",
    "draws",
]
NUMBERS = [*BOUNDS, *EVIDENCE, "start_difference"]
CERTIFICATE = ["simulated_lower", "simulated_upper"]
COLUMNS = ["seed", "split", "image", *NUMBERS[:-1], *SEARCH, *CERTIFICATE]


def settings(**changes):
    chosen = {
        "images": 12,
        "marginal_draws": 6,
        "optimum_draws": 64,
        "optimum_iterations": 100,
        "optimum_tolerance": 0.001,
        "final_draws": 600,
        "importance_draws": 1000,
        "ais": "off",
        "ais_images": 5,
        "certificate_images": 4,
    }
    return SimpleNamespace(**(chosen | changes))


@pytest.mark.parametrize(
    "name", ["vanilla", "simplified-mixture", "compound-mixture-static-latent"]
)
def test_table_has_every_image_of_every_seed_and_split(name, models, blobs):
    config = run_config(models[name], [4, 0], epochs=3, latent=3)
    vae, told = train(config, blobs).vae, []
    before = {key: tensor.clone() for key, tensor in vae.state_dict().items()}
    wanted = settings(ais="fast")
    table = measure(vae, config, blobs, wanted, "cpu", lambda *it: told.append(it))
    for key, tensor in vae.state_dict().items():
        assert torch.equal(tensor, before[key])  # running statistics stay

    assert list(table) == COLUMNS and len(table) == 2 * 2 * 12
    assert table["seed"].tolist() == [0] * 24 + [4] * 24
    for split, count in (("train", 64), ("test", 20)):
        for _, rows in table[table["split"] == split].groupby("seed"):
            assert rows["image"].tolist() == image_indices(count, 12)
            assert rows["log_px_ais"].notna().tolist() == [True] * 5 + [False] * 7
    others = [column for column in NUMBERS if column != "log_px_ais"]
    assert np.isfinite(table[others].to_numpy(float)).all()
    assert table["converged"].dtype == bool and table["converged"].mean() > 0.9
    assert set(table["start"]) <= {"encoder", "prior"}
    assert table["ess"].between(1, 1000).all() and (table["withheld"] == 0).all()
    of_seed = table.groupby("seed")[CERTIFICATE]
    assert (of_seed.nunique() == 1).all(axis=None)
    width = of_seed.first().diff(axis=1)["simulated_upper"]
    assert width.abs().max() < 0.2
    assert [done for done, _, _ in told] == list(range(1, 11))
    assert {total for _, total, _ in told} == {10}
    assert told[0][2] == "train: encode" and told[-1][2] == "test: annealing"

    means = table[others].mean()
    assert means["elbo"] <= means["elbo_optimal"] <= means["log_px"]
    assert abs(means["log_px"] - means["log_px_is"]) < 0.05
    if name == "vanilla":
        assert (table["elbo"] == table["elbo_mean_weights"]).all()
        assert (table["elbo"] == table["elbo_marginal"]).all()
    else:
        assert (table["elbo"] != table["elbo_mean_weights"]).all()
        assert means["elbo"] < means["elbo_marginal"] <= means["log_px"]


def test_elbo_is_that_of_the_objective(models, blobs):
    """Against reconstruction and latent KL of the model's own forward pass, where the
    noise of the weights costs a nat."""
    noisy = {"bayesian": StaticBayesian(rho_init=-1.0)}
    options = models["simplified-gaussian"].model_copy(update=noisy)
    config = run_config(options, [0, 4], epochs=3, latent=3)
    vae = train(config, blobs).vae
    wanted = settings(final_draws=3000, marginal_draws=1000, ais="off")
    table = measure(vae, config, blobs, wanted)
    assert table["log_px_ais"].isna().all()
    assert (table["log_px"] == table["log_px_is"]).mean() > 0.9
    chosen = image_indices(64, 12)
    x, means = blobs.to_float(blobs.train[chosen]).expand(2, -1, -1), []
    for column, sample_weights in (("elbo", True), ("elbo_mean_weights", False)):
        how = Mode(Noise([0, 4], "t"), sample_weights=sample_weights)
        with torch.no_grad():
            draws = [vae(x, how) for _ in range(3000)]
        losses = [terms.reconstruction + terms.latent_kl for terms in draws]
        expected = -torch.stack(losses).mean(0)
        rows = table[table["split"] == "train"].sort_values(["seed", "image"])
        found = torch.tensor(rows[column].to_numpy()).view(2, 12)
        torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.3)
        assert (found.float() - expected).mean().abs() < 0.05
        means.append(found.mean().item())
    assert means[1] - means[0] > 0.5


@pytest.mark.parametrize("name", ["vanilla", "compound-mixture"])
def test_a_seed_is_the_same_alone_and_beside_others(name, models, blobs):
    config = run_config(models[name], [0, 4, 7], epochs=2, latent=3)
    vae = train(config, blobs).vae
    beside = measure(vae, config, blobs, settings())
    alone_config = config.model_copy(update={"seeds": [4]})
    alone_vae = train(alone_config, blobs).vae
    state = {key: tensor[1:2] for key, tensor in vae.state_dict().items()}
    alone_vae.load_state_dict(state)
    alone = measure(alone_vae, alone_config, blobs, settings())
    same = beside[beside["seed"] == 4].reset_index(drop=True)
    assert same["image"].equals(alone["image"])
    np.testing.assert_allclose(
        same[NUMBERS].to_numpy(float),
        alone[NUMBERS].to_numpy(float),
        atol=0.02,
    )
    close = (same["elbo"] - alone["elbo"]).abs()
    assert close.max() < 1e-3  # the same draws; only the order of sums may differ


def test_a_failed_seed_is_nan_and_leaves_the_others_alone(models, blobs):
    config = run_config(models["simplified-mixture"], [0, 4], epochs=2, latent=3)
    vae = train(config, blobs).vae
    sound = measure(vae, config, blobs, settings())
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter[0] = torch.nan
    table = measure(vae, config, blobs, settings())
    failed, other = (table[table["seed"] == seed] for seed in (0, 4))
    known = [name for name in NUMBERS if name not in ("withheld", "draws")]
    assert failed[known].isna().all(axis=None) and (failed["withheld"] == 1).all()
    assert not failed["converged"].any()
    expected = sound[sound["seed"] == 4]
    np.testing.assert_allclose(
        other[NUMBERS].to_numpy(float),
        expected[NUMBERS].to_numpy(float),
        atol=0.02,
    )


def test_an_encoder_that_failed_alone_still_has_an_optimum(models, blobs):
    config = run_config(models["vanilla"], [0], epochs=2, latent=3)
    vae = train(config, blobs).vae
    with torch.no_grad():
        for parameter in vae.encoder.parameters():
            parameter.fill_(torch.nan)
    table = measure(vae, config, blobs, settings())
    assert table["elbo"].isna().all() and set(table["start"]) == {"prior"}
    assert table[["elbo_optimal", "log_px", "ess"]].notna().all(axis=None)
    assert table["start_difference"].isna().all()


def test_an_encoder_that_returns_the_prior_is_measured(models, blobs):
    """The far end of the scale: only its own gap grows."""
    config = run_config(
        models["vanilla"], [0], epochs=150, latent=3, learning_rate=0.01
    )
    vae = train(config, blobs).vae
    own = measure(vae, config, blobs, settings(ais="off"))
    vae.encoder = PriorEncoder(3)
    prior = measure(vae, config, blobs, settings(ais="off"))
    means, own_means = prior[NUMBERS].mean(), own[NUMBERS].mean()
    assert means["elbo"] < own_means["elbo"]
    for column in ("elbo_optimal", "log_px"):
        assert means[column] == pytest.approx(own_means[column], abs=0.03)


def test_weight_draws_are_those_of_the_encoder(models, blobs):
    """In number, in their spread, and none at the mean weights."""
    config = run_config(models["compound-mixture"], [0, 4], epochs=2, latent=3)
    vae = train(config, blobs).vae
    x = blobs.to_float(blobs.test)
    with torch.no_grad():
        drawn = encode(vae, x, Noise([0, 4], "t"), 3, sample_weights=True)
        (still,) = encode(vae, x, Noise([0, 4], "t"), 1, sample_weights=False)
        mode = Mode(Noise([0, 4], "u"), sample_weights=False)
        expected, _ = vae.encoder(x.expand(2, -1, -1), mode)
    assert len(drawn) == 3 and all((q.scale > 0).all() for q in drawn)
    assert (torch.stack([q.mean for q in drawn]).std(0) > 1e-6).all()
    torch.testing.assert_close(still.mean, expected.mean)
    torch.testing.assert_close(still.scale, expected.scale)


@pytest.mark.parametrize("count,wanted", [(10, 4), (60_000, 1000), (7, 7), (5, 9)])
def test_images_are_evenly_spread(count, wanted):
    chosen = image_indices(count, wanted)
    assert len(chosen) == len(set(chosen)) == min(count, wanted)
    steps = np.diff(chosen)
    assert chosen[0] == 0 and count - steps.max() <= chosen[-1] < count
    assert steps.max() - steps.min() <= 1


def test_continuous_bernoulli_is_measured_with_its_own_likelihood(models, blobs):
    """log p(x) and L[q] belong together: the Bernoulli's are far away."""
    plain = models["vanilla"]
    other = plain.model_copy(update={"likelihood": "continuous-bernoulli"})
    config = run_config(other, [0], epochs=3, latent=3)
    vae = train(config, blobs).vae
    many = settings(final_draws=20_000, importance_draws=20_000)
    table = measure(vae, config, blobs, many)
    means = table[NUMBERS].mean()
    assert means["elbo"] <= means["elbo_optimal"] <= means["log_px"]
    vae.options = plain
    wrong = measure(vae, config, blobs, settings())
    assert abs(wrong["log_px"].mean() - means["log_px"]) > 1


def test_pixels_are_read_as_the_dataset_says(models, blobs):
    config = run_config(models["vanilla"], [0], epochs=2, latent=3)
    vae = train(config, blobs).vae
    half = Dataset("blobs", blobs.train // 2, blobs.test // 2, 127, 3, 4)
    one = measure(vae, config, blobs, settings(ais="off"))["elbo"].mean()
    other = measure(vae, config, half, settings(ais="off"))["elbo"].mean()
    assert one == pytest.approx(other, abs=0.1)
