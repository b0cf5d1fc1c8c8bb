"""The C kernels of a DBNN layer against plain PyTorch."""

import pytest
import torch

from comvae.engine.fused import dynamic_linear, dynamic_linear_reference, native
from comvae.engine.step import Engine
from comvae.engine.training import train
from tests.engine.fused.cases import (
    DRAWS,
    case,
    check_extreme_rho,
    check_no_ink,
    results,
)
from tests.support import run_config

CPU = torch.device("cpu")


def single(problem: dict) -> dict:
    return {
        name: [t.float() for t in value] if name == "running" else value.float()
        for name, value in problem.items()
    }


def test_they_have_been_built():
    assert native.unavailable() is None


@pytest.mark.parametrize("batch", [2, 6, 32, 45, 2050])
@pytest.mark.parametrize("norm", ["batch", "scale"])
@pytest.mark.parametrize("kl,draws", DRAWS)
def test_outputs_and_gradients_are_as_good_as_those_of_pytorch(kl, draws, norm, batch):
    """With two parts of the outputs, blocks of weights of which the last is ragged, and
    images that fill no vector, fill some, or leave a rest."""
    fan_in = native.LANES + 3 if batch > 1000 else 4 * native.LANES + 1
    exact = case(draws, norm, 2, native.OUTS_TOGETHER + 1, fan_in, batch)
    expected = results(dynamic_linear_reference, exact, norm, kl)
    plain = results(dynamic_linear_reference, single(exact), norm, kl)
    found = results(dynamic_linear, single(exact), norm, kl)
    for right, theirs, ours in zip(expected, plain, found, strict=True):
        scale = right.abs().max().item()
        # batch norm over few images divides by what may be all but zero, in both
        allowed = max(2e-6 * scale, 4 * (theirs.double() - right).abs().max().item())
        torch.testing.assert_close(ours.double(), right, rtol=0, atol=allowed)


@pytest.mark.parametrize("kl,draws", DRAWS)
def test_no_bit_depends_on_the_threads_or_on_the_seeds_beside(kl, draws):
    problem = single(case(draws, "batch", 3, 19, 30, 32))
    one = results(dynamic_linear, problem, "batch", kl)
    torch.set_num_threads(2)  # conftest sets it back
    two = results(dynamic_linear, problem, "batch", kl)
    alone = {
        name: [t[1:2] for t in value] if name == "running" else value[1:2].clone()
        for name, value in problem.items()
    }
    alone = results(dynamic_linear, alone, "batch", kl)
    for first, second, own in zip(one, two, alone, strict=True):
        assert torch.equal(first, second) and torch.equal(first[1:2], own)


def test_large_rho_and_tiny_sigma_keep_their_digits():
    check_extreme_rho()


def test_an_image_without_ink_has_no_noise_and_finite_gradients():
    check_no_ink()


def test_a_nan_stays_one():
    """A seed that diverges must be seen."""
    problem = single(case("weight", "batch", 2, 3, 4, 8))
    problem["maps"][1, 0, 2, 1, 3] = torch.nan
    h, nats, *_ = results(dynamic_linear, problem, "batch", "mixture")
    assert h[1, 2].isnan().all() and nats[1].isnan()
    assert h[0].isfinite().all() and nats[0].isfinite()
    problem["maps"][1, 0, 2, 1, 3], problem["maps"][1, 1, 2, 1, 3] = 0, torch.nan
    h, nats, *_ = results(dynamic_linear, problem, "batch", "mixture")
    assert h[1, 2].isnan().all() and nats[1].isnan()


def test_other_numbers_than_float32_are_refused():
    with pytest.raises(ValueError, match="float64; expected float32"):
        results(dynamic_linear, case("weight", "batch", 1, 2, 3, 4), "batch", "none")


@pytest.mark.parametrize(
    "name", ["compound-gaussian", "compound-mixture", "compound-mixture-no-batchnorm"]
)
def test_every_step_with_them_is_the_step_without(name, models, blobs):
    """From the same weights: where rounding turns the sign of a gradient that is all
    but zero, Adam moves a weight by more than the spike of the mixture is wide."""
    plain, ours = (
        Engine(run_config(models[name], [0, 4], cpu_kernels=use), blobs, CPU)
        for use in (False, True)
    )
    for engine in (plain, ours):
        engine.begin_epoch()
    for _ in range(2 * plain.minibatches):
        for engine in (plain, ours):
            if engine.epoch_done:
                engine.begin_epoch()
            engine.take_step()
        torch.testing.assert_close(ours.means(), plain.means(), rtol=2e-6, atol=0)
        for (key, theirs), own in zip(
            plain.vae.named_parameters(), ours.vae.parameters(), strict=True
        ):
            off = (own.grad - theirs.grad).abs().max() / theirs.grad.abs().max()
            assert off < 1e-3, key
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
    train(run_config(options, [0, 4]), blobs)
    assert not used
    config = run_config(options, [0, 4], cpu_kernels=True)
    first = train(config, blobs)
    assert len(used) == 2 * 4 * 2  # epochs, minibatches, layers
    assert train(config, blobs).history.equals(first.history)


def test_without_them_training_is_plain_and_says_so(models, blobs, monkeypatch, caplog):
    monkeypatch.setattr(native, "unavailable", lambda: "no compiler")
    options = models["compound-gaussian"]
    plain = train(run_config(options, [0]), blobs)
    assert not caplog.text
    asked = train(run_config(options, [0], cpu_kernels=True), blobs)
    assert "no compiler" in caplog.text
    assert asked.history.equals(plain.history)
