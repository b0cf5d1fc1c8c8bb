"""The estimators against models with known answers: `make gap-selftest`."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from comvae.datasets import digits
from comvae.datasets.loading import Dataset
from comvae.engine.training import train
from comvae.evaluation.gap.annealing import SCHEDULES, anneal, anneal_back
from comvae.evaluation.gap.bounds import bounds
from comvae.evaluation.gap.importance import log_evidence
from comvae.evaluation.gap.local import Optimum, local_optimum, optimise
from comvae.evaluation.gap.measure import encode
from comvae.evaluation.gap.oracles import (
    Quadrature,
    linear_gaussian,
    simulate,
    two_sided_decoder,
)
from comvae.evaluation.gap.target import DecoderTarget, Target
from comvae.model.noise import Noise
from comvae.model.options import ModelOptions
from comvae.model.posterior import DiagonalGaussian
from comvae.model.vae import VAE
from comvae.study.run_config import RunConfig
from comvae.study.settings import Training

TOLERANCE = 0.02  # nats, of means over images
SEARCH = {"draws": 64, "iterations": 400, "tolerance": 0.001}
OFF, WIDER = 0.5, 1.5  # how an encoder is wrong on purpose, in scales of q*


@dataclass(frozen=True)
class Check:
    """One line of the table, in nats: means over images."""

    model: str
    quantity: str
    estimate: float
    truth: float
    tolerance: float = TOLERANCE
    at_most: bool = False  # whether `estimate` may be below `truth` by any amount

    @property
    def passed(self) -> bool:
        error = self.estimate - self.truth
        return error <= self.tolerance if self.at_most else abs(error) <= self.tolerance


def run() -> bool:
    """Print a table of estimate against truth; whether every line of it holds."""
    print(f"{'model':34} {'quantity':34} {'estimate':>10} {'truth':>10} {'error':>8}")
    passed = True
    for check in checks():
        mark = "" if check.passed else "  FAILED"
        passed &= check.passed
        relation = "<=" if check.at_most else "  "
        print(
            f"{check.model:34} {check.quantity:34} {check.estimate:10.3f} {relation}"
            f"{check.truth:8.3f} {check.estimate - check.truth:8.4f}{mark}",
            flush=True,
        )
    print("all hold" if passed else "some do NOT hold")
    return passed


@torch.no_grad()
def checks() -> Iterator[Check]:
    """Every line of the table, as soon as it is known."""
    for sigma in (0.3, 1.0, 3.0):
        yield from linear_gaussian_checks(sigma)
    for slope in (1.0, 2.0, 4.0):
        yield from two_sided_checks(slope)
    yield from trained_checks()


def linear_gaussian_checks(sigma: float, images: int = 200) -> Iterator[Check]:
    """Closed forms, with an encoder that is off by OFF scales and WIDER too wide."""
    model = f"linear-Gaussian, noise {sigma}"
    target, noise = linear_gaussian(sigma, images), Noise([0], f"self-test {sigma}")
    log_px, true_mean_scale = target.log_evidence(), target.optimum()
    centre, width = (tensor.float() for tensor in true_mean_scale)
    encoded = DiagonalGaussian(centre + OFF * width, WIDER * width)

    optimum = local_optimum(target, encoded, **SEARCH)
    optima, q = (optimum.mean, optimum.scale), optimum.of_start(optimum.best())
    optimal = one_bound(target, q, noise, "elbo-optimal")
    elbo = one_bound(target, encoded, noise, "elbo")
    by_importance, _ = log_evidence(target, *optima, 5000, noise)
    by_annealing = anneal(target, *optima, SCHEDULES["fast"], noise)

    true_optimal = target.elbo(*true_mean_scale)
    true_elbo = target.elbo(encoded.mean, encoded.scale)

    def check(quantity: str, estimate: Tensor, truth: Tensor) -> Check:
        return Check(model, quantity, estimate.mean().item(), truth.mean().item())

    yield check("log p(x), importance sampling", by_importance, log_px)
    yield check("log p(x), annealing", by_annealing, log_px)
    yield check("L[q*]", optimal, true_optimal)
    yield check("L[q]", elbo, true_elbo)
    yield check("approximation gap", by_importance - optimal, log_px - true_optimal)
    yield check("amortization gap", optimal - elbo, true_optimal - true_elbo)
    yield check("inference gap", by_importance - elbo, log_px - true_elbo)
    yield from marginal_checks(model, sigma, images // 6)


def marginal_checks(model: str, sigma: float, images: int) -> Iterator[Check]:
    """An encoder whose random weights move its mean: its marginal is normal, too."""
    target, noise = linear_gaussian(sigma, images), Noise([0], f"marginal {sigma}")
    mean, scale = (tensor.float() for tensor in target.optimum())
    limit = target.elbo(mean, scale * 2**0.5).mean().item()
    for weights in (50, 2000):
        eps = noise.normal("weights", images, weights, mean.shape[2])
        moved = DiagonalGaussian(mean, scale).rsample(eps).unbind(2)
        each = [DiagonalGaussian(one, scale) for one in moved]
        _, marginal = bounds(target, each, 1000, noise, "elbo")
        quantity = f"L[marginal q], {weights} weight draws"
        yield Check(
            model, quantity, marginal.mean().item(), limit, at_most=weights < 2000
        )


def two_sided_checks(slope: float, images: int = 100) -> Iterator[Check]:
    """A Bernoulli decoder of two latents, against quadrature."""
    model = f"two modes, slope {slope:g}"
    decoder, noise = two_sided_decoder(slope), Noise([0], f"self-test {slope}")
    _, x = simulate(decoder, noise, images)
    target = DecoderTarget(decoder, "bernoulli", x)
    log_px = Quadrature().log_evidence(decoder, "bernoulli", x[0]).mean().item()
    prior = DiagonalGaussian(torch.zeros(1, images, 2), torch.ones(1, images, 2))
    optimum = local_optimum(target, prior, **SEARCH)
    optima, q = (optimum.mean, optimum.scale), optimum.of_start(optimum.best())
    by_importance, _ = log_evidence(target, *optima, 5000, noise)
    by_annealing = anneal(target, *optima, SCHEDULES["fast"], noise)
    optimal = one_bound(target, q, noise, "elbo-optimal").mean().item()
    estimate = by_importance.mean().item()
    yield Check(model, "log p(x), importance sampling", estimate, log_px)
    yield Check(model, "log p(x), annealing", by_annealing.mean().item(), log_px)
    yield Check(model, "L[q*] at most log p(x)", optimal, log_px, at_most=True)


def trained_checks(images: int = 100) -> Iterator[Check]:
    """A model trained on digits: bounds from both sides, their order, and q*."""
    model, noise = "vanilla, digits", Noise([0], "self-test")
    vae, _, _ = trained_on_digits()
    exact, x = simulate(vae.decoder, noise, images)
    target = DecoderTarget(vae.decoder, "bernoulli", x)
    (encoded,) = encode(vae, x[0], noise, 1, False)
    optimum = local_optimum(target, encoded, **SEARCH)
    optima, q = (optimum.mean, optimum.scale), optimum.of_start(optimum.best())
    lower = anneal(target, *optima, SCHEDULES["fast"], noise).mean().item()
    upper = anneal_back(target, *optima, exact, SCHEDULES["fast"], noise).mean().item()
    by_importance, _ = log_evidence(target, *optima, 5000, noise)
    estimate = by_importance.mean().item()
    optimal = one_bound(target, q, noise, "elbo-optimal").mean().item()
    elbo = one_bound(target, encoded, noise, "elbo").mean().item()
    thorough = reference(target, encoded.mean, noise)
    best = one_bound(target, thorough, noise, "elbo-optimal").mean().item()
    yield Check(model, "upper - lower bound, annealing", upper - lower, 0.0, 0.1)
    yield Check(model, "log p(x), importance <= upper", estimate, upper, at_most=True)
    yield Check(model, "L[q] <= L[q*]", elbo, optimal, 0.0, at_most=True)
    yield Check(model, "L[q*] <= log p(x)", optimal, estimate, 0.0, at_most=True)
    yield Check(model, "L[q*], against 10 random starts", optimal, best)


def one_bound(
    target: Target, q: DiagonalGaussian, noise: Noise, purpose: str
) -> Tensor:
    """L of one normal for each image, with 1000 draws."""
    return bounds(target, [q], 1000, noise, purpose)[0]


def reference(target: Target, like: Tensor, noise: Noise) -> DiagonalGaussian:
    """q* with 20 times the effort, from 10 random starts."""
    starts = [
        DiagonalGaussian(
            noise.normal("starts", *like.shape[1:]), torch.full_like(like, 0.3)
        )
        for _ in range(10)
    ]
    found: Optimum = optimise(
        target, starts, 20 * SEARCH["draws"], 20 * SEARCH["iterations"], 1e-4
    )
    return found.of_start(found.best())


def trained_on_digits(epochs: int = 15) -> tuple[VAE, RunConfig, Dataset]:
    """A vanilla model of one seed, trained for a second or two."""
    arrays = digits.read()
    images = (
        torch.from_numpy(arrays[f"{split}-images"]).flatten(1)
        for split in ("train", "test")
    )
    dataset = Dataset("digits", *images, pixel_max=16, height=8, width=8)
    config = RunConfig(
        dataset="digits",
        model="vanilla",
        seeds=[0],
        options=ModelOptions(title="Vanilla VAE"),
        training=Training(epochs=epochs, hidden=32),
    )
    with torch.enable_grad():
        return train(config, dataset).vae, config, dataset
