"""Narrows 64-bit numbers to the 32 bits of JAX, and reports lost values."""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.data.array_tree import map_leaves, named_leaves
from specflow.diagnostics.errors import DataError, Diagnostic, SpecflowWarning
from specflow.runtime.typing import Tree, describe

__all__ = ["checked_batch", "complex_arrays", "device_dtype", "narrowed", "refuse_wide"]

_LONGEST: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(np.longdouble): np.dtype(np.float64),
    np.dtype(np.clongdouble): np.dtype(np.complex128),
}
"""C's extended-precision dtypes, which JAX lacks -> its widest."""
_HALVED: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(wide): np.dtype(narrow)
    for wide, narrow in (
        (np.int64, np.int32),
        (np.uint64, np.uint32),
        (np.float64, np.float32),
        (np.complex128, np.complex64),
    )
}
"""Dtypes to which JAX narrows 64-bit numbers by default."""
_BLOCK_BYTES = 4 << 20
"""Block size of checks in bytes, which bounds their memory."""
_EXACT_FLOAT32, _EXACT_FLOAT64 = 2.0**24, 2.0**53
"""Largest magnitudes up to which every integer is exact."""
_NOTABLE = 1e-3
"""Fraction of a column's range above which a rounding error is reported."""
_ROUNDING_OF_FLOAT64 = 1e-12
"""A column that varies by a smaller fraction of its values is a rounded constant."""


def device_dtype(dtype: Any) -> np.dtype[Any]:
    """Returns the dtype in which JAX stores a dtype, in native byte order.

    64 bits become 32, unless `JAX_ENABLE_X64` is set.

    >>> device_dtype(">f8"), device_dtype(np.uint64), device_dtype("<i2")
    (dtype('float32'), dtype('uint32'), dtype('int16'))
    """
    native = np.dtype(dtype).newbyteorder("=")
    native = _LONGEST.get(native, native)
    return native if _has_64_bits() else _HALVED.get(native, native)


def _has_64_bits() -> bool:
    """Returns True if JAX computes in 64 bits, without importing it."""
    # Another thread may be importing it: then it has no config yet.
    config = getattr(sys.modules.get("jax"), "config", None)
    if config is not None:
        return config.jax_enable_x64
    return os.environ.get("JAX_ENABLE_X64", "").lower() in (
        "1",
        "on",
        "t",
        "true",
        "y",
        "yes",
    )


def narrowed(tree: Tree) -> Tree:
    """Converts arrays to the dtypes of JAX; those that have them are not copied."""
    return map_leaves(
        lambda array: (
            _cast(array, device_dtype(array.dtype))
            if isinstance(array, np.ndarray)
            else array
        ),
        tree,
    )


_SET_X64 = "JAX_ENABLE_X64=1 computes in 64 bits."
_HINTS = {
    "i": "If they say which row is which, name the array in data.ids. Else number them "
    f"anew; values below 2**32 fit uint32. {_SET_X64}",
    "u": "If they say which row is which, name the array in data.ids. Else number them "
    f"anew. {_SET_X64}",
    "f": f"Scale the numbers, or take their logarithm. {_SET_X64}",
}


def checked_batch(features: Tree, labels: Tree, *, where: str) -> tuple[Tree, Tree]:
    """Checks one batch, and converts it to the dtypes of JAX.

    Args:
        features: NumPy arrays, rows first.
        labels: the same, or None.
        where: names the batch in messages, such as `batch of step 7`.

    Raises:
        DataError: a number does not fit (its row is named), or an array is complex.
    """
    named = [
        (path, array)
        for path, array in named_leaves(features, labels)
        if isinstance(array, np.ndarray) and array.ndim
    ]
    if diagnostics := complex_arrays(named, where):
        raise DataError(*diagnostics)
    if all(array.dtype == device_dtype(array.dtype) for _, array in named):
        return features, labels
    refuse_wide(named, where)
    return narrowed(features), narrowed(labels)


def complex_arrays(
    named: Sequence[tuple[str, npt.NDArray[Any]]], origin: str
) -> list[Diagnostic]:
    """Returns diagnostics of complex arrays, which no loss or layer supports.

    Args:
        named: arrays by key path.
        origin: the file, the split or the batch that they came from.
    """
    return [
        Diagnostic(
            path,
            f"is {describe(array)}",
            origin=origin,
            expected="real numbers",
            hint="Give the real and the imaginary part as two arrays.",
            code="data-type",
        )
        for path, array in named
        if array.dtype.kind == "c"
    ]


def refuse_wide(named: Sequence[tuple[str, npt.NDArray[Any]]], origin: str) -> None:
    """Checks every number that will be narrowed.

    Warns if float32 loses information of float64: an integer between 2**24 and 2**53
    changes (ids, times in seconds), or rounding moves numbers by more than 1/1000 of
    their column's range (a small change of a large value). Ordinary measurements,
    rounded in their eighth digit, are not reported.

    Args:
        named: arrays by key path.
        origin: the file, the split or the batch that they came from.

    Raises:
        DataError: integers do not fit, or floats would become infinite; the first row
            of each array is named.
    """
    found = [
        diagnostic
        for path, array in named
        if (diagnostic := _problem(path, array, origin))
    ]
    if diagnostics := [
        diagnostic for diagnostic in found if diagnostic.code == "number-range"
    ]:
        raise DataError(*diagnostics)
    for diagnostic in found:
        warnings.warn(SpecflowWarning(diagnostic), stacklevel=3)


