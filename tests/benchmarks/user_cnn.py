"""A convolutional net of a user's own, in Flax, with pooling in three ways."""

import jax.numpy as jnp
import optax
from flax import nnx

import specflow as sf

__all__ = ["POOLS", "UserCnn", "model_fn"]


def _reshape_max(x):
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))


def _slices_max(x):
    upper = jnp.maximum(x[:, ::2, ::2], x[:, ::2, 1::2])
    lower = jnp.maximum(x[:, 1::2, ::2], x[:, 1::2, 1::2])
    return jnp.maximum(upper, lower)


POOLS = {
    "nnx.max_pool": lambda x: nnx.max_pool(x, (2, 2), (2, 2)),
    "reshape-max": _reshape_max,
    "slices": _slices_max,
}
"""Name -> the maximum of 2x2 windows."""


class UserCnn(nnx.Module):
    """Two convolutions with ReLU and pooling, and two dense layers, on 28x28 images."""

    def __init__(self, pool, *, rngs: nnx.Rngs):
        self.pool = pool
        self.conv1 = nnx.Conv(1, 32, (3, 3), rngs=rngs)
        self.conv2 = nnx.Conv(32, 64, (3, 3), rngs=rngs)
        self.dense = nnx.Linear(7 * 7 * 64, 128, rngs=rngs)
        self.out = nnx.Linear(128, 10, rngs=rngs)

    def __call__(self, x):
        x = self.pool(nnx.relu(self.conv1(x)))
        x = self.pool(nnx.relu(self.conv2(x)))
        return self.out(nnx.relu(self.dense(x.reshape(x.shape[0], -1))))


optimizer = optax.adam(1e-3)


def metric_fn(labels, logits, losses):
    return {
        "accuracy": sf.metrics.Accuracy.from_batch(labels, logits),
        "cross_entropy": sf.metrics.Mean.from_batch(losses),
    }


def model_fn(model, features, labels, mode):
    logits = model(features["image"])
    predictions = {"class": logits.argmax(-1)}
    if mode is sf.Mode.PREDICT:
        return sf.TPUEstimatorSpec(mode, predictions)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    eval_tensors = {"labels": labels, "logits": logits, "losses": losses}
    return sf.TPUEstimatorSpec(
        mode, predictions, losses.mean(), optimizer, (metric_fn, eval_tensors)
    )
