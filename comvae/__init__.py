"""The Compound Variational Auto-Encoder study (see README.md), and its Python API.

`load` opens a trained model, `nn` has the paper's layer, `amortization_gap` measures
the gap of any VAE: docs/api.md. Each is imported once it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comvae import nn
    from comvae.api.amortization import amortization_gap
    from comvae.api.trained import TrainedModel, load

__version__ = "0.1.0"
__all__ = ["TrainedModel", "amortization_gap", "load", "nn"]

_PLACES = {
    "TrainedModel": "comvae.api.trained",
    "amortization_gap": "comvae.api.amortization",
    "load": "comvae.api.trained",
}


def __getattr__(name: str) -> Any:
    if name == "nn":
        return import_module("comvae.nn")
    if name not in _PLACES:
        raise AttributeError(f"module `comvae` has no attribute `{name}`")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
