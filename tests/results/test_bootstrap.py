"""The interval over seeds and images: what it covers, against a plain loop, by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from comvae.results.bootstrap import image_deviations, interval


def both(values: np.ndarray) -> tuple[float, float]:
    """The interval of one quantity, (seeds, images)."""
    return interval(values.mean(1), image_deviations(values[..., None])[..., 0])


def crossed(random, seeds, of_seeds, of_images, images=200) -> np.ndarray:
    """Gaps with mean 2: effects of seeds, skewed ones of images, and noise."""
    values = of_seeds * random.normal(size=(seeds, 1)) + 1
    values = values + of_images * (random.exponential(size=(1, images)) - 1)
    return values + 0.1 * random.normal(size=(seeds, images)) + 1


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_it_covers_other_seeds_and_other_images(seeds):
    """Where the interval over seeds does not, since all share their images."""
    random = np.random.default_rng(seeds)
    covered, by_seeds = [], []
    for _ in range(200):
        values = crossed(random, seeds, 0.02, 1.0)
        low, high = both(values)
        covered.append(low <= 2 <= high)
        student = stats.ttest_1samp(values.mean(1), 0).confidence_interval(0.95)
        by_seeds.append(student.low <= 2 <= student.high)
    assert 0.91 <= np.mean(covered) <= 0.99
    assert np.mean(by_seeds) < 0.8


def test_it_is_that_of_a_plain_hierarchical_bootstrap():
    random = np.random.default_rng(0)
    values = crossed(random, 40, 0.05, 0.5, images=100)
    means = []
    for _ in range(4000):
        seeds, images = random.integers(40, size=40), random.integers(100, size=100)
        means.append(np.mean([values[seed, images].mean() for seed in seeds]))
    low, high = np.quantile(means, [0.025, 0.975])
    assert both(values) == pytest.approx((low, high), abs=0.12 * (high - low))


@pytest.mark.parametrize("seeds", [2, 3, 7])
def test_without_noise_of_images_it_is_students_t(seeds):
    means = np.random.default_rng(1).normal(size=seeds)
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    low, high = both(np.repeat(means[:, None], 50, 1))
    assert high - low == pytest.approx(expected.high - expected.low, abs=1e-5)


def test_one_seed_has_none_and_seeds_without_a_value_do_not_count():
    values = crossed(np.random.default_rng(2), 4, 0.1, 0.1)
    assert all(map(math.isnan, both(values[:1])))
    lost = np.concatenate([values, np.full((1, 200), np.nan)])
    assert both(lost) == both(values)


def test_it_is_the_same_in_whatever_parts_runs_are_read():
    values = crossed(np.random.default_rng(3), 6, 0.1, 0.5)[..., None]
    parts = [image_deviations(part) for part in (values[:1], values[1:4], values[4:])]
    found = interval(values.mean(1)[:, 0], np.concatenate(parts)[..., 0])
    assert found == both(values[..., 0])
