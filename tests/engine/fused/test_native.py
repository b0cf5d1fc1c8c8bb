"""The C kernels of a DBNN layer against the layer of `comvae.model`."""

import copy
from functools import partial

import pytest
import torch

from comvae.engine.fused import native
from comvae.engine.fused.layer import MAX_BATCH, FusedForward
from comvae.engine.fused.optimiser import low_rank_adam_
from comvae.engine.step import Engine
from comvae.engine.training import train
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.priors import GaussianPrior
from tests.engine.fused.cases import KLS, check_extreme_rho, layer_of, results
from tests.support import MODELS, run_config

CPU = torch.device("cpu")
SEEDS = [3, 4]


def test_they_have_been_built():
    assert native.unavailable() is None


@pytest.mark.parametrize("batch", [2, 6, 32, 45, 2050])
@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("kl", KLS)
def test_outputs_and_gradients_are_as_good_as_those_of_pytorch(kl, batch_norm, batch):
    """With two parts of the outputs, tiles of weights of which the last is ragged, and
    images that fill no vector, fill some, or leave a rest."""
    fan_in = native.LANES + 2 if batch > 1000 else 4 * native.LANES
    layer = layer_of(kl, batch_norm, SEEDS, native.OUTS_TOGETHER + 1, fan_in)
    exact = copy.deepcopy(layer).double()
    expected = results(exact, kl, SEEDS, batch, fused=False)
    plain = results(copy.deepcopy(layer), kl, SEEDS, batch, fused=False)
    found = results(layer, kl, SEEDS, batch, fused=True)
    for right, theirs, ours in zip(expected, plain, found, strict=True):
        scale = right.abs().max().item()
        # batch norm over few images divides by what may be all but zero, in both
        allowed = max(2e-6 * scale, 4 * (theirs.double() - right).abs().max().item())
        torch.testing.assert_close(ours.double(), right, rtol=0, atol=allowed)


@pytest.mark.parametrize("images", [21, MAX_BATCH + 1])
@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("kl", KLS)
def test_an_evaluation_with_them_is_the_one_without(kl, batch_norm, images):
    """Each seed with running statistics of its own; also of more images than fit."""
    fan_in = 40 if images < 100 else 3
    layer = layer_of(kl, batch_norm, SEEDS, native.OUTS_TOGETHER + 1, fan_in)
    x = Noise(SEEDS, "images").normal("x", images, fan_in)
    found = []
    for fused in (False, True):
        if fused:
            layer.forward = FusedForward(layer, low_rank=False)
        with torch.no_grad():
            mode = Mode(Noise(SEEDS, "draws"), weight_kl=kl != "none")
            found.append(layer(x, mode))
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kl", KLS)
def test_no_bit_depends_on_the_threads_or_on_the_seeds_beside(kl):
    def found(seeds, threads):
        torch.set_num_threads(threads)  # conftest sets it back
        layer = layer_of(kl, True, seeds, 19, 32)
        return results(layer, kl, seeds, 32, fused=True)

    one, two, alone = found([1, 2, 3], 1), found([1, 2, 3], 2), found([2], 1)
    for first, second, own in zip(one, two, alone, strict=True):
        assert torch.equal(first, second) and torch.equal(first[1:2], own)


@pytest.mark.parametrize("batch", [1, 32, 45])
@pytest.mark.parametrize("rows", [3, 4, 30])
@pytest.mark.parametrize("columns", [16, 17, 50, 64, 130])
def test_adam_from_two_factors_is_that_of_pytorch(rows, columns, batch):
    """Rows and columns that fill no tile, fill some, or leave a rest; two steps."""
    generator = torch.manual_seed(0)
    start = torch.randn(2, rows, columns, generator=generator)
    moments = torch.zeros_like(start), torch.zeros_like(start)
    ours = start.clone()
    exact = torch.nn.Parameter(start.double())
    adam = torch.optim.Adam([exact], lr=0.01)
    for number in (1.0, 2.0):
        left, right = (
            torch.randn(2, size, batch, generator=generator) for size in (rows, columns)
        )
        exact.grad = left.double() @ right.double().mT
        adam.step()
        step = torch.tensor(number)
        low_rank_adam_(ours, *moments, left, right, step=step, lr=0.01)
    expected = adam.state[exact]
    close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-5)
    for found, name in zip(moments, ("exp_avg", "exp_avg_sq"), strict=True):
        close(found.double(), expected[name])
    close(ours.double(), exact.data)


@pytest.mark.parametrize("batch", [2, 32, 45, 64])
@pytest.mark.parametrize(("rows", "columns"), [(5, 16), (24, 17), (31, 300)])
def test_the_product_of_the_maps_is_that_of_pytorch(rows, columns, batch):
    """Rows and columns that fill no tile, fill some, or leave a rest; a pixel of one
    seed is blank in all images."""
    generator = torch.manual_seed(0)
    maps = torch.randn(3, rows, columns, generator=generator)
    x = torch.randn(3, columns, batch, generator=generator)
    x[1, columns // 2] = 0
    exact = maps.double() @ x.double()
    found = native.launch_product(maps, x).double()
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-4)


