"""Fixtures: exports of one matrix product, and of any functions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from specflow.contract import PredictOutput
from specflow.output.export.exporting import write_export

X = np.arange(24, dtype=np.float32).reshape(8, 3)


class Product:
    """x -> x @ w + bias, from the example {"x": "b 3", "bias": "b"}."""

    wrong = 0.0

    def weights(self):
        return {"w": np.array([1.0, -2.0, 0.5], np.float32)}

    def outputs(self, sent):
        form = type(sent["x"])((sent["x"].shape[0],), np.float32)
        return {"serving_default": PredictOutput({"y": form})}

    def function(self, sent):
        def serve(weights, sent):
            return {"serving_default": {"y": sent["x"] @ weights["w"] + sent["bias"]}}

        return serve

    def answers(self, sent):
        y = sent["x"] @ self.weights()["w"] + sent["bias"] + np.float32(self.wrong)
        return {"serving_default": {"y": y}}

    def is_narrow(self, sent):
        return False


@pytest.fixture
def product():
    """The model; `wrong` offsets its answers from those of its function."""
    return Product()


@pytest.fixture
def example():
    """Eight rows, whose sums are exact in any order."""
    return {"x": X, "bias": np.zeros(8, np.float32)}


@pytest.fixture
def export(tmp_path, product, example):
    """Writes an export and returns its directory."""

    def write(**arguments) -> Path:
        arguments = {"step": 3, "platforms": ("cpu",), **arguments}
        return write_export(tmp_path / "exports", product, example, **arguments)

    return write


class OfFunctions(Product):
    """A model with a function `(weights, batch) -> outputs` for each signature."""

    def __init__(self, functions: dict[str, Callable], weights: dict[str, Any]):
        self.functions, self._weights, self.narrow = functions, weights, False

    def weights(self):
        return self._weights

    def outputs(self, sent):
        return {
            name: PredictOutput(jax.eval_shape(one, self._weights, sent))
            for name, one in self.functions.items()
        }

    def function(self, sent):
        return lambda weights, sent: {
            name: one(weights, sent) for name, one in self.functions.items()
        }

    def answers(self, sent):
        found = jax.jit(self.function(sent))(self._weights, sent)
        return jax.tree.map(np.asarray, found)

    def is_narrow(self, sent):
        return self.narrow


@pytest.fixture
def exported(tmp_path):
    """Writes an export of `(weights, batch) -> outputs` and returns its directory."""

    def write(function, example, weights=None, *, narrow=False, **arguments) -> Path:
        named = (
            function if isinstance(function, dict) else {"serving_default": function}
        )
        model = OfFunctions(named, weights or {})
        model.narrow = narrow
        arguments = {"step": 7, "platforms": ("cpu", "cuda", "tpu"), **arguments}
        return write_export(tmp_path / "exports", model, example, **arguments)

    return write
