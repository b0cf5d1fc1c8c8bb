"""Scores of foreign images, and what a table makes of them."""

import numpy as np
import pandas as pd
import pytest
import torch

from comvae.datasets.loading import Dataset
from comvae.engine.training import train
from comvae.evaluation.ood import SCORES, score
from comvae.results.tables.ood import auroc, told_apart
from comvae.study.settings import Gap
from tests.support import run_config

FEW = Gap(images=8, marginal_draws=4, importance_draws=200, final_draws=50)


@pytest.mark.parametrize("name", ["vanilla", "simplified-gaussian"])
def test_noise_is_more_foreign_than_test_images(name, models, blobs):
    config = run_config(models[name], [4, 0], epochs=20, latent=2)
    vae = train(config, blobs).vae
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 2, blobs.test.shape, generator=generator) * blobs.pixel_max
    sides = dict(pixel_max=blobs.pixel_max, height=blobs.height, width=blobs.width)
    other = Dataset("noise", noise, noise, **sides)
    found = score(vae, config, blobs, other, FEW)
    assert list(found) == ["seed", "data", "image", *SCORES] and len(found) == 2 * 2 * 8
    means = found.groupby("data")[SCORES].mean()
    for name_of in ("foreign_negative_elbo", "foreign_negative_log_px"):
        assert means.loc["noise", name_of] > means.loc["blobs", name_of]
    random = name != "vanilla"
    assert found["foreign_elbo_variance"].notna().all() == random
    of_seed = told_apart(found[found["seed"] == 4], "noise")
    assert of_seed["foreign_negative_elbo"] > 0.7
    own = "foreign_elbo_variance" if random else "foreign_gap"
    assert of_seed["foreign_own"] == of_seed[own]


def test_the_area_is_the_share_of_pairs_in_order():
    positive = np.array([True, True, False, False, False])
    assert auroc(np.array([5.0, 4, 1, 2, 3]), positive) == 1
    assert auroc(np.array([0.0, 2, 1, 2, 3]), positive) == pytest.approx(1.5 / 6)
    assert np.isnan(auroc(np.array([np.nan, 2, 1, 2, 3]), positive))


def test_variance_that_goes_with_the_gap_knows_where_it_is_wrong():
    table = pd.DataFrame({name: np.arange(6.0) for name in SCORES})
    table = table.assign(data=["own"] * 3 + ["other"] * 3)
    found = told_apart(table, "other")
    assert found["knows_own"] == found["knows_foreign"] == 1
    turned = table.assign(foreign_gap=-table["foreign_gap"])
    assert told_apart(turned, "other")["knows_own"] == -1
