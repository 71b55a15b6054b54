"""A model of one matrix product, as whatever is exported looks to those who export."""

from pathlib import Path

import numpy as np
import pytest

from specflow.output.export import write_export
from specflow.spec import PredictOutput

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

    def compiler_options(self, sent):
        return {}

    def is_narrow(self, sent):
        return False


@pytest.fixture
def product():
    """The model; set `wrong` to have it answer otherwise than its function."""
    return Product()


@pytest.fixture
def example():
    """Eight rows; every sum of theirs is exact, in any order."""
    return {"x": X, "bias": np.zeros(8, np.float32)}


@pytest.fixture
def export(tmp_path, product, example):
    """Writes an export; its directory."""

    def write(**arguments) -> Path:
        arguments = {"step": 3, "platforms": ("cpu",), **arguments}
        return write_export(tmp_path / "exports", product, example, **arguments)

    return write
