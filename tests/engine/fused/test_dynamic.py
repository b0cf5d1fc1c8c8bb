"""The C step of an encoder of DBNN layers against the model, autograd and Adam."""

import pytest
import torch

from comvae.engine.build import build
from comvae.engine.fused import FusedAdam, plain_step
from comvae.engine.fused.dynamic import all_dynamic
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.objective import minibatch_loss
from tests.support import run_config

CPU = torch.device("cpu")
SEEDS = [3, 4, 5]
RATE = 1e-4
WEIGHT = 1e-3  # of the weight KL
MODELS = {
    "mixture": ("compound-mixture", {}),
    "closed": ("compound-gaussian", {}),
    "sampled": ("compound-gaussian", {"weight_kl": "sampled"}),
    "summed": ("compound-mixture", {"weight_kl_over_images": "sum"}),
    "maps only": ("compound-mixture", {"batch_norm_hidden": False}),
    "deep": ("compound-mixture", {"hidden_layers": 2}),
}


def config_of(name, models, hidden, seeds=SEEDS):
    model, changes = MODELS[name]
    options = models[model].model_copy(update=changes)
    return run_config(options, seeds, hidden=hidden, latent=3)


def images_of(batch, pixels):
    """Some pixels blank in one image, one of them in all."""
    x = torch.rand(len(SEEDS), batch, pixels, generator=torch.manual_seed(0))
    x = x.where(x > 0.6, 0)
    x[..., 1] = 0
    return x


def mode_of(noise, with_kl):
    return Mode(noise, batch_statistics=True, update_statistics=True, weight_kl=with_kl)


def step_by_autograd(config, x, with_kl, dtype):
    """The model and Adam after a step, and the weight KL."""
    vae = build(config, x.shape[2]).to(dtype)
    adam = torch.optim.Adam(vae.parameters(), lr=RATE)
    terms = vae(x.to(dtype), mode_of(Noise(SEEDS, "training"), with_kl))
    loss = minibatch_loss(terms, WEIGHT if with_kl else None, vae.options)
    loss.sum().backward()
    adam.step()
    return vae, adam, terms.weight_kl.detach().double()


def step_in_c(config, x, with_kl, alive=None):
    vae, noise = build(config, x.shape[2]), Noise(config.seeds, "training")
    adam = FusedAdam(vae.parameters(), lr=RATE)
    step = plain_step(vae, adam, CPU)
    alive = torch.ones(len(x)) if alive is None else alive
    read = x.flatten(0, 1), 1.0, torch.arange(x[..., 0].numel()).view_as(x[..., 0])
    totals = torch.zeros(2, len(x), dtype=torch.float64)
    outputs, kl = step.encoder.forward(x, mode_of(noise, with_kl))
    gradient = step(*read, alive, noise, totals, outputs)
    step.encoder.backward(gradient, WEIGHT * alive)
    adam.step()
    return vae, adam, kl.double()


@pytest.mark.parametrize("with_kl", [True, False])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("batch", "pixels", "hidden"),
    [(2, 16, 16), (15, 20, 17), (32, 64, 32), (45, 50, 20)],
)
def test_a_step_is_as_good_as_one_of_pytorch(
    batch, pixels, hidden, name, with_kl, models
):
    """Widths and batches that fill no vector, fill some, or leave a rest."""
    config, x = config_of(name, models, hidden), images_of(batch, pixels)
    exact, exact_adam, right = step_by_autograd(config, x, with_kl, torch.float64)
    theirs, their_adam, their_kl = step_by_autograd(config, x, with_kl, torch.float32)
    ours, our_adam, kl = step_in_c(config, x, with_kl)
    start = build(config, pixels).state_dict()
    allowed = 4 * (their_kl - right).abs().max() + 1e-6 * right.abs().max()
    torch.testing.assert_close(kl, right, rtol=0, atol=float(allowed))
    for (key, own), their, p in zip(
        ours.named_parameters(), theirs.parameters(), exact.parameters(), strict=True
    ):
        for moment in ("exp_avg", "exp_avg_sq"):
            truth = exact_adam.state[p][moment]
            error = (their_adam.state[their][moment] - truth).abs().max()
            off = (our_adam.state[own][moment] - truth).abs().max()
            assert off <= max(4 * error, 8e-6 * truth.abs().max()), (key, moment)
        moments = our_adam.state[own]
        mean, square = moments["exp_avg"] / 0.1, moments["exp_avg_sq"] / 0.001
        moved = start[key] - RATE * mean / (square.sqrt() + 1e-8)
        torch.testing.assert_close(own.data, moved, rtol=1e-5, atol=RATE / 1000)
    for (key, own), their, buffer in zip(
        ours.named_buffers(), theirs.buffers(), exact.buffers(), strict=True
    ):
        error = (their - buffer).abs().max()
        off = (own - buffer).abs().max()
        assert off <= max(4 * error, 8e-6 * buffer.abs().max()), key


def test_no_bit_depends_on_the_threads_or_on_the_seeds_beside(models):
    config, x = config_of("deep", models, 20), images_of(17, 50)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)  # conftest sets it back
        found.append(step_in_c(config, x, True))
    alone = config.model_copy(update={"seeds": SEEDS[2:]})
    found.append(step_in_c(alone, x[2:].contiguous(), True))
    first, *others = found
    for vae, _, kl in others:
        assert torch.equal(kl, first[2][-len(kl) :])
        for own, expected in zip(
            vae.state_dict().values(), first[0].state_dict().values(), strict=True
        ):
            assert torch.equal(own, expected[-len(own) :])


def test_a_seed_that_is_stopped_stays_and_a_nan_stays_in_its_seed(models):
    config, x = config_of("mixture", models, 20), images_of(17, 50)
    x[1, 3, 4] = torch.nan
    start = build(config, 50)
    vae, _, kl = step_in_c(config, x, True, torch.tensor([0.0, 1.0, 1.0]))
    assert kl.isfinite().tolist() == [True, False, True]
    for own, before in zip(vae.parameters(), start.parameters(), strict=True):
        assert torch.equal(own[0], before[0])
        assert own[2].isfinite().all() and not torch.equal(own[2], before[2])


@pytest.mark.parametrize(
    "changes",
    [
        {"latent_layer": "linear"},
        {"weight_noise": False, "weight_prior": None},
        {"batch_norm_maps": False},
        {"batch_norm_momentum": "cumulative"},
        {"dropout": 0.1},
        {"input_noise": 0.1},
    ],
    ids=str,
)
def test_other_layers_are_left_to_autograd(changes, models):
    options = models["compound-mixture"].model_copy(update=changes)
    vae = build(run_config(options, SEEDS, hidden=20, latent=3), 50)
    assert not all_dynamic(vae.encoder)
