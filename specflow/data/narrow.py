"""Numbers of 64 bits, narrowed to the 32 that JAX computes in, and what is lost so."""

import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.data.tree import map_leaves, named_leaves
from specflow.errors import DataError, Fault, SpecflowWarning
from specflow.typing import Tree

__all__ = ["checked_batch", "device_dtype", "loss_of_width", "narrowed", "range_fault"]

_LONGEST = {
    np.dtype(np.longdouble): np.dtype(np.float64),
    np.dtype(np.clongdouble): np.dtype(np.complex128),
}
"""C's long numbers, of which JAX knows nothing -> the longest that it knows."""
_HALVED = {
    np.dtype(wide): np.dtype(narrow)
    for wide, narrow in (
        (np.int64, np.int32),
        (np.uint64, np.uint32),
        (np.float64, np.float32),
        (np.complex128, np.complex64),
    )
}
"""What JAX makes of numbers of 64 bits, if it is not told otherwise."""
_BLOCK_BYTES = 4 << 20
"""Bytes that a check reads at a time, so that it needs little memory of its own."""
_EXACT_FLOAT32, _EXACT_FLOAT64 = 2.0**24, 2.0**53
"""Up to here every whole number is exact."""
_NOTABLE = 1e-3
"""Share of a column's range from which a rounding error is reported."""
_ROUNDING_OF_FLOAT64 = 1e-12
"""A column that varies by less than this share of itself is a constant, rounded."""


def device_dtype(dtype: Any) -> np.dtype[Any]:
    """The dtype in which JAX holds numbers of this one, in the machine's byte order.

    64 bits become 32, unless `JAX_ENABLE_X64` is set.

    >>> device_dtype(">f8"), device_dtype(np.uint64), device_dtype("<i2")
    (dtype('float32'), dtype('uint32'), dtype('int16'))
    """
    native = np.dtype(dtype).newbyteorder("=")
    native = _LONGEST.get(native, native)
    return native if _has_64_bits() else _HALVED.get(native, native)


def _has_64_bits() -> bool:
    """Whether JAX computes in 64 bits; it need not be imported to tell."""
    jax = sys.modules.get("jax")
    if jax is not None:
        return jax.config.jax_enable_x64
    return os.environ.get("JAX_ENABLE_X64", "").lower() in (
        "1",
        "on",
        "t",
        "true",
        "y",
        "yes",
    )


def narrowed(tree: Tree) -> Tree:
    """Arrays as JAX holds them: those that are so already are not copied."""
    return map_leaves(
        lambda array: (
            _cast(array, device_dtype(array.dtype))
            if isinstance(array, np.ndarray)
            else array
        ),
        tree,
    )


def checked_batch(features: Tree, labels: Tree, *, where: str) -> tuple[Tree, Tree]:
    """The arrays of one batch as JAX holds them.

    Args:
        features: NumPy arrays, rows first.
        labels: the same, or None.
        where: names the batch in messages, such as `batch of step 7`.

    Raises:
        DataError: a number does not fit; its row is named.
    """
    named = [
        (path, array)
        for path, array in named_leaves(features, labels)
        if isinstance(array, np.ndarray) and array.ndim
    ]
    if all(array.dtype == device_dtype(array.dtype) for _, array in named):
        return features, labels
    faults = [
        fault for path, array in named if (fault := range_fault(path, array, where))
    ]
    if faults:
        raise DataError(*faults)
    for path, array in named:
        loss_of_width(path, array, "")
    return narrowed(features), narrowed(labels)


