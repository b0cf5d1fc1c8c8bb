"""Trained models from published and from new results, and their gaps as published."""

import shutil
import subprocess
import sys

import pandas as pd
import pytest
import torch

import comvae
from comvae.datasets import digits
from comvae.errors import ResultsError
from comvae.results.gap_files import read_gaps
from tests.support import ROOT

PUBLISHED = ROOT / "results" / "published" / "digits"
FAST = {"final_draws": 500, "importance_draws": 500, "marginal_draws": 10}


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    """The first test images of the published gaps, (8, 8, 8)."""
    images = digits.read()["test-images"]
    return torch.tensor(images[:8] / 16, dtype=torch.float32)


def published(model: str) -> pd.DataFrame:
    """The published gaps of the images `x` for seed 0."""
    [path] = PUBLISHED.glob(f"evaluations/digits/{model}/*/*/gaps.parquet")
    return read_gaps(path).query("seed == 0 and split == 'test' and image < 8")


@pytest.mark.parametrize("model", ["vanilla", "simplified-mixture", "compound-mixture"])
def test_a_published_model_has_the_published_gaps(model, x):
    loaded = comvae.load(PUBLISHED, model)
    found, expected = loaded.gap(x, **FAST), published(model)
    assert found["image"].tolist() == expected["image"].tolist()
    for name, error in {"log_px": 0.4, "elbo_optimal": 0.4, "elbo": 0.8}.items():
        values = found[name].to_numpy(), expected[name].to_numpy()
        assert values[0] == pytest.approx(values[1], abs=error), name
        assert values[0].mean() == pytest.approx(values[1].mean(), abs=error / 3), name
    elbo = loaded.elbo(x, draws=500)
    assert elbo.numpy() == pytest.approx(expected["elbo"].to_numpy(), abs=0.8)
    assert torch.equal(elbo, loaded.elbo(x, draws=500))


def test_one_seed_is_its_part_of_all(x):
    whole = comvae.load(PUBLISHED, "vanilla", seed="all")
    one = comvae.load(PUBLISHED, "vanilla", seed=2)
    assert (whole.seeds, one.seeds) == ([0, 1, 2], [2])
    q, own = whole.encode(x), one.encode(x.flatten(1).numpy())
    assert q.mean.shape == (3, 8, 5) and own.mean.shape == (8, 5)
    torch.testing.assert_close(q.mean[2], own.mean)
    torch.testing.assert_close(q.scale[2], own.scale)
    torch.testing.assert_close(whole.decode(q.mean)[2], one.decode(own.mean))
    torch.testing.assert_close(whole.elbo(x, 50)[2], one.elbo(x, 50))
    assert whole.gap(x, **FAST)["seed"].tolist() == [0] * 8 + [1] * 8 + [2] * 8


def test_samples_are_images_and_come_with_torchs_generator():
    model = comvae.load(PUBLISHED)
    assert repr(model) == "<vanilla on digits, seed 0>"
    torch.manual_seed(3)
    first = model.sample(4)
    torch.manual_seed(3)
    assert first.shape == (4, 8, 8) and first.min() > 0 and first.max() < 1
    assert torch.equal(first, model.sample(4)) and not first.equal(model.sample(4))


def test_random_weights_are_at_their_means_or_drawn(x):
    model = comvae.load(PUBLISHED, "simplified-mixture")
    means = [model.encode(x).mean for _ in range(2)]
    drawn = [model.encode(x, draw_weights=True).mean for _ in range(2)]
    assert torch.equal(*means) and not torch.equal(*drawn)


def test_a_block_is_loaded_by_its_folder(x):
    [block] = PUBLISHED.glob("runs/digits/vanilla/*/*")
    one, other = comvae.load(block, seed=1), comvae.load(PUBLISHED, "vanilla", seed=1)
    assert torch.equal(one.encode(x).mean, other.encode(x).mean)


def test_the_seeds_of_several_blocks_are_one_model(tmp_path, x):
    """As after seeds were added to a study: here the same block twice."""
    shutil.copytree(PUBLISHED, tmp_path / "results")
    plan = tmp_path / "results" / "studies" / "digits" / "study.json"
    text = plan.read_text()
    start = text.index('{\n      "dataset": "digits",\n      "model": "vanilla"')
    end = text.index("}", start) + 1
    plan.write_text(f"{text[:end]},\n    {text[start:end]}{text[end:]}")
    both = comvae.load(tmp_path / "results", "vanilla", seed="all")
    assert both.seeds == [0, 1, 2, 0, 1, 2]
    mean = both.encode(x).mean
    assert torch.equal(mean[:3], mean[3:])


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"model": "vanila"}, r"no model `vanila`.*Did you mean `vanilla`"),
        ({"dataset": "mnist"}, r"no dataset `mnist`.*It has: digits"),
        ({"model": "vanilla", "seed": 7}, r"no weights of seed 7"),
        ({"model": "compound-mixture", "seed": 1}, r"seed 1.*`make study`"),
    ],
)
def test_what_is_not_there_is_said(arguments, message):
    with pytest.raises(ResultsError, match=message):
        comvae.load(PUBLISHED, **arguments)


@pytest.mark.parametrize(
    "images,message",
    [
        (torch.zeros(2, 7, 7), r"found the shape \(2, 7, 7\), expected .*8, 8\)"),
        (torch.full((2, 64), 16), r"outside of \[0, 1\].*divide"),
        (torch.zeros(0, 64), "found no images"),
    ],
)
def test_wrong_images_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        comvae.load(PUBLISHED).encode(images)


def test_damaged_weights_are_refused(tmp_path):
    shutil.copytree(PUBLISHED, tmp_path / "results")
    [path] = tmp_path.glob("results/runs/digits/compound-mixture/*/*/weights-seed-0.*")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ResultsError, match=r"weights-seed-0.* is damaged"):
        comvae.load(tmp_path / "results", "compound-mixture")


def test_importing_the_package_imports_next_to_nothing():
    code = "import comvae, sys; print(sorted({'torch', 'pandas'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"
    assert {"load", "nn", "amortization_gap"} <= set(dir(comvae))
    with pytest.raises(AttributeError, match="no attribute `loda`"):
        comvae.loda  # noqa: B018
