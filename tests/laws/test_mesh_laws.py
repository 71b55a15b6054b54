"""The same loss curve for every sharding, and when resumed on another mesh.

`test_curve_laws.py` has every kind of state on data and fsdp meshes; here are all ways
to shard parameters: by size, by logical name, over several axes, over several slices.
"""

import numpy as np
import pytest
from flax import linen, nnx

from specflow.config.sections.mesh import AxesConfig, MeshConfig, RuleConfig
from specflow.model.zoo import Cnn, Mlp, Transformer
from tests.laws.conftest import Case, _table, _tokens

LOGICAL = {"embed": "fsdp", "mlp": "tensor", "length": "sequence"}
BY_SIZE = [RuleConfig(logical=True), RuleConfig(along=["tensor", "fsdp"])]
STEPS = 5
TOLERANCE = 2e-6
"""Relative, as in `test_curve_laws.py`: sums in another order, five steps long."""


class Named(nnx.Module):
    """Has logical names for parameters, and activations of batch, length and width."""

    def __init__(self, *, rngs: nnx.Rngs):
        def named(*names: str):
            return nnx.with_partitioning(nnx.initializers.lecun_normal(), names)

        self.embed = nnx.Embed(16, 8, rngs=rngs)
        self.up = nnx.Linear(8, 16, kernel_init=named("embed", "mlp"), rngs=rngs)
        self.down = nnx.Linear(16, 8, kernel_init=named("mlp", "embed"), rngs=rngs)
        self.head = nnx.Linear(8, 16, rngs=rngs)

    def __call__(self, tokens):
        x = self.embed(tokens)
        x = linen.with_logical_constraint(x, ("batch", "length", "embed"))
        hidden = nnx.relu(self.up(x))
        hidden = linen.with_logical_constraint(hidden, ("batch", "length", "mlp"))
        return self.head(x + self.down(hidden))


def _images():
    rng = np.random.default_rng(2)
    images = rng.standard_normal((48, 8, 8, 1)).astype(np.float32)
    return {"features": images, "labels": rng.integers(0, 8, 48).astype(np.int32)}


def _cnn(rngs):
    return Cnn((8, 8, 1), widths=[4, 8], hidden=16, outputs=8, rngs=rngs)


def _transformer(rngs):
    sizes = {"vocabulary": 16, "layers": 1, "width": 16, "heads": 2, "max_length": 8}
    return Transformer(**sizes, rngs=rngs)


MLP = Case("mlp", lambda rngs: Mlp(6, hidden=[16], outputs=8, rngs=rngs), **_table())
CNN = Case("cnn", _cnn, **_images())
TRANSFORMER = Case("transformer", _transformer, **_tokens())
NAMED = Case("named", lambda rngs: Named(rngs=rngs), **_tokens())
HYBRID = {"slices": 2}
MESHES = [
    (MLP, {"data": 2, "fsdp": 2, "tensor": 2}, {}),
    (MLP, {"data": 2, "fsdp": 4}, HYBRID),
    (MLP, {"tensor": 8}, {}),
    (CNN, {"fsdp": 2, "tensor": 4}, {}),
    (TRANSFORMER, {"data": 2, "fsdp": 2, "tensor": 2}, {}),
    (NAMED, {"fsdp": 2, "tensor": 2, "sequence": 2}, {}),
]


def mesh_of(axes, more):
    return MeshConfig(axes=AxesConfig(**axes), logical=LOGICAL, rules=BY_SIZE, **more)


class Curve:
    """A hook that records the loss of each step."""

    def __init__(self):
        self.losses = {}

    def after_step(self, step, loss):
        self.losses[step] = loss


@pytest.fixture
def train(estimator_of):
    """Trains a case on a mesh up to a step; returns the losses."""

    def run(case, mesh, stop, **arguments):
        curve = Curve()
        estimator = estimator_of(case, steps_a_loop=1, mesh=mesh, **arguments)
        estimator.train(case.input_fn, max_steps=stop, hooks=[curve])
        estimator.close()
        return curve.losses

    return run


@pytest.fixture(scope="module")
def curves():
    """Cache of the curves on one device, by case."""
    return {}


@pytest.fixture
def alone(train, curves):
    """The curve of a case on one device."""

    def run(case):
        if case.name not in curves:
            mesh = MeshConfig(axes=AxesConfig())
            curves[case.name] = train(case, mesh, STEPS)
        return curves[case.name]

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "axes", "more"),
    MESHES,
    ids=[
        " ".join([case.name, *(f"{axis} {size}" for axis, size in axes.items()), *more])
        for case, axes, more in MESHES
    ],
)
def test_the_same_seed_gives_the_same_curve_for_every_sharding_of_parameters(
    case, axes, more, train, alone
):
    one = alone(case)
    assert len(set(one.values())) == STEPS
    assert train(case, mesh_of(axes, more), STEPS) == pytest.approx(
        one, rel=TOLERANCE, abs=0
    )


@pytest.mark.slow
def test_a_run_resumes_on_another_mesh_with_the_same_curve(train, alone, new_dir):
    """Adam's moments and the position in the data are restored for any sharding."""
    directory = new_dir()
    first = train(MLP, mesh_of({"tensor": 8}, {}), 3, model_dir=directory)
    other = mesh_of({"data": 2, "fsdp": 4}, HYBRID)
    resumed = train(MLP, other, STEPS, model_dir=directory)
    assert list(resumed) == [4, 5]
    assert first | resumed == pytest.approx(alone(MLP), rel=TOLERANCE, abs=0)
