"""No mirror from outside, and no proxy before the loopback server."""

import pytest


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch):
    monkeypatch.delenv("COMVAE_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
