"""The examples run, and show what they promise."""

import importlib.util
from types import ModuleType

from tests.support import ROOT


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        name, ROOT / "examples" / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_layer_in_a_classifier_is_no_worse_than_a_linear_one():
    found = example("classifier").main()
    (linear, linear_error), (dynamic, error) = found["linear"], found["dynamic"]
    assert dynamic >= linear > 0.94
    assert error < linear_error and error < 0.04


def test_the_gap_of_any_vae_is_measured():
    means = example("gap_of_a_vae").main().mean()
    assert means["elbo"] < means["elbo_optimal"] < means["log_px"] < -15
    assert 0.02 < means["amortization_gap"] < 1
