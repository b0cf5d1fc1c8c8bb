"""The embedded dataset: all of scikit-learn's digits, in a fixed split."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

from comvae.datasets.digits import read
from comvae.datasets.fetching import fetch
from comvae.datasets.registry import REGISTRY
from comvae.errors import DatasetError
from tests.datasets.served import changed


def test_train_and_test_are_all_images_each_once():
    arrays, digits = read(), load_digits()
    images = np.concatenate([arrays["train-images"], arrays["test-images"]])
    labels = np.concatenate([arrays["train-labels"], arrays["test-labels"]])

    def rows(images, labels):
        flat = images.reshape(len(images), -1)
        return sorted(map(tuple, np.column_stack([flat, labels]).astype(int)))

    assert rows(images, labels) == rows(digits.images, digits.target)


def test_the_split_is_stratified():
    arrays = read()
    train, test = (np.bincount(arrays[f"{s}-labels"]) for s in ("train", "test"))
    assert np.abs(test - 0.2 * (train + test)).max() < 1


def test_fetch_needs_neither_network_nor_mirror(tmp_path, monkeypatch):
    monkeypatch.setenv("COMVAE_MIRROR", str(tmp_path / "nowhere"))
    path = fetch("digits", tmp_path / "digits")
    record = json.loads(path.read_text())
    assert record["counts"] == {"train": 1437, "test": 360}
    assert (record["height"], record["width"], record["pixel_max"]) == (8, 8, 16)
    assert record["source"]["train-images"].startswith("scikit-learn ")
    assert "random_state=0" in record["changes"][0]
    train = np.load(tmp_path / "digits" / "train-images.npy")
    assert record["mean_intensity"]["train"] == pytest.approx(train.mean() / 16)


def test_other_digits_than_the_known_are_refused(tmp_path):
    source = REGISTRY["digits"]
    checksums = {**source.origin.sha256, "test-labels": "0" * 64}
    origin = changed(source.origin, sha256=checksums)
    registry = {"digits": changed(source, origin=origin)}
    with pytest.raises(DatasetError, match="test-labels of scikit-learn"):
        fetch("digits", tmp_path / "digits", registry=registry)
    assert not (tmp_path / "digits" / "dataset.json").exists()
