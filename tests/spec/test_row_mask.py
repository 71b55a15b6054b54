"""Rows with a weight of 0: no part in loss or gradient, whatever they hold."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from specflow.config.sections.spec import DeclaredSpecConfig
from specflow.spec import build_model_fn
from specflow.spec.row_mask import gated

X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


def spec_of(loss):
    config = DeclaredSpecConfig.model_validate(
        {
            "inputs": {"x": "features.x"},
            "predictions": {"y": {"name": "identity"}},
            "loss": {"it": loss},
        }
    )
    return build_model_fn(config, optimizer=optax.sgd(0.1), metric_fn=None)


def gradient(model_fn, w, features, labels):
    def loss(w):
        spec = model_fn(lambda x: x @ w, features, labels, "train")
        return spec.loss

    return jax.jit(jax.value_and_grad(loss))(w)


@pytest.mark.parametrize(
    ("loss", "labels", "width"),
    [
        ({"name": "softmax_cross_entropy"}, np.arange(6) % 3, 3),
        ({"name": "sigmoid_cross_entropy"}, np.arange(6) % 2, 1),
        ({"name": "squared_error"}, np.arange(6.0), 1),
        ({"name": "absolute_error"}, np.arange(6.0), 1),
        ({"name": "huber"}, np.arange(6.0), 1),
        ({"name": "poisson"}, np.arange(6.0), 1),
    ],
)
@pytest.mark.parametrize("odd", [1e30, 1e3, np.inf])
def test_a_row_of_weight_0_contributes_nothing_even_if_it_overflows(
    loss, labels, width, odd
):
    model_fn = spec_of({**loss, "example_weights": "features.w"})
    labels = jnp.asarray(labels).astype("int32" if width == 3 else "float32")
    w = jnp.asarray(np.random.default_rng(1).normal(size=(3, width)), jnp.float32)
    weights = np.array([1, 1, 2, 1, 0, 0], np.float32)
    expected = gradient(model_fn, w, {"x": X[:4], "w": weights[:4]}, labels[:4])

    def outputs(w):
        # The odd numbers come from elsewhere: the model itself stays finite.
        x = jnp.asarray(X) @ w
        return jnp.where(jnp.arange(6)[:, None] < 4, x, x + odd)

    def value(w):
        features = {"x": jnp.asarray(X), "w": jnp.asarray(weights)}
        return model_fn(lambda x: outputs(w), features, labels, "train").loss

    found = jax.jit(jax.value_and_grad(value))(w)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        found,
        expected,
    )


def test_gated_stops_gradients_and_keeps_values():
    tree = {"rows": jnp.zeros(2), "tokens": jnp.zeros((2, 3)), "ids": jnp.arange(2)}
    counted = jnp.array([[True, False, True], [False, False, False]])

    def total(tree):
        kept = gated(tree, counted)
        # 1 / sqrt(0) is infinite, wherever it is asked for.
        return sum(jnp.sqrt(kept[name]).sum() for name in ("rows", "tokens"))

    found = jax.grad(total, allow_int=True)(tree)
    inf = np.inf
    np.testing.assert_array_equal(found["rows"], [inf, 0])
    np.testing.assert_array_equal(found["tokens"], [[inf, 0, inf], [0, 0, 0]])
    jax.tree.map(np.testing.assert_array_equal, gated(tree, counted), tree)
