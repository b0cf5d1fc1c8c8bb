"""The C step of a model of plain layers against the model, autograd and Adam."""

import pytest
import torch

from comvae.engine.build import build
from comvae.engine.fused import FusedAdam, native, plain_step
from comvae.engine.step import Engine
from comvae.engine.training import train
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.objective import minibatch_loss
from tests.support import run_config

CPU = torch.device("cpu")
SEEDS = [3, 4, 5]
RATE = 1e-4  # so small that no second gradient depends on how the first was rounded
OPTIONS = [
    {},
    {"hidden_layers": 3},
    {"latent_scale": "exp"},
    {"data_term": "sum"},
    {"encoder_hidden": 9},
]


def images_of(batch, pixels):
    """Some pixels blank in one image, one of them in all."""
    x = torch.rand(len(SEEDS), batch, pixels, generator=torch.manual_seed(0))
    x = x.where(x > 0.6, 0)
    x[..., 1] = 0
    return x


def steps_by_autograd(config, x, dtype):
    """The model, Adam and the sums of the terms after two steps."""
    vae = build(config, x.shape[2]).to(dtype)
    adam = torch.optim.Adam(vae.parameters(), lr=RATE)
    noise, x = Noise(SEEDS, "training"), x.to(dtype)
    totals = torch.zeros(2, len(SEEDS), dtype=torch.float64)
    for _ in range(2):
        adam.zero_grad()
        terms = vae(x, Mode(noise))
        minibatch_loss(terms, None, vae.options).sum().backward()
        adam.step()
        totals += (
            torch.stack([terms.reconstruction.sum(1), terms.latent_kl.sum(1)])
            .double()
            .detach()
        )
    return vae, adam, totals


def steps_in_c(config, x, seeds=slice(None)):
    config = config.model_copy(update={"seeds": config.seeds[seeds]})
    vae, noise = build(config, x.shape[2]), Noise(config.seeds, "training")
    adam = FusedAdam(vae.parameters(), lr=RATE)
    step = plain_step(vae, adam, CPU)
    x = x[seeds].contiguous()
    read = x.flatten(0, 1), 1.0, torch.arange(x[..., 0].numel()).view_as(x[..., 0])
    totals = torch.zeros(2, len(x), dtype=torch.float64)
    for _ in range(2):
        step(*read, torch.ones(len(x)), noise, totals)
        adam.step()
    return vae, adam, totals


@pytest.mark.parametrize("changes", OPTIONS, ids=str)
@pytest.mark.parametrize("batch", [2, 15, 32, 45])
@pytest.mark.parametrize(("pixels", "hidden"), [(12, 7), (64, 32), (130, 100)])
def test_a_step_is_as_good_as_one_of_pytorch(changes, batch, pixels, hidden, models):
    """Widths that fill no vector, fill some, or leave a rest."""
    options = models["vanilla"].model_copy(update=changes)
    config = run_config(options, SEEDS, hidden=hidden, latent=3)
    x = images_of(batch, pixels)
    exact, exact_adam, right = steps_by_autograd(config, x, torch.float64)
    theirs, their_adam, their_totals = steps_by_autograd(config, x, torch.float32)
    ours, our_adam, totals = steps_in_c(config, x)
    allowed = max(1e-6 * right.abs().max(), 4 * (their_totals - right).abs().max())
    torch.testing.assert_close(totals, right, rtol=0, atol=float(allowed))
    for (key, own), their, p in zip(
        ours.named_parameters(), theirs.parameters(), exact.parameters(), strict=True
    ):
        for moment in ("exp_avg", "exp_avg_sq"):
            truth = exact_adam.state[p][moment]
            error = (their_adam.state[their][moment] - truth).abs().max()
            off = (our_adam.state[own][moment] - truth).abs().max()
            assert off <= max(4 * error, 2e-6 * truth.abs().max()), (key, moment)
        # Adam moves a weight by the sign of a gradient that is all but zero
        assert ((own - p).abs() > RATE / 100).double().mean() < 0.01, key


def test_no_bit_depends_on_the_threads_or_on_the_seeds_beside(models):
    config = run_config(models["vanilla"], SEEDS, hidden=20)
    x = images_of(17, 50)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)  # conftest sets it back
        found.append(steps_in_c(config, x))
    found.append(steps_in_c(config, x, slice(2, 3)))
    first, *others = found
    for vae, _, totals in others:
        assert torch.equal(totals, first[2][:, -totals.shape[1] :])
        for own, expected in zip(vae.parameters(), first[0].parameters(), strict=True):
            assert torch.equal(own, expected[-len(own) :])


