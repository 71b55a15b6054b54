"""Validation of metric inputs: tensors of one shape, flattened to rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import ArrayLike

from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.runtime.typing import describe, is_floating

__all__ = ["as_classes", "as_numbers", "refuse_rows", "rows"]


def rows(
    metric: str,
    tensors: Mapping[str, ArrayLike],
    weights: ArrayLike | None,
    *,
    per_class: str = "",
) -> tuple[Any, ...]:
    """Flattens tensors to rows, over batch and token axes; drops rows of weight 0.

    A row of weight 0 may hold any value: padding may be NaN, or an invalid label.

    Args:
        metric: name of the metric, for messages.
        tensors: by name; all have the shape of the first.
        weights: None; or one per value; or one per index of the first axes (the weight
            of an example counts for each of its tokens). Finite, not negative.
        per_class: name of the tensor with a last axis of classes.

    Returns:
        The tensors in order, rows first, and then the weights as float64, or None.

    Raises:
        DataError: shapes differ, a tensor is a scalar or not numeric, or a weight is
            negative or not finite.

    >>> rows("Mean", {"values": np.array([[1, 2], [3, 4]])}, [1.0, 0.0])
    (array([1, 2]), array([1., 1.]))
    """
    arrays = {name: np.asarray(tensor) for name, tensor in tensors.items()}
    first, shape = _same_shape(metric, arrays, per_class)
    flat = [
        # A reshape to the same shape takes a tenth of the time of the mean of a batch.
        array
        if array.ndim == 1
        else array.reshape(-1, array.shape[-1])
        if name == per_class
        else array.reshape(-1)
        for name, array in arrays.items()
    ]
    if weights is None:
        return (*flat, None)
    weight = _row_weights(metric, np.asarray(weights), first, shape)
    counts = weight > 0.0
    if not counts.all():
        flat, weight = [array[counts] for array in flat], weight[counts]
    return (*flat, weight)


def as_numbers(values: Shaped[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Casts to float64; exact for every float and for integers up to 2**53.

    >>> as_numbers(np.array([1, 2]))
    array([1., 2.])
    """
    return values.astype(np.float64)


def as_classes(
    metric: str,
    name: str,
    values: Shaped[np.ndarray, " n"],
    *,
    classes: int | None = None,
) -> Int[np.ndarray, " n"]:
    """Casts class indices to int64; floats must be integral.

    Args:
        metric: name of the metric, for messages.
        name: name of the tensor, for messages.
        values: class indices.
        classes: number of classes; None: any integers.

    Raises:
        DataError: a value is not integral, or not in [0, classes).

    >>> as_classes("Accuracy", "labels", np.array([0.0, 2.0]))
    array([0, 2])
    """
    if values.dtype.kind not in "biu":
        values = as_numbers(values)
        # Beyond 2**53 every float is integral, also infinities; none is a class.
        refuse_rows(
            metric,
            name,
            values,
            ~(abs(values) <= 2.0**53) | (values != np.trunc(values)),
            expected="class indices",
            hint="Take the argmax of scores; compare a probability with a threshold.",
        )
    indices = values.astype(np.int64)
    if classes is not None:
        refuse_rows(
            metric,
            name,
            indices,
            (indices < 0) | (indices >= classes),
            expected=f"classes from 0 to {classes - 1}",
        )
    return indices


def refuse_rows(
    metric: str,
    name: str,
    values: Shaped[np.ndarray, " n"],
    invalid: Bool[np.ndarray, " n"],
    *,
    expected: str,
    hint: str = "",
) -> None:
    """Raises if there are invalid rows, with the value of the first.

    Raises:
        DataError: a row is invalid; the message has its value and the number of them.
    """
    if not invalid.any():
        return
    value = values[np.argmax(invalid)]
    raise DataError(
        Diagnostic(
            metric,
            f"{name} hold {value} "
            f"({np.count_nonzero(invalid)} of {invalid.size} values)",
            expected=expected,
            hint=hint,
            code="metric-values",
        )
    )


def _same_shape(
    metric: str, arrays: dict[str, np.ndarray], per_class: str
) -> tuple[str, tuple[int, ...]]:
    """Checks that shapes match; returns name and shape of the first tensor."""
    first = next(iter(arrays))
    shape = arrays[first].shape
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf" and not _is_numeric(array.dtype):
            raise _diagnostic(metric, f"{name} are {describe(array)}", "numbers")
        leading = array.shape[:-1] if name == per_class else array.shape
        if leading != shape or (name == per_class and array.ndim != len(shape) + 1):
            expected = f"{name} of the same shape as {first}"
            if name == per_class:
                expected += ", and a last axis of classes"
            trailing = array.shape == (*shape, 1)
            raise _diagnostic(
                metric,
                f"{name} are {describe(array)}, {first} are {describe(arrays[first])}",
                expected,
                "Squeeze the last axis: its size is 1." if trailing else "",
            )
    if not shape:
        raise _diagnostic(
            metric,
            f"{first} are {describe(arrays[first])}, without rows",
            "one value per row",
            "Pass the value of each example: a mean of means depends on the batch "
            "size.",
        )
    return first, shape


def _row_weights(
    metric: str, weights: np.ndarray, first: str, shape: tuple[int, ...]
) -> Float[np.ndarray, " n"]:
    if not _is_numeric(weights.dtype):
        raise _diagnostic(metric, f"weights are {describe(weights)}", "numbers")
    if not weights.ndim or weights.shape != shape[: weights.ndim]:
        raise _diagnostic(
            metric,
            f"weights are {describe(weights)}, {first} have shape {list(shape)}",
            f"one weight per value, or one per index of the first axes of {first}",
        )
    numbers = as_numbers(weights)
    numbers = numbers.reshape(weights.shape + (1,) * (len(shape) - weights.ndim))
    numbers = np.broadcast_to(numbers, shape).reshape(-1)
    refuse_rows(
        metric,
        "weights",
        numbers,
        ~(np.isfinite(numbers) & (numbers >= 0.0)),
        expected="finite weights of at least 0",
    )
    return numbers


def _is_numeric(dtype: np.dtype) -> bool:
    # bfloat16, int4 and similar have no NumPy kind; reading a dtype's name is slow.
    return dtype.kind in "biuf" or is_floating(dtype) or "int" in str(dtype)


def _diagnostic(metric: str, problem: str, expected: str, hint: str = "") -> DataError:
    return DataError(
        Diagnostic(metric, problem, expected=expected, hint=hint, code="metric-shapes")
    )
