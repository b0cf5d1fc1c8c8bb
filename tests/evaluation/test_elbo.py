"""Evaluation: means by hand, batches, modes."""

from dataclasses import replace

import pytest
import torch

from comvae.engine.build import build
from comvae.engine.training import train
from comvae.evaluation.elbo import batches, evaluate
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.objective import Terms
from comvae.study.settings import Evaluation
from tests.support import run_config

TERMS = ["reconstruction", "latent_kl", "negative_elbo", "weight_kl"]


@pytest.mark.parametrize(
    "name", ["vanilla", "simplified-mixture", "compound-mixture-static-latent"]
)
def test_evaluation_is_the_mean_over_images_and_draws_by_hand(name, models, blobs):
    options, seeds = models[name], [0, 4]
    config = run_config(options, seeds)
    vae = train(config, blobs).vae
    before = {key: tensor.clone() for key, tensor in vae.state_dict().items()}
    table = evaluate(vae, config, blobs, Evaluation(samples=3, batch_size=19))
    for key, tensor in vae.state_dict().items():
        assert torch.equal(tensor, before[key])  # running statistics stay
    expected_modes = {"default"}
    if name != "vanilla":
        expected_modes |= {"mean-weights"}
    if name == "compound-mixture-static-latent":
        expected_modes |= {"batch-statistics"}
    assert set(table["mode"]) == expected_modes
    sizes = {
        ("train", 19): [19, 19, 19, 7],
        ("test", 19): [20],  # a single last image joins its neighbours
        ("train", 16): [16, 16, 16, 16],  # those of training
        ("test", 16): [16, 4],
    }
    for (split, mode), rows in table.groupby(["split", "mode"]):
        setting = Mode(
            Noise(seeds, f"evaluation {split}"),
            sample_weights=mode != "mean-weights",
            batch_statistics=mode == "batch-statistics",
        )
        images = getattr(blobs, split)
        size = 16 if mode == "batch-statistics" else 19
        draws: list[Terms] = []
        for part in images.split(sizes[split, size]):
            for draw in range(3):
                # the weights of each image: one draw has enough of them for the KL
                once = name == "compound-mixture-static-latent"
                each = replace(setting, weight_kl=draw == 0 or not once)
                with torch.no_grad():
                    draws.append(vae((part / 255).expand(2, -1, -1), each))
        reconstruction = torch.cat([d.reconstruction for d in draws], 1).mean(1)
        latent_kl = torch.cat([d.latent_kl for d in draws], 1).mean(1)
        counts = torch.tensor([d.latent_kl.shape[1] for d in draws])
        if name == "compound-mixture-static-latent":
            counts[torch.arange(len(draws)) % 3 > 0] = 0
        weight_kl = torch.stack([d.weight_kl for d in draws], 1) @ (
            counts / counts.sum()
        )
        if mode == "mean-weights":
            weight_kl = weight_kl * torch.nan
        negative_elbo = reconstruction + latent_kl
        assert rows["seed"].tolist() == seeds
        assert rows["images"].tolist() == [len(images)] * 2
        torch.testing.assert_close(
            torch.tensor(rows[TERMS].to_numpy()).float(),
            torch.stack([reconstruction, latent_kl, negative_elbo, weight_kl], 1),
            rtol=1e-5,
            atol=1e-5,
            equal_nan=True,
        )


@pytest.mark.parametrize(
    "count,size,sizes",
    [(20, 8, [8, 8, 4]), (17, 8, [8, 9]), (16, 8, [8, 8]), (3, 2, [3]), (1, 8, [1])],
)
def test_batches_hold_every_image_once_and_in_order(count, size, sizes):
    images = torch.arange(count)
    parts = list(batches(images, size))
    assert [len(part) for part in parts] == sizes
    assert torch.equal(torch.cat(parts), images)


@pytest.mark.parametrize("maps,hidden", [(True, False), (False, True)])
def test_either_batch_norm_has_batch_statistics(maps, hidden, models, blobs):
    options = models["compound-gaussian"].model_copy(
        update={"batch_norm_maps": maps, "batch_norm_hidden": hidden}
    )
    config = run_config(options, [0], 1)
    vae = build(config, 12)
    table = evaluate(vae, config, blobs, Evaluation(samples=1))
    assert "batch-statistics" in set(table["mode"])
