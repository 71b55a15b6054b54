"""Every optimizer trains on eight devices, and resumes from a checkpoint."""

from typing import get_args

import jax
import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.config.base import TARGET
from specflow.config.sections.mesh import AxesConfig, RuleConfig
from specflow.config.sections.optimizer import OptimizerConfig
from specflow.executor import Program, from_tree, to_tree
from specflow.mesh import Partitioner, build_mesh
from specflow.model import SplitModel
from specflow.optimizer import build_optimizer
from specflow.output import Checkpointer

KINDS = get_args(OptimizerConfig)[1].members
NAMES = [name for name in KINDS if name != TARGET]
STEPS = 4
WIDTH = 128
"""The least that Adafactor factors."""
RNG = np.random.default_rng(0)
X = RNG.standard_normal((STEPS, 16, WIDTH)).astype(np.float32)
Y = RNG.integers(0, WIDTH, (STEPS, 16)).astype(np.int32)


FIELDS = {
    "parts": {
        "parts": {
            "kernel": {"paths": ["kernel"], "optimizer": {"name": "adam"}},
            "state": {"paths": ["**"], "optimizer": {"name": "sgd"}},
        }
    }
}
"""What an optimizer cannot do without."""


def new_program(name):
    fields = {"clip_norm": 1.0, **FIELDS.get(name, {})}
    config = KINDS[name].model_validate(fields)
    optimizer = build_optimizer(config, train_steps=STEPS)

    def model_fn(model, features, labels, mode):
        logits = model(features)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return sf.TPUEstimatorSpec(mode, {}, losses.mean(), optimizer)

    return Program(
        model_fn,
        SplitModel(lambda rngs: nnx.Linear(WIDTH, WIDTH, rngs=rngs)),
        Partitioner(
            build_mesh(AxesConfig(fsdp=8)), [RuleConfig(path="**", along="fsdp")]
        ),
    )


def trained(program, state, start, stop):
    """The state after, and the losses of these steps."""
    batches = program.put((X, Y), axis=1)
    state, losses, _ = program.train(state, *batches, start, stop)
    return state, np.asarray(losses)[start:stop]


@pytest.mark.parametrize("name", NAMES)
def test_it_trains_on_eight_devices_and_resumes_bit_for_bit(name, tmp_path):
    program = new_program(name)
    state = program.init_state(0, X[0], Y[0])
    placed = jax.tree.map(lambda array: array.sharding, state)
    state, first = trained(program, state, 0, 2)
    with Checkpointer(tmp_path) as checkpoints:
        checkpoints.save(2, to_tree(state))
        whole, last = trained(program, state, 2, STEPS)
        like = program.abstract_state(X[0], Y[0])
        saved = checkpoints.restore(to_tree(like)).state

    assert jax.tree.map(lambda array: array.sharding, whole) == placed
    assert np.isfinite([*first, *last]).all()
    assert all(np.isfinite(array).all() for array in whole.params.values())

    resumed, again = trained(program, from_tree(saved, like), 2, STEPS)
    assert again.tobytes() == last.tobytes()
    expected = dict(jax.tree_util.tree_leaves_with_path(to_tree(whole)))
    for path, array in jax.tree_util.tree_leaves_with_path(to_tree(resumed)):
        assert np.asarray(array).tobytes() == np.asarray(expected[path]).tobytes(), path


@pytest.mark.parametrize("name", NAMES)
def test_its_state_is_sharded_as_the_parameters_are(name):
    """All but what is smaller than a parameter, which lies whole on every device."""
    state = new_program(name).abstract_state(X[0], Y[0])
    kernel = state.params["kernel"]
    assert not kernel.sharding.is_fully_replicated
    for leaf in jax.tree.leaves(state.opt_state):
        if leaf.size >= kernel.size:
            assert leaf.sharding == kernel.sharding
