"""A user's project: models, data and a metric of the soak experiments."""

import dataclasses

import numpy as np
import optax
from flax import linen, nnx

import specflow as sf


class Normed(nnx.Module):
    """Batch norm and dropout: batch statistics and a random stream."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.conv = nnx.Conv(1, width, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(width, momentum=0.9, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.out = nnx.Linear(width, 3, rngs=rngs)

    def __call__(self, image):
        x = nnx.relu(self.norm(self.conv(image)))
        return self.out(self.dropout(x.mean(axis=(1, 2))))


class LinenNet(linen.Module):
    """The same kinds of state, in Linen's collections."""

    width: int = 8

    @linen.compact
    def __call__(self, x, *, train: bool):
        x = linen.relu(linen.Dense(self.width)(x))
        x = linen.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        x = linen.Dropout(0.2, deterministic=not train)(x)
        return linen.Dense(3)(x)


@dataclasses.dataclass(frozen=True)
class ErrorCount(sf.Metric):
    """Number of wrong predictions."""

    errors: int = 0

    @classmethod
    def from_batch(cls, labels, predictions):
        return cls(int((labels != predictions).sum()))

    def merge(self, other):
        return ErrorCount(self.errors + other.errors)

    def compute(self):
        return self.errors


def blobs(rows: int, image: bool = False):
    """Three noisy clusters, as vectors of 6 numbers or as images of 4 by 4."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, rows).astype(np.int32)
    shape = (4, 4, 1) if image else (6,)
    centers = rng.normal(size=(3, *shape))
    x = (centers[labels] + rng.normal(size=(rows, *shape))).astype(np.float32)
    half, name = rows // 2, "image" if image else "x"
    return {
        "train": ({name: x[:half]}, labels[:half]),
        "eval": ({name: x[half:]}, labels[half:]),
    }


OPTIMIZER = optax.adam(1e-2)


def linen_fn(model, features, labels, mode):
    """Cross-entropy of a Linen model."""
    logits = model(features["x"], train=mode is sf.Mode.TRAIN)
    predictions = {"class": logits.argmax(-1)}
    if mode is sf.Mode.PREDICT:
        return sf.TPUEstimatorSpec(mode, predictions)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    metrics = (
        lambda labels, classes: {"errors": ErrorCount.from_batch(labels, classes)},
        [labels, predictions["class"]],
    )
    return sf.TPUEstimatorSpec(mode, predictions, losses.mean(), OPTIMIZER, metrics)
