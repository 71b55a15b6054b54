"""Reductions over groups of arrays, against NumPy over each array alone."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import NamedSharding, PartitionSpec

from specflow.executor.grouped_reductions import (
    all_finite,
    groups_of,
    sum_of_squares,
)
from specflow.executor.steps import mark_nonfinite_params
from specflow.executor.train_state import TrainState

DTYPES = ("float32", "bfloat16", "float16", "float8_e4m3fn", "float8_e5m2", "complex64")
SHAPES = ((3, 5), (5,), (), (0, 4), (3, 5), (5,))
COPIES = 7
"""More arrays of a shape than fit into one group."""

decision = jax.jit(all_finite)


def arrays_of(dtype: str) -> dict[str, np.ndarray]:
    """Arrays by path: the largest numbers of the dtype, whose norm overflows."""
    largest = float(jnp.finfo(dtype).max)
    return {
        f"{copy}/{number}": np.full(shape, largest, jnp.dtype(dtype))
        for copy in range(COPIES)
        for number, shape in enumerate(SHAPES)
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_element_of_any_array_that_is_not_finite_is_found(dtype, value):
    arrays = arrays_of(dtype)
    assert decision(arrays)
    stored = np.array(value).astype(jnp.dtype(dtype))
    if np.isfinite(stored.astype(np.complex64)):
        pytest.skip("the dtype has no such value")
    rng = np.random.default_rng(0)
    for path, array in arrays.items():
        if array.size:
            damaged = array.copy()
            damaged.flat[rng.integers(array.size)] = stored
            assert not decision({**arrays, path: damaged}), path


def test_every_element_counts():
    arrays = arrays_of("float32")
    for path in ("0/0", "3/4", "6/5"):
        for index in range(arrays[path].size):
            damaged = arrays[path].copy()
            damaged.flat[index] = math.nan
            assert not decision({**arrays, path: damaged})


def test_the_imaginary_part_counts():
    arrays = {"a": np.ones(3, np.complex64), "b": np.array([1, 1j, 1], np.complex64)}
    assert decision(arrays)
    arrays["b"][1] = complex(0, math.inf)
    assert not decision(arrays)


def test_infinities_of_both_signs_do_not_cancel():
    inf = np.full(4, math.inf, np.float32)
    assert not decision({"a": inf, "b": -inf})


def test_integers_and_empty_sets_are_finite():
    assert decision({"count": np.arange(3), "empty": np.zeros((0, 2), np.float32)})
    assert decision({})


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from([(2,), (3, 2)]), st.sampled_from(["f4", "i4", "f2"])),
        max_size=40,
    )
)
def test_groups_hold_each_array_once_and_arrays_alike_together(kinds):
    arrays = {
        str(number): jax.ShapeDtypeStruct(*kind) for number, kind in enumerate(kinds)
    }
    groups = groups_of(arrays)
    assert sorted(path for group in groups for path in group) == sorted(arrays)
    for group in groups:
        assert len({(arrays[path].shape, arrays[path].dtype) for path in group}) == 1
    singles = sum(len(group) == 1 for group in groups)
    assert singles <= len({(array.shape, array.dtype) for array in arrays.values()})


def test_arrays_sharded_in_different_ways_are_not_grouped():
    arrays = {path: jax.ShapeDtypeStruct((8,), "f4") for path in "abc"}
    shardings = {"a": "rows", "b": "replicated", "c": "rows"}
    assert groups_of(arrays, shardings) == (("a", "c"), ("b",))


@pytest.fixture(scope="module")
def sharded():
    """Parameters on eight devices, in two kinds of sharding, and their groups."""
    mesh = jax.make_mesh((8,), ("data",))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    replicated = NamedSharding(mesh, PartitionSpec())
    shardings = {str(n): rows if n % 2 else replicated for n in range(6)}
    host = {path: np.full((16, 2), 3e38, np.float32) for path in shardings}
    return host, shardings, groups_of(host, shardings)


def test_one_element_on_any_of_eight_devices_makes_the_loss_nan(sharded):
    host, shardings, groups = sharded
    mark = jax.jit(functools.partial(mark_nonfinite_params, groups=groups))
    losses = jnp.array([1.0, 2.0])

    def marked(params):
        placed = {path: jax.device_put(params[path], shardings[path]) for path in host}
        return np.asarray(mark(TrainState(0, placed, {}, ()), losses, jnp.int32(1)))

    assert marked(host).tolist() == [1.0, 2.0]
    for path in host:
        for row in range(0, 16, 3):
            damaged = host[path].copy()
            damaged[row, 1] = math.nan if row % 2 else -math.inf
            first, last = marked({**host, path: damaged})
            assert first == 1.0
            assert math.isnan(last), (path, row)


def test_groups_of_sharded_arrays_are_not_moved_between_devices(sharded):
    host, shardings, groups = sharded
    abstract = {
        path: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=shardings[path])
        for path, array in host.items()
    }
    for reduction in (all_finite, sum_of_squares):
        function = functools.partial(reduction, groups=groups)
        text = jax.jit(function).lower(abstract).compile().as_text()
        assert "all-gather" not in text
        assert "all-to-all" not in text
        assert "collective-permute" not in text


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "complex64"])
def test_the_sum_of_squares_is_numpys_in_float64(dtype):
    rng = np.random.default_rng(1)
    arrays = {
        path: (rng.normal(size=array.shape) * 300).astype(array.dtype)
        for path, array in arrays_of(dtype).items()
    }
    expected = sum(
        (np.abs(a.astype(np.complex128)) ** 2).sum() for a in arrays.values()
    )
    # Sums of some hundred terms in float32.
    np.testing.assert_allclose(sum_of_squares(arrays), expected, rtol=1e-5)
    scaled = sum_of_squares(arrays, scale=jnp.float32(0.25))
    np.testing.assert_allclose(scaled, expected / 16, rtol=1e-5)