def test_a_nan_stays_one_in_its_seed(models):
    config = run_config(models["vanilla"], SEEDS, hidden=20)
    x = images_of(17, 50)
    x[1, 3, 4] = torch.nan
    vae, _, totals = steps_in_c(config, x)
    assert totals.isfinite().all(0).tolist() == [True, False, True]
    for parameter in vae.parameters():
        assert parameter[[0, 2]].isfinite().all()


def test_a_likelihood_without_a_kernel_trains_plainly_and_says_so(
    models, blobs, caplog
):
    change = {"likelihood": "continuous-bernoulli"}
    options = models["vanilla"].model_copy(update=change)
    ours = train(run_config(options, [0]), blobs)
    assert "no kernel for the likelihood continuous-bernoulli" in caplog.text
    plain = train(run_config(options, [0], kernels="off"), blobs)
    assert ours.history.equals(plain.history)


def test_training_uses_it_where_asked(models, blobs, monkeypatch, caplog):
    config = run_config(models["vanilla"], [0, 4])
    ours = train(config, blobs)
    plain = train(run_config(models["vanilla"], [0, 4], kernels="off"), blobs)
    assert not plain.history.equals(ours.history)
    monkeypatch.setattr(native, "unavailable", lambda: "no compiler")
    assert not caplog.text
    assert train(config, blobs).history.equals(plain.history)
    assert "no compiler" in caplog.text


@pytest.mark.parametrize("batch_size", [7, 16])
@pytest.mark.parametrize("seeds", [[0], [0, 4, 2]])
def test_steps_at_once_are_those_one_by_one(seeds, batch_size, models, blobs):
    config = run_config(models["vanilla"], seeds, batch_size=batch_size)
    several, singly = Engine(config, blobs, CPU), Engine(config, blobs, CPU)
    for engine, most in ((several, 3), (singly, 1)):
        for _ in range(2):
            engine.begin_epoch()
            while not engine.epoch_done:
                engine.take_steps(most)
    for key, tensor in singly.state().items():
        assert torch.equal(several.state()[key], tensor), key
    assert several.means() == singly.means()


def test_a_seed_that_has_stopped_stays_where_it_is(models, blobs):
    engine = Engine(run_config(models["vanilla"], [0, 4]), blobs, CPU)
    engine.begin_epoch()
    engine.take_steps()
    engine.stop_seed(1, None)
    before = {k: v[1].clone() for k, v in engine.vae.state_dict().items()}
    engine.take_steps()
    for key, tensor in engine.vae.state_dict().items():
        assert torch.equal(tensor[1], before[key])


def test_images_are_read_in_every_form(models):
    """Bytes, sums of pooled bytes and numbers, which are the same in [0, 1]."""
    bytes_ = torch.randint(0, 256, (40, 12), generator=torch.manual_seed(0)).byte()
    chosen = torch.randperm(36, generator=torch.manual_seed(1)).view(3, 12)[:, :7]
    found = []
    for images, white in (
        (bytes_, 255),
        (4 * bytes_.to(torch.int16), 1020),
        (bytes_ / 255, 1.0),
    ):
        vae, noise = build(run_config(models["vanilla"], SEEDS), 12), Noise(SEEDS, "t")
        adam = FusedAdam(vae.parameters(), lr=RATE)
        totals = torch.zeros(2, 3, dtype=torch.float64)
        plain_step(vae, adam, CPU)(images, white, chosen, torch.ones(3), noise, totals)
        found.append(totals)
    x = (bytes_ / 255)[chosen]
    expected = build(run_config(models["vanilla"], SEEDS), 12)(
        x, Mode(Noise(SEEDS, "t"))
    )
    for totals in found:
        assert torch.equal(totals, found[0])
        torch.testing.assert_close(
            totals.float(),
            torch.stack([expected.reconstruction.sum(1), expected.latent_kl.sum(1)]),
        )
    with pytest.raises(ValueError, match="float64; expected uint8"):
        plain_step(vae, adam, CPU)(
            x.double(), 1.0, chosen, torch.ones(3), noise, totals
        )
