"""Conversion of the training state to plain dicts and back."""

import jax
import numpy as np
import optax
import pytest

from specflow.executor import TrainState, from_tree, to_tree

PARAMS = {"layers.0.kernel": np.ones((2, 3)), "head.bias": np.zeros(3)}
OPTIMIZERS = {
    "sgd": optax.sgd(0.1),
    "momentum": optax.sgd(0.1, momentum=0.9),
    "adamw, clipped": optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(1e-3, mask=lambda p: dict.fromkeys(p, True)),
    ),
    "scheduled": optax.adam(optax.cosine_decay_schedule(1.0, 10)),
    "by parts": optax.multi_transform(
        {"a": optax.adam(1e-3), "b": optax.sgd(1e-2, momentum=0.9)},
        {"layers.0.kernel": "a", "head.bias": "b"},
    ),
    "several steps": optax.MultiSteps(optax.adam(1e-3), 4),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_state_of_every_optimizer_survives_a_round_trip(name):
    opt_state = OPTIMIZERS[name].init(PARAMS)
    state = TrainState(np.int32(7), PARAMS, {"rngs.count": np.uint32(3)}, opt_state)
    tree = to_tree(state)
    assert set(tree) == {"step", "params", "state", "opt_state"}
    leaves = jax.tree.leaves(opt_state)
    # Nothing is lost to two leaves of the same name, and all of it is plain.
    assert len(tree["opt_state"]) == len(leaves)
    assert all(isinstance(path, str) for path in tree["opt_state"])
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), state)
    again = from_tree(tree, like)
    assert jax.tree.structure(again) == jax.tree.structure(state)
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(one, other)