def range_fault(path: str, array: npt.NDArray[Any], origin: str) -> Fault | None:
    """The first number that the dtype on the devices cannot hold; None: all fit."""
    target = device_dtype(array.dtype)
    if target.itemsize >= array.dtype.itemsize:
        return None
    if array.dtype.kind in "iu":
        limits = np.iinfo(target)
        low, high = int(limits.min), int(limits.max)
        expected = f"integers in [{low}, {high}]"
    else:
        high = float(np.finfo(target).max)
        low, expected = -high, f"magnitudes up to {high:.4g}"
    for start, block in _blocks(array):
        if not block.size:
            continue
        if array.dtype.kind in "iu":
            if low <= block.min() and block.max() <= high:
                continue
            wrong = (block < low) | (block > high)
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                wrong = np.isinf(block.astype(target)) & np.isfinite(block)
            if not wrong.any():
                continue
        first = tuple(np.argwhere(wrong)[0])
        return Fault(
            path,
            f"row {start + first[0]} has {block[first]}",
            origin=origin,
            expected=f"{expected}: {array.dtype.name} is computed as {target.name}",
            mend=_HINTS[array.dtype.kind],
            code="number-range",
        )
    return None


_SET_X64 = "JAX_ENABLE_X64=1 computes in 64 bits."
_HINTS = {
    "i": "Number such values anew, or split them into two arrays; values below 2**32 "
    f"fit uint32. {_SET_X64}",
    "u": f"Number such values anew, or split them into two arrays. {_SET_X64}",
    "f": f"Scale the numbers, or take their logarithm. {_SET_X64}",
    "c": f"Scale the numbers. {_SET_X64}",
}


def loss_of_width(path: str, array: npt.NDArray[Any], origin: str) -> None:
    """Warns where float32 loses what float64 says.

    That is: a whole number between 2**24 and 2**53 becomes another one (numbers of
    things, times in seconds), or rounding moves numbers by more than 1/1000 of what
    their column varies by (a small change of something large). Ordinary measurements,
    rounded in their eighth digit, are not reported.
    """
    target = device_dtype(array.dtype)
    if array.dtype.kind != "f" or target.itemsize >= array.dtype.itemsize:
        return
    low, high, error = (np.full(array.shape[1:], x) for x in (np.inf, -np.inf, 0.0))
    for start, block in _blocks(array):
        with np.errstate(all="ignore"):
            rounded = block.astype(target).astype(array.dtype)
            apart = np.abs(rounded - block)
            size = np.abs(block)
            whole = (size > _EXACT_FLOAT32) & (size <= _EXACT_FLOAT64) & (apart > 0)
            whole &= block == np.rint(block)
        if whole.any():
            first = tuple(np.argwhere(whole)[0])
            _warn(
                path,
                f"row {start + first[0]} has {block[first]}, which {target.name} "
                f"rounds to {rounded[first]}",
                origin,
            )
            return
        low = np.fmin(low, np.fmin.reduce(block, axis=0, initial=np.inf))
        high = np.fmax(high, np.fmax.reduce(block, axis=0, initial=-np.inf))
        error = np.fmax(error, np.fmax.reduce(apart, axis=0, initial=0.0))
    with np.errstate(invalid="ignore"):
        range_ = high - low
        varies = range_ > _ROUNDING_OF_FLOAT64 * np.fmax(np.abs(low), np.abs(high))
        notable = varies & (error > _NOTABLE * range_)
    if notable.any():
        column = tuple(np.argwhere(notable)[0])
        place = f" at {list(map(int, column))}" if column else ""
        _warn(
            path,
            f"the numbers{place} lie in [{low[column]}, {high[column]}], and "
            f"{target.name} rounds them by up to {error[column]:.3g}",
            origin,
        )


def _warn(path: str, problem: str, origin: str) -> None:
    fault = Fault(
        path,
        problem,
        origin=origin,
        mend="Subtract an offset first, such as the smallest of them, or scale them. "
        f"{_SET_X64}",
        code="number-rounding",
    )
    warnings.warn(SpecflowWarning(fault), stacklevel=2)


def _cast(array: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    return array.astype(dtype, copy=False)


def _blocks(array: npt.NDArray[Any]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Consecutive rows of an array, and the number of the first of them."""
    row_bytes = max(1, array.nbytes // max(1, len(array)))
    rows = max(1, _BLOCK_BYTES // row_bytes)
    for start in range(0, len(array), rows):
        yield start, array[start : start + rows]