def _problem(path: str, array: npt.NDArray[Any], origin: str) -> Diagnostic | None:
    """Returns the diagnostic of an array that loses information, if any."""
    target = device_dtype(array.dtype)
    if target.itemsize >= array.dtype.itemsize or not array.size:
        return None
    if array.dtype.kind in "iu":
        limits = np.iinfo(target)
        low, high = int(limits.min), int(limits.max)
        for start, block in _blocks(array):
            if block.min() < low or block.max() > high:
                wrong = (block < low) | (block > high)
                expected = f"integers in [{low}, {high}]"
                return _too_wide(path, array, start, block, wrong, expected, origin)
        return None
    if array.dtype.kind == "c":
        parts = (
            _problem(path, part, origin) for part in (np.real(array), np.imag(array))
        )
        return next((diagnostic for diagnostic in parts if diagnostic), None)
    low, high = _extent(array)
    largest = np.fmax(np.abs(low), np.abs(high))
    if (largest > np.finfo(target).max).any():
        expected = f"magnitudes up to {np.finfo(target).max:.4g}"
        for start, block in _blocks(array):
            with np.errstate(over="ignore"):
                wrong = np.isinf(block.astype(target)) & np.isfinite(block)
            if wrong.any():
                return _too_wide(path, array, start, block, wrong, expected, origin)
    if (largest > _EXACT_FLOAT32).any():
        for start, block in _blocks(array):
            size, moved = np.abs(block), block.astype(target) != block
            whole = (size > _EXACT_FLOAT32) & (size <= _EXACT_FLOAT64) & moved
            whole &= block == np.rint(block)
            if whole.any():
                first = tuple(np.argwhere(whole)[0])
                return _rounded(
                    path,
                    f"row {start + first[0]} has {block[first]}, which {target.name} "
                    f"rounds to {target.type(block[first])}",
                    origin,
                )
    # Rounding moves a number by at most half of float32's last digit.
    varies, info = high - low, np.finfo(target)
    suspect = (varies > _ROUNDING_OF_FLOAT64 * largest) & (
        (largest * float(info.eps) > 2 * _NOTABLE * varies) | (largest < info.tiny)
    )
    for column in map(tuple, np.argwhere(suspect)):
        numbers = array[(slice(None), *column)]
        with np.errstate(invalid="ignore"):
            moved = np.abs(numbers.astype(target).astype(array.dtype) - numbers)
        error = np.nanmax(moved)
        if error > _NOTABLE * varies[column]:
            place = f" at {list(map(int, column))}" if column else ""
            return _rounded(
                path,
                f"the numbers{place} lie in [{low[column]}, {high[column]}], and "
                f"{target.name} rounds them by up to {error:.3g}",
                origin,
            )
    return None


def _extent(array: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Smallest and largest finite number of each column; NaN if there is none."""
    lows, highs = [], []
    for _, block in _blocks(array):
        low, high = block.min(axis=0), block.max(axis=0)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            finite = np.where(np.isfinite(block), block, np.nan)
            low, high = np.fmin.reduce(finite, axis=0), np.fmax.reduce(finite, axis=0)
        lows.append(low)
        highs.append(high)
    return np.fmin.reduce(lows, axis=0), np.fmax.reduce(highs, axis=0)


def _too_wide(
    path: str,
    array: npt.NDArray[Any],
    start: int,
    block: npt.NDArray[Any],
    wrong: npt.NDArray[np.bool_],
    expected: str,
    origin: str,
) -> Diagnostic:
    first = tuple(np.argwhere(wrong)[0])
    target = device_dtype(array.dtype).name
    return Diagnostic(
        path,
        f"row {start + first[0]} has {block[first]}",
        origin=origin,
        expected=f"{expected}: {array.dtype.name} is computed as {target}",
        hint=_HINTS[array.dtype.kind],
        code="number-range",
    )


def _rounded(path: str, problem: str, origin: str) -> Diagnostic:
    return Diagnostic(
        path,
        problem,
        origin=origin,
        hint="Subtract an offset first, such as the smallest of them, or scale them. "
        f"{_SET_X64}",
        code="number-rounding",
    )


def _cast(array: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    return array.astype(dtype, copy=False)


def _blocks(array: npt.NDArray[Any]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Yields blocks of consecutive rows with the index of their first row."""
    row_bytes = max(1, array.nbytes // max(1, len(array)))
    rows = max(1, _BLOCK_BYTES // row_bytes)
    for start in range(0, len(array), rows):
        yield start, array[start : start + rows]
