"""Logical axes: names become mesh axes by rules, and nothing without a mesh."""

import contextlib

import jax
import jax.numpy as jnp
import pytest
from flax.core import spmd
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from specflow.model.logical_axes import constrain, layout

FREE = PartitionSpec.UNCONSTRAINED


@contextlib.contextmanager
def laid_out(rules, **axes):
    mesh = AbstractMesh(
        tuple(axes.values()), tuple(axes), axis_types=(AxisType.Auto,) * len(axes)
    )
    with spmd.logical_axis_rules(rules), jax.sharding.use_abstract_mesh(mesh):
        yield


def test_without_a_mesh_nothing_happens():
    x = jnp.ones((4, 6))
    assert constrain(x, "batch", "mlp") is x
    with spmd.logical_axis_rules((("batch", "data"),)):
        assert constrain(x, "batch", "mlp") is x
    with laid_out((), data=4):
        assert constrain(x, "batch", "mlp") is x
    with laid_out((("batch", "data"),), data=1):
        assert constrain(x, "batch", "mlp") is x


@pytest.mark.parametrize(
    ("rules", "shape", "names", "expected"),
    [
        ((("a", "x"), ("b", "y")), (8, 4), ("a", "b"), ("x", "y")),
        ((("a", ("x", "y")),), (8, 4), ("a", None), (("x", "y"), None)),
        # Nobody speaks of b: it is left to the compiler.
        ((("a", "x"),), (8, 4), ("a", "b"), ("x", FREE)),
        # Somebody wants b whole.
        ((("a", "x"), ("b", None)), (8, 4), ("a", "b"), ("x", None)),
        # An axis cuts one dimension; b has a second choice.
        ((("a", "x"), ("b", "x"), ("b", "y")), (8, 4), ("a", "b"), ("x", "y")),
        # Three rows over two devices: the remainder of a batch.
        ((("a", "x"), ("b", "y")), (3, 4), ("a", "b"), (FREE, "y")),
        # An axis of one device, and one that the mesh does not have.
        ((("a", ("x", "one", "none")),), (8, 4), ("a", None), ("x", None)),
    ],
)
def test_rules_are_tried_in_order(rules, shape, names, expected):
    with laid_out(rules, x=2, y=2, one=1):
        assert layout(shape, names) == PartitionSpec(*expected)


def test_a_constraint_is_part_of_the_program():
    with laid_out((("a", "x"),), x=2):
        jaxpr = jax.make_jaxpr(lambda x: constrain(x, "a", None))(jnp.ones((4, 2)))
        free = jax.make_jaxpr(lambda x: constrain(x, "c", "b"))(jnp.ones((4, 2)))
    assert "sharding_constraint" in str(jaxpr)
    assert "sharding_constraint" not in str(free)
