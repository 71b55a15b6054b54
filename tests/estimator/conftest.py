"""A linear model whose every number can be worked out by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.metrics import Mean

X = np.random.default_rng(0).standard_normal((24, 3)).astype(np.float32)
Y = X @ np.array([1.0, -2.0, 0.5], np.float32)


class Line(nnx.Module):
    """x -> x . w, from w = 0."""

    def __init__(self, rngs: nnx.Rngs | None = None):
        self.w = nnx.Param(jnp.zeros(3))

    def __call__(self, x):
        return x @ self.w[...]


def line_fn(model, features, labels, mode):
    """Squared error, plain SGD."""
    value = model(features["x"])
    if mode is sf.Mode.PREDICT:
        return sf.TPUEstimatorSpec(mode, {"value": value, "twice": 2 * value})
    losses = (value - labels) ** 2
    return sf.TPUEstimatorSpec(
        mode,
        {"value": value},
        losses.mean(),
        optax.sgd(0.1),
        (lambda losses: {"mse": Mean.from_batch(losses)}, [losses]),
    )


def arrays() -> Any:
    return {"x": X}, Y


def summaries(folder: Path) -> dict[tuple[str, int], float]:
    """(tag, step) -> value of all TensorBoard events directly in a folder."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data, place = path.read_bytes(), 0
        while place < len(data):  # TFRecord: length, its check, content, its check
            length = int.from_bytes(data[place : place + 8], "little")
            event = Event.FromString(data[place + 12 : place + 12 + length])
            for value in event.summary.value:
                found[value.tag, event.step] = value.simple_value
            place += 16 + length
    return found


@pytest.fixture
def line(tmp_path) -> Callable[..., sf.Estimator]:
    """Makes an estimator of the line on one device, in batches of 8."""

    def make(model_fn: Any = line_fn, **arguments: Any) -> sf.Estimator:
        defaults = {
            "model": Line,
            "model_dir": tmp_path / "model",
            "train_batch_size": 8,
            "mesh": MeshConfig(axes=AxesConfig()),
        }
        return sf.Estimator(model_fn, **{**defaults, **arguments})

    return make


@pytest.fixture
def rows() -> Callable[[], Any]:
    """An input_fn: 24 rows of three features, labels that a line fits exactly."""
    return arrays