def test_every_thread_flushes_subnormal_numbers_where_the_caller_does():
    """Also a thread that was there before the caller was told to."""
    torch.set_num_threads(2)  # conftest sets both back
    rows = torch.ones(1, 64, 32)
    native.launch_product(rows, rows.mT.contiguous())
    torch.set_flush_denormal(True)
    mean = torch.full_like(rows, 1.2e-38)
    factors = torch.zeros(1, 64, 8), torch.zeros(1, 32, 8)
    step = torch.tensor(1.0)
    low_rank_adam_(rows, mean, torch.zeros_like(rows), *factors, step=step, lr=0.01)
    assert torch.equal(mean.view(torch.int32), torch.zeros(1, 64, 32).int())


@pytest.mark.parametrize("rho", [-60.0, -12.0, 0.0, 15.0, 20.5, 60.0])
def test_large_rho_and_tiny_sigma_keep_their_digits(rho):
    check_extreme_rho(rho)


def test_gradients_are_finite_where_a_weight_has_no_noise():
    layer = layer_of("none", False, [0], 2, 3, rho_shift=-200.0)
    for tensor in results(layer, "none", [0], 4, fused=True):
        assert tensor.isfinite().all()


@pytest.mark.parametrize("place", [0, -1])  # of the maps to mu, and to rho
def test_a_nan_stays_one(place):
    """A seed that diverges must be seen."""
    layer = layer_of("mixture", True, SEEDS, 3, 4)
    layer.maps.map.data[1, place] = torch.nan
    h, nats, *_ = results(layer, "mixture", SEEDS, 8, fused=True)
    assert h[1].isnan().any() and nats[1].isnan()
    assert h[0].isfinite().all() and nats[0].isfinite()


def test_other_numbers_than_float32_are_refused():
    layer = layer_of("none", True, [0], 2, 3, torch.float64)
    with pytest.raises(ValueError, match="float64; expected float32"):
        results(layer, "none", [0], 4, fused=True)


@pytest.mark.parametrize(
    "name",
    [
        *MODELS,
        "vanilla-batchnorm",
        "compound-deterministic",
        "compound-gaussian-cumulative",
        "compound-mixture-rank-16",
    ],
)
def test_every_step_with_them_is_the_step_without(name, models, blobs):
    """From the same weights: where rounding turns the sign of a gradient that is all
    but zero, Adam moves a weight by more than the spike of the mixture is wide."""
    plain, ours = (
        Engine(run_config(models[name], [0, 4], kernels=kernels), blobs, CPU)
        for kernels in ("off", "auto")
    )
    for engine in (plain, ours):
        engine.begin_epoch()
    for _ in range(2 * plain.minibatches):
        for engine in (plain, ours):
            if engine.epoch_done:
                engine.begin_epoch()
            engine.take_steps()
        for term, means in plain.means().items():
            assert ours.means()[term] == pytest.approx(means, rel=3e-6)
        largest = max(p.grad.abs().max() for p in plain.vae.parameters())
        for (key, theirs), own in zip(
            plain.vae.named_parameters(), ours.vae.parameters(), strict=True
        ):
            # from the same moments: they differ by a tenth of the gradient's difference
            moments = ours.optimiser.state[own], plain.optimiser.state[theirs]
            ours_mean, mean = (moment["exp_avg"] for moment in moments)
            # a bias before batch norm has no gradient but rounding
            scale = max(theirs.grad.abs().max(), 1e-2 * largest)
            assert 10 * (ours_mean - mean).abs().max() < 1e-3 * scale, key
        for key, buffer in ours.vae.named_buffers():
            expected = plain.vae.get_buffer(key)
            torch.testing.assert_close(buffer, expected, rtol=1e-5, atol=1e-6)
        ours.load_state(plain.state(), plain.epoch, plain.step)


def test_training_uses_them_where_asked_and_repeats_itself(models, blobs, monkeypatch):
    used = []
    launch = native.launch_forward

    def counted(*arguments):
        used.append(1)
        return launch(*arguments)

    monkeypatch.setattr(native, "launch_forward", counted)
    options = models["compound-mixture"]
    train(run_config(options, [0, 4], kernels="off"), blobs)
    assert not used
    config = run_config(options, [0, 4])
    first = train(config, blobs)
    assert len(used) == 2 * 4 * 2  # epochs, minibatches, layers
    assert train(config, blobs).history.equals(first.history)


def test_without_them_training_is_plain_and_says_so(models, blobs, monkeypatch, caplog):
    monkeypatch.setattr(native, "unavailable", lambda: "no compiler")
    options = models["compound-gaussian"]
    plain = train(run_config(options, [0], kernels="off"), blobs)
    assert not caplog.text
    asked = train(run_config(options, [0]), blobs)
    assert "no compiler" in caplog.text
    assert asked.history.equals(plain.history)


def test_a_prior_without_a_kernel_trains_plainly_and_says_so(models, blobs, caplog):
    class Wide(GaussianPrior):
        closed_form = False

    options = models["compound-gaussian"].model_copy(update={"weight_prior": Wide()})
    trained = train(run_config(options, [0], epochs=1), blobs)
    assert "no kernel for the weight prior Wide" in caplog.text
    assert trained.history.notna().all(axis=None)
