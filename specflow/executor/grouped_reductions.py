"""Reductions over many arrays at once: fewer operations for XLA to compile."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

__all__ = ["Groups", "all_finite", "groups_of", "sum_of_squares"]

Groups: TypeAlias = tuple[tuple[str, ...], ...]
"""Paths of arrays of one shape, dtype and sharding each, to be reduced together."""

_GROUP_SIZE = 16
"""Largest number of arrays in a group: XLA fuses them into one loop, and the loop of
more inputs compiles no faster."""


def groups_of(
    arrays: Mapping[str, Any], shardings: Mapping[str, Any] | None = None
) -> Groups:
    """Groups arrays that can be combined elementwise before a reduction.

    Args:
        arrays: path -> an array, or its shape and dtype.
        shardings: path -> its sharding; arrays that are sharded in different ways are
            not combined, which would move them between devices. If None, all are
            sharded alike.

    >>> small, large = jnp.zeros(2), jnp.zeros(9)
    >>> groups_of({"a/bias": small, "a/kernel": large, "b/bias": small})
    (('a/bias', 'b/bias'), ('a/kernel',))
    """
    alike: dict[Any, list[str]] = {}
    for path, array in arrays.items():
        sharding = shardings[path] if shardings else None
        alike.setdefault((array.shape, array.dtype, sharding), []).append(path)
    return tuple(
        tuple(paths[first : first + _GROUP_SIZE])
        for paths in alike.values()
        for first in range(0, len(paths), _GROUP_SIZE)
    )


def all_finite(
    arrays: Mapping[str, jax.Array], groups: Groups | None = None
) -> jax.Array:
    """Returns whether no element of any array is infinite or NaN, bool[].

    Args:
        arrays: by path; integers are always finite.
        groups: paths to reduce together; those without an array are ignored. If None,
            arrays of the same shape and dtype are.

    >>> bool(all_finite({"w": jnp.array([1.0, jnp.inf])}))
    False
    """
    total = jnp.array(True)
    for group in _members(arrays, groups):
        if jnp.issubdtype(group[0].dtype, jnp.inexact):
            finite = functools.reduce(lax.bitwise_and, map(_is_finite, group))
            total &= lax.reduce_and(finite, range(finite.ndim))
    return total


def sum_of_squares(
    arrays: Mapping[str, jax.Array],
    groups: Groups | None = None,
    *,
    scale: jax.Array | None = None,
) -> jax.Array:
    """Returns the sum of squared magnitudes over all elements of all arrays.

    Squares and sums are of at least 32 bits.

    Args:
        arrays: by path.
        groups: paths to reduce together; those without an array are ignored. If None,
            arrays of the same shape and dtype are.
        scale: factor of the elements before they are squared, which keeps squares
            finite. If None, it is 1.

    >>> float(sum_of_squares({"w": jnp.array([3.0, 4.0])}))
    25.0
    """
    total = jnp.zeros((), jnp.float32)
    for group in _members(arrays, groups):
        squares = functools.reduce(lax.add, [_squares(each, scale) for each in group])
        total += lax.reduce_sum(squares, range(squares.ndim))
    return total


def _members(
    arrays: Mapping[str, jax.Array], groups: Groups | None
) -> Iterator[list[jax.Array]]:
    for paths in groups_of(arrays) if groups is None else groups:
        if group := [arrays[path] for path in paths if path in arrays]:
            yield group


def _is_finite(array: jax.Array) -> jax.Array:
    if jnp.iscomplexobj(array):
        return lax.is_finite(lax.real(array)) & lax.is_finite(lax.imag(array))
    return lax.is_finite(array)


def _squares(array: jax.Array, scale: jax.Array | None) -> jax.Array:
    array = array.astype(jnp.promote_types(array.dtype, jnp.float32))
    if scale is not None:
        array = array * scale
    if jnp.iscomplexobj(array):
        return lax.square(lax.real(array)) + lax.square(lax.imag(array))
    return lax.square(array)
