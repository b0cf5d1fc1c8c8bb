"""Real MNIST and Fashion-MNIST, read from a mirror."""

import functools
import gzip
import http.server
import json
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets.mnist import read_image_file, read_label_file

from comvae.datasets.fetching import fetch
from comvae.datasets.loading import load
from comvae.datasets.options import DataOptions
from comvae.datasets.registry import REGISTRY
from comvae.datasets.source import PARTS
from tests.slow.support import real_data


@pytest.fixture(scope="module")
def mirror() -> Path:
    return real_data()


@pytest.fixture(scope="module", params=["mnist", "fashion-mnist"])
def fetched(request, mirror, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("datasets") / request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMVAE_MIRROR", str(mirror))
        fetch(request.param, folder)
    return folder


def test_every_array_is_what_torchvision_reads(fetched, mirror, tmp_path):
    for part, file in REGISTRY[fetched.name].origin.files.items():
        content = tmp_path / file.name.removesuffix(".gz")
        content.write_bytes(
            gzip.decompress((mirror / fetched.name / file.name).read_bytes())
        )
        reader = read_image_file if part.endswith("images") else read_label_file
        expected = reader(str(content)).to(torch.uint8).numpy()
        np.testing.assert_array_equal(np.load(fetched / f"{part}.npy"), expected)


def test_the_record_is_of_the_published_files(fetched):
    record = json.loads((fetched / "dataset.json").read_text())
    assert record["counts"] == {"train": 60_000, "test": 10_000}
    assert {file["verified"] for file in record["files"].values()} == {"sha256"}
    known = {"mnist": 0.1307, "fashion-mnist": 0.2860}[fetched.name]  # well known
    assert record["mean_intensity"]["train"] == pytest.approx(known, abs=5e-5)


def test_it_loads(fetched):
    dataset = load(fetched, DataOptions())
    assert dataset.train.shape == (60_000, 784) and dataset.test.shape == (10_000, 784)
    assert (dataset.height, dataset.width, dataset.pixel_max) == (28, 28, 255)


@pytest.mark.parametrize("binarize", ["threshold", "stochastic"])
def test_binary_pixels_keep_about_the_mean(fetched, binarize):
    grey = load(fetched, DataOptions())
    binary = load(fetched, DataOptions(binarize=binarize))
    difference = binary.test.float().mean() - grey.to_float(grey.test).mean()
    # 7.84 million draws with a variance of at most 1/4 each
    assert abs(difference) < {"threshold": 0.1, "stochastic": 5 * 0.5 / 2800}[binarize]


def test_a_mirror_may_be_a_server(mirror, tmp_path, monkeypatch):
    monkeypatch.delenv("COMVAE_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(mirror)
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        base = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            path = fetch("mnist", tmp_path / "mnist", mirror=base)
        finally:
            server.shutdown()
            thread.join()
    source = json.loads(path.read_text())["source"]
    assert set(source) == set(PARTS)
    assert all(place.startswith(f"{base}/mnist/") for place in source.values())
