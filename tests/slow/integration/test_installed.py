"""What `pip install .` brings, used from a folder with nothing else in it."""

import sys

from tests.blocks import blocks
from tests.slow.support import copy_repository, run
from tests.support import ROOT

SHOW = """
from comvae.engine.fused import native
print(comvae.__file__, native.unavailable())
"""


def test_an_installed_package_opens_a_published_model(tmp_path):
    source = copy_repository(tmp_path / "source")
    target, empty = tmp_path / "site-packages", tmp_path / "empty"
    empty.mkdir()
    install = ["install", "--no-deps", "--no-build-isolation", "--target", str(target)]
    done = run([sys.executable, "-m", "pip", *install, str(source)], empty)
    assert done.returncode == 0, done.stdout

    [text] = [b.text for b in blocks(ROOT / "README.md") if "comvae.load(" in b.text]
    assert len(text.splitlines()) < 10
    published = source / "results" / "published"
    text = text.replace("results/published", str(published))
    command = [sys.executable, "-c", text + SHOW]
    done = run(command, empty, PYTHONPATH=str(target))
    assert done.returncode == 0, done.stdout
    assert "torch.Size([4, 8, 8])" in done.stdout and "amortization_gap" in done.stdout
    assert f"{target / 'comvae' / '__init__.py'} None" in done.stdout, "no C kernels"
    assert not any(empty.iterdir())
