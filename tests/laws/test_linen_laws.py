"""Linen layers: the same curve on every mesh, and resuming bit for bit.

The model has batch statistics and dropout; its layers are inline or a module.
"""

import dataclasses

import numpy as np
import optax
import pytest
from flax import linen as nn

import specflow as sf
from specflow.config.sections.mesh import AxesConfig, MeshConfig, RuleConfig

ONE_DEVICE = MeshConfig(axes=AxesConfig())
MESHES = {
    "data 8": MeshConfig(axes=AxesConfig(data=8)),
    "data 2 x fsdp 4": MeshConfig(
        axes=AxesConfig(data=2, fsdp=4),
        rules=[RuleConfig(path="Dense_*.kernel", along="fsdp")],
    ),
}
TOLERANCE = 2e-6
"""Relative, as in `test_curve_laws.py`: the order of float32 sums over devices."""


class Net(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        x = nn.relu(nn.Dense(16)(x))
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        return nn.Dense(8)(nn.Dropout(0.3, deterministic=not train)(x))


def spec(mode, logits, labels):
    if mode is sf.Mode.PREDICT:
        return sf.TPUEstimatorSpec(mode, {"logits": logits})
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return sf.TPUEstimatorSpec(mode, {}, losses.mean(), optax.adam(1e-2))


def inline(features, labels, mode):
    train = mode is sf.Mode.TRAIN
    x = nn.relu(nn.Dense(16)(features["x"]))
    x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
    x = nn.Dropout(0.3, deterministic=not train)(x)
    return spec(mode, nn.Dense(8)(x), labels)


def given(model, features, labels, mode):
    return spec(mode, model(features["x"], train=mode is sf.Mode.TRAIN), labels)


@pytest.fixture(params=["inline", "given"])
def train(request, mlp, estimator_of):
    """Trains up to each of several steps: the losses, and the last checkpoint."""
    forms = {"inline": (inline, None), "given": (given, Net())}
    model_fn, model = forms[request.param]
    case = dataclasses.replace(mlp, model=model)

    def train(*stops, mesh=ONE_DEVICE, model_dir=None):
        losses, saved = {}, {}

        class Note:
            def after_step(self, step, loss):
                losses[step] = loss

        for stop in stops:
            estimator = estimator_of(
                case, steps_a_loop=1, mesh=mesh, model_dir=model_dir, model_fn=model_fn
            )
            estimator.train(case.input_fn, max_steps=stop, hooks=[Note()])
            saved = estimator.checkpoints.arrays()
            estimator.close()
        return losses, saved

    return train


def test_the_same_seed_gives_the_same_curve_on_every_mesh(train):
    one, _ = train(12)
    assert len(set(one.values())) == 12  # It moves, so equality says something.
    for name, mesh in MESHES.items():
        assert train(12, mesh=mesh)[0] == pytest.approx(one, rel=TOLERANCE, abs=0), name


def test_twelve_steps_equal_five_then_resumed_seven_bit_for_bit(train, new_dir):
    """Dropout and statistics included: streams and collections are in the state."""
    losses, saved = train(12, model_dir=new_dir())
    pieces, resumed = train(5, 12, model_dir=new_dir())
    assert pieces == losses
    assert resumed.keys() == saved.keys()
    assert int(saved["state/rngs.count"]) == 12
    for path, array in saved.items():
        assert np.asarray(array).tobytes() == np.asarray(resumed[path]).tobytes(), path
