"""Placement of arrays: predicted by `check`, and by real shards."""

import re

import jax
import numpy as np
import optax
import pytest

import specflow as sf
from specflow.commands.placement_table import ParameterTable, bytes_per_device
from specflow.config.sections.mesh import AxesConfig, MeshConfig, RuleConfig
from specflow.data import Data, as_source
from specflow.model.zoo import Mlp

ROWS = as_source((np.zeros((16, 6), np.float32), np.zeros(16, np.int32)))
FSDP = [RuleConfig(path="**", along="fsdp")]
BOTH = [RuleConfig(along=["tensor", "fsdp"])]
MESHES = {
    "one": ({}, []),
    "data 8": ({"data": 8}, []),
    "fsdp 8": ({"fsdp": 8}, FSDP),
    "data 2 x fsdp 4": ({"data": 2, "fsdp": 4}, FSDP),
    "fsdp 4 x tensor 2": ({"fsdp": 4, "tensor": 2}, BOTH),
    "tensor by dims": (
        {"data": 2, "tensor": 4},
        [RuleConfig(path="hidden.*.kernel", dims=[None, "tensor"])],
    ),
}


def model_fn(model, features, labels, mode):
    losses = optax.softmax_cross_entropy_with_integer_labels(model(features), labels)
    return sf.TPUEstimatorSpec(mode, {}, losses.mean(), optax.adam(1e-3))


def estimator_on(axes, rules, directory):
    return sf.TPUEstimator(
        model_fn,
        model=lambda rngs: Mlp(6, hidden=[16, 32], outputs=5, rngs=rngs),
        model_dir=directory,
        train_batch_size=16,
        mesh=MeshConfig(axes=AxesConfig(**axes), rules=rules),
    )


@pytest.fixture(params=MESHES)
def estimator(request, tmp_path):
    return estimator_on(*MESHES[request.param], tmp_path)


def leaves(state):
    return {
        jax.tree_util.keystr(path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


def test_predicted_bytes_per_device_are_those_of_the_real_shards(estimator):
    predicted = leaves(estimator.abstract_state(ROWS))
    state = leaves(
        estimator.program.init_state(0, *estimator.batch_form(ROWS, "train"))
    )
    assert predicted.keys() == state.keys()
    for path, array in state.items():
        for shard in array.addressable_shards:
            assert shard.data.nbytes == bytes_per_device(predicted[path]), path


def test_training_keeps_the_sharding_of_every_array(estimator):
    predicted = leaves(estimator.abstract_state(ROWS))
    estimator.train(lambda: ROWS, steps=2)
    for path, array in leaves(estimator._states.state).items():
        assert array.sharding.is_equivalent_to(predicted[path].sharding, array.ndim)
    estimator.close()


def test_the_moments_of_a_parameter_are_sharded_like_it(estimator):
    state = estimator.abstract_state(ROWS)
    moments = state.opt_state[0]
    for path, array in state.params.items():
        assert moments.mu[path].sharding == moments.nu[path].sharding == array.sharding
    assert moments.count.sharding.is_fully_replicated


def test_the_parameter_table_in_full(tmp_path):
    """Bytes by hand: 4 x size / 8 where a dimension divides by 8; Adam keeps two
    moments of each and a step count of 4 bytes."""
    estimator = estimator_on({"fsdp": 8}, FSDP, tmp_path)
    parameters = ParameterTable.of(estimator, Data(ROWS, ROWS))
    table = str(parameters)
    replicated = "** (replicated: no dimension divides by 8)"
    rows = [
        ("parameter", "array", "sharding", "rule", "bytes per device"),
        ("head.bias", "f32[5]", "(-)", replicated, "20"),
        ("head.kernel", "f32[32,5]", "(fsdp, -)", "**", "80"),
        ("hidden.0.bias", "f32[16]", "(fsdp)", "**", "8"),
        ("hidden.0.kernel", "f32[6,16]", "(-, fsdp)", "**", "48"),
        ("hidden.1.bias", "f32[32]", "(fsdp)", "**", "16"),
        ("hidden.1.kernel", "f32[16,32]", "(-, fsdp)", "**", "256"),
    ]
    lines = table.splitlines()
    assert [tuple(cells(line)) for line in lines[:7]] == rows
    assert lines[7:] == [
        "",
        "mesh        fsdp 8 (8 devices)",
        "parameters  821 in 6 arrays, 5 sharded",
        "per device  parameters 428 B, optimizer 860 B, state 0 B",
    ]
    plain = parameters.to_plain()
    assert plain["mesh"]["fsdp"] == 8
    assert plain["bytes_per_device"] == {
        "parameters": 428,
        "optimizer": 860,
        "state": 0,
    }
    assert plain["parameters"][1] == {
        "parameter": "head.kernel",
        "array": "f32[32,5]",
        "placement": [["fsdp"], []],
        "rule": "**",
        "bytes_per_device": 80,
    }


def cells(line):
    return re.split(r" {2,}", line.strip())
