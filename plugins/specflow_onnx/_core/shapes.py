"""Handlers of data movement: reshapes, broadcasts, slices, padding, iota."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from specflow.serving.convert import NotConvertibleError
from specflow_onnx._core.graph import Graph, Handler, Value, axes, described

__all__ = ["SHAPES", "dilated"]

_FOLDED = 1024
"""Constants of up to this many elements are broadcast at conversion time."""


def _constant(graph: Graph, operation: Any, operands: list[Value]) -> list[Value]:
    shape, dtype = described(operation.results[0].type)
    try:
        array = np.array(operation.attributes["value"])
    except TypeError as error:
        raise NotConvertibleError(f"constants of {dtype}") from error
    known = np.broadcast_to(array.astype(dtype), _sizes(shape))
    return [Value("", known.shape, dtype, known)]


def _reshape(graph: Graph, operation: Any, operands: list[Value]) -> list[str | Value]:
    shape, dtype = described(operation.results[0].type)
    if operands[0].known is not None:
        known = operands[0].known.reshape(_sizes(shape))
        return [Value("", shape, dtype, known)]
    return [graph.op("Reshape", operands[0], np.array(shape, np.int64))]


def _dynamic_reshape(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    return [graph.op("Reshape", operands[0], graph.shape(operands[1]))]


def _broadcast_in_dim(
    graph: Graph, operation: Any, operands: list[Value]
) -> list[Value]:
    shape, dtype = described(operation.results[0].type)
    dimensions = axes(operation, "broadcast_dimensions")
    (x,) = operands
    sizes = _sizes(shape)
    if x.known is not None and np.prod(sizes) <= _FOLDED:
        expanded = [1] * len(sizes)
        for dimension, size in zip(dimensions, x.known.shape, strict=True):
            expanded[dimension] = size
        known = np.broadcast_to(x.known.reshape(expanded), sizes)
        return [Value("", shape, dtype, known)]
    return [_broadcast(graph, x, dimensions, shape, np.array(sizes, np.int64))]


def _dynamic_broadcast_in_dim(
    graph: Graph, operation: Any, operands: list[Value]
) -> list[Value]:
    shape, _ = described(operation.results[0].type)
    dimensions = axes(operation, "broadcast_dimensions")
    return [_broadcast(graph, operands[0], dimensions, shape, graph.shape(operands[1]))]


def _broadcast(
    graph: Graph, x: Value, dimensions: Sequence[int], shape: Any, sizes: Any
) -> Value:
    added = [axis for axis in range(len(shape)) if axis not in dimensions]
    if list(dimensions) != sorted(dimensions):
        raise NotConvertibleError("a broadcast that permutes axes")
    expanded: list[int | None] = [1] * len(shape)
    for dimension, size in zip(dimensions, x.shape, strict=True):
        expanded[dimension] = size
    if x.known is not None:
        known = x.known.reshape(_sizes(tuple(expanded)))
        narrow = Value("", known.shape, x.dtype, known)
    elif added:
        name = graph.op("Unsqueeze", x, np.array(added, np.int64))
        narrow = Value(name, tuple(expanded), x.dtype)
    else:
        narrow = x
    return Value(graph.op("Expand", narrow, sizes), shape, x.dtype, narrow=narrow)


def _transpose(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    return [graph.transposed(operands[0], axes(operation, "permutation"))]


def _concatenate(
    graph: Graph, operation: Any, operands: list[Value]
) -> list[str | Value]:
    axis = operation.attributes["dimension"].value
    known = [value.known for value in operands if value.known is not None]
    if len(known) == len(operands):
        shape, dtype = described(operation.results[0].type)
        return [Value("", shape, dtype, np.concatenate(known, axis))]
    return [graph.op("Concat", *operands, axis=axis)]


def _slice(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    bounds = ("start_indices", "limit_indices", "strides")
    starts, limits, strides = (
        np.array(axes(operation, name), np.int64) for name in bounds
    )
    order = np.arange(len(starts))
    return [graph.op("Slice", operands[0], starts, limits, order, strides)]


def _real_dynamic_slice(
    graph: Graph, operation: Any, operands: list[Value]
) -> list[str]:
    x, starts, limits, strides = operands
    order = np.arange(x.rank)
    bounds = [graph.shape(value) for value in (starts, limits)]
    return [graph.op("Slice", x, *bounds, order, graph.shape(strides))]


def _reverse(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    reversed_axes = np.array(axes(operation, "dimensions"), np.int64)
    minus_one, end = (np.full_like(reversed_axes, value) for value in (-1, -(2**63)))
    # From the last element backwards, in steps of -1.
    return [graph.op("Slice", operands[0], minus_one, end, reversed_axes, minus_one)]


def _pad(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    x, value = operands
    edges = ("edge_padding_low", "edge_padding_high", "interior_padding")
    low, high, inside = (axes(operation, name) for name in edges)
    name = graph.name(x)
    if any(inside) and not (value.known is not None and not value.known.any()):
        raise NotConvertibleError(
            "stablehlo.pad between elements with values other than 0"
        )
    for axis, zeros in enumerate(inside):
        name = dilated(graph, name, x, axis, zeros + 1)
    if any(low) or any(high):
        name = graph.op("Pad", name, np.array(low + high, np.int64), value)
    return [name]


def dilated(graph: Graph, name: str, form: Value, axis: int, factor: int) -> str:
    """Inserts `factor - 1` zeros between the elements along an axis.

    Args:
        graph: graph to add nodes to.
        name: name of the value.
        form: value with its shape and dtype.
        axis: axis to dilate, not the first; several must be dilated in ascending order.
        factor: dilation factor; 1 adds no node.
    """
    if factor == 1:
        return name
    if axis == 0:
        raise NotConvertibleError("zeros between rows")
    split = graph.op("Unsqueeze", name, np.array([axis + 1], np.int64))
    edges = np.zeros(2 * (form.rank + 1), np.int64)
    edges[form.rank + 1 + axis + 1] = factor - 1
    expanded = graph.op("Pad", split, edges, np.zeros((), form.dtype))
    # Reshape keeps a size given as 0, up to the axis; later sizes must be known.
    later = [size if size is not None else 0 for size in form.shape[axis + 1 :]]
    if 0 in later:
        raise NotConvertibleError("zeros between elements of an array of unknown shape")
    sizes = np.array([0] * axis + [-1, *later], np.int64)
    joined = graph.op("Reshape", expanded, sizes)
    bounds = [np.array([bound], np.int64) for bound in (0, 1 - factor, axis)]
    return graph.op("Slice", joined, *bounds)


def _iota(graph: Graph, operation: Any, operands: list[Value]) -> list[Value]:
    shape, dtype = described(operation.results[0].type)
    axis = operation.attributes["iota_dimension"].value
    sizes = _sizes(shape)
    indices = np.arange(sizes[axis]).astype(dtype)
    expanded = [1] * len(sizes)
    expanded[axis] = -1
    known = np.broadcast_to(indices.reshape(expanded), sizes)
    return [Value("", shape, dtype, known, counts=axis)]


def _dynamic_iota(graph: Graph, operation: Any, operands: list[Value]) -> list[Value]:
    shape, dtype = described(operation.results[0].type)
    axis = operation.attributes["iota_dimension"].value
    sizes, size = graph.shape(operands[0]), shape[axis]
    expanded = [1] * len(shape)
    expanded[axis] = -1
    if size is None:
        most = graph.op("Gather", sizes, np.array(axis, np.int64))
        ends = (np.array(0, np.int64), most, np.array(1, np.int64))
        indices = graph.cast(graph.op("Range", *ends), dtype)
        narrow = Value(
            graph.op("Reshape", indices, np.array(expanded, np.int64)),
            tuple(None if n < 0 else 1 for n in expanded),
            dtype,
        )
    else:
        known = np.arange(size).astype(dtype).reshape(expanded)
        narrow = Value("", known.shape, dtype, known)
    name = graph.op("Expand", narrow, sizes)
    return [Value(name, shape, dtype, narrow=narrow, counts=axis)]


def _get_dimension_size(
    graph: Graph, operation: Any, operands: list[Value]
) -> list[str | Value]:
    axis = operation.attributes["dimension"].value
    if (size := operands[0].shape[axis]) is not None:
        return [Value("", (), np.dtype(np.int32), np.array(size, np.int32))]
    sizes = graph.op("Shape", operands[0], start=axis, end=axis + 1)
    number = graph.op("Squeeze", sizes, np.array([0], np.int64))
    return [graph.cast(number, np.int32)]


def _same(graph: Graph, operation: Any, operands: list[Value]) -> list[Value]:
    return operands


def _sizes(shape: Any) -> tuple[int, ...]:
    return tuple(-1 if size is None else size for size in shape)


SHAPES: dict[str, Handler] = {
    "broadcast_in_dim": _broadcast_in_dim,
    "concatenate": _concatenate,
    "constant": _constant,
    "dynamic_broadcast_in_dim": _dynamic_broadcast_in_dim,
    "dynamic_iota": _dynamic_iota,
    "dynamic_reshape": _dynamic_reshape,
    "get_dimension_size": _get_dimension_size,
    "iota": _iota,
    "optimization_barrier": _same,
    "pad": _pad,
    "real_dynamic_slice": _real_dynamic_slice,
    "reshape": _reshape,
    "reverse": _reverse,
    "slice": _slice,
    "transpose": _transpose,
}
"""Name of a StableHLO operation, without the dialect -> its handler."""
