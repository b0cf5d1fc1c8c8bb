"""The estimators against models with known answers: `make gap-selftest`."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from comvae.datasets import digits
from comvae.datasets.loading import Dataset
from comvae.engine.training import train
from comvae.evaluation.gap.annealing import SCHEDULES, anneal, anneal_back
from comvae.evaluation.gap.bounds import bounds
from comvae.evaluation.gap.estimate import estimate, reconsider
from comvae.evaluation.gap.fit import Normals, fit
from comvae.evaluation.gap.importance import log_evidence
from comvae.evaluation.gap.local import Optimum, local_optimum, optimise
from comvae.evaluation.gap.measure import encode
from comvae.evaluation.gap.oracles import (
    HeavyTails,
    LinearGaussian,
    Quadrature,
    Turned,
    TwoModes,
    linear_gaussian,
    simulate,
    two_sided_decoder,
)
from comvae.evaluation.gap.target import DecoderTarget, Target
from comvae.model.noise import Noise
from comvae.model.options import ModelOptions
from comvae.model.posterior import DiagonalGaussian, log_prior
from comvae.model.vae import VAE
from comvae.study.run_config import RunConfig
from comvae.study.settings import Training

TOLERANCE = 0.02  # nats, of means over images
LARGE = 0.05  # the same, beyond 5 latents
LATENTS = (5, 20, 50, 100)
SEARCH = {"draws": 64, "iterations": 400, "tolerance": 0.001}
OFF, WIDER = 0.5, 1.5  # how an encoder is wrong on purpose, in scales of q*


@dataclass(frozen=True)
class Check:
    """One line of the table, in nats: means over the images that are reported."""

    model: str
    quantity: str
    estimate: float
    truth: float
    tolerance: float = TOLERANCE
    at_most: bool = False  # whether `estimate` may be below `truth` by any amount
    effective: float = math.nan  # draws, the median over images
    withheld: float = 0.0  # share of the images; NaN stands where all of them are

    @property
    def passed(self) -> bool:
        error = self.estimate - self.truth
        if self.withheld == 1:
            return True
        return error <= self.tolerance if self.at_most else abs(error) <= self.tolerance


def run() -> bool:
    """Print a table of estimate against truth; whether every line of it holds."""
    print(
        f"{'model':34} {'quantity':34} {'estimate':>10} {'truth':>10} {'error':>8} "
        f"{'effective':>9} {'withheld':>8}"
    )
    passed = True
    for check in checks():
        mark = "" if check.passed else "  FAILED"
        passed &= check.passed
        relation = "<=" if check.at_most else "  "
        print(
            f"{check.model:34} {check.quantity:34} {check.estimate:10.3f} {relation}"
            f"{check.truth:8.3f} {check.estimate - check.truth:8.4f} "
            f"{_or_empty(check.effective, '9.0f')} {check.withheld:8.0%}{mark}",
            flush=True,
        )
    print("all hold" if passed else "some do NOT hold")
    return passed


def _or_empty(value: float, form: str) -> str:
    text = format(value, form)
    return " " * len(text) if math.isnan(value) else text


@torch.no_grad()
def checks() -> Iterator[Check]:
    """Every line of the table, as soon as it is known."""
    for sigma in (0.3, 1.0, 3.0):
        yield from linear_gaussian_checks(sigma)
    for slope in (1.0, 2.0, 4.0):
        yield from two_sided_checks(slope)
    yield from trained_checks()
    for latent in LATENTS:
        yield from large_checks(latent)


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
    by_importance, by_annealing = both(target, fit(target, *optima), noise)

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
    by_importance, by_annealing = both(target, fit(target, *optima), noise)
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
    modes, short = fit(target, *optima), SCHEDULES["certificate"]
    lower = anneal(target, modes, short, noise).log_px.mean().item()
    upper = anneal_back(target, modes, exact, short, noise).mean().item()
    by_importance = log_evidence(target, modes, 5000, noise).log_px
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


def large_checks(latent: int, images: int = 20) -> Iterator[Check]:
    """Posteriors with correlations, with two modes and with heavy tails."""
    correlated = linear_gaussian(1.0, images, latent, 2 * latent)
    model, tolerance = (
        f"correlated, {latent} latents",
        LARGE if latent > 5 else TOLERANCE,
    )
    noise = Noise([0], f"self-test {latent}")
    found, modes = searched(correlated)
    q = DiagonalGaussian(found.mean[0], found.scale[0])
    truth = correlated.log_evidence()
    yield from evidence_checks(model, correlated, modes, truth, noise, tolerance)
    optimal = one_bound(correlated, q, noise, "elbo-optimal").mean().item()
    known = correlated.elbo(*correlated.optimum()).mean().item()
    yield Check(model, "L[q*]", optimal, known, 4 * tolerance)
    known = truth.mean().item()
    full = full_bound(correlated, modes, noise).mean().item()
    yield Check(model, "L[best q with covariance]", full, known, tolerance)
    other: list[tuple[str, Turned]] = [
        ("two modes", TwoModes(latent, images, "two modes")),
        ("heavy tails", HeavyTails(latent, images, "heavy tails")),
    ]
    for name, target in other:
        _, modes = searched(target)
        of = f"{name}, {latent} latents", target, modes, target.log_evidence(), noise
        yield from evidence_checks(*of, LARGE)


def searched(target: LinearGaussian | Turned) -> tuple[Optimum, Normals]:
    """q* from the prior, and the normals that are fitted to it."""
    images = target.x.shape[1]
    latent = (target.turn if isinstance(target, Turned) else target.weight[0]).shape[0]
    like = torch.zeros(1, images, latent)
    found = local_optimum(
        target, DiagonalGaussian(like, torch.ones_like(like)), **SEARCH
    )
    return found, fit(target, *found.usable())


def evidence_checks(
    model: str,
    target: Target,
    modes: Normals,
    truth: Tensor,
    noise: Noise,
    tolerance: float,
) -> Iterator[Check]:
    """log p(x) of the images for which it is reported."""
    estimated = estimate(target, modes, 5000, noise)
    annealed = anneal(target, modes, SCHEDULES["fast"], noise)
    estimated = reconsider(target, estimated, annealed, 5000, noise)
    reported = estimated.trusted() & estimated.agrees(annealed)
    found = estimated.found
    yield Check(
        model,
        "log p(x)",
        found.log_px[reported].mean().item(),
        truth[reported].mean().item(),
        tolerance,
        effective=found.effective.median().item(),
        withheld=1 - reported.double().mean().item(),
    )


def both(target: Target, modes: Normals, noise: Noise) -> tuple[Tensor, Tensor]:
    """log p(x) by importance sampling, and by annealing."""
    sampled = log_evidence(target, modes, 5000, noise)
    return sampled.log_px, anneal(target, modes, SCHEDULES["fast"], noise).log_px


def full_bound(target: Target, modes: Normals, noise: Noise) -> Tensor:
    """L of the first normal of each image, (seeds, images), with 1000 draws."""
    images, latent = modes.mean.shape[2:]
    z = modes.draw(0, noise.normal("full", images, 1000, latent))
    joint = target.log_likelihood(z) + log_prior(z)
    return (joint - modes.log_prob(0, z)).double().mean(2)


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
