"""Operations that move elements and compute nothing."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from specflow.serving.convert import NotConvertibleError
from specflow_onnx._core.graph import Graph, Handler, Value, axes, described

__all__ = ["SHAPES", "dilated"]

_FOLDED = 1024
"""Constants are broadcast now up to this many elements; larger ones when asked."""


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
    return [graph.one("Reshape", operands[0], np.array(shape, np.int64))]


def _dynamic_reshape(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    return [graph.one("Reshape", operands[0], graph.shape(operands[1]))]


def _broadcast_in_dim(
    graph: Graph, operation: Any, operands: list[Value]
) -> list[Value]:
    shape, dtype = described(operation.results[0].type)
    places = axes(operation, "broadcast_dimensions")
    (x,) = operands
    sizes = _sizes(shape)
    if x.known is not None and np.prod(sizes) <= _FOLDED:
        spread = [1] * len(sizes)
        for place, size in zip(places, x.known.shape, strict=True):
            spread[place] = size
        known = np.broadcast_to(x.known.reshape(spread), sizes)
        return [Value("", shape, dtype, known)]
    return [_broadcast(graph, x, places, shape, np.array(sizes, np.int64))]


def _dynamic_broadcast_in_dim(
    graph: Graph, operation: Any, operands: list[Value]
) -> list[Value]:
    shape, _ = described(operation.results[0].type)
    places = axes(operation, "broadcast_dimensions")
    return [_broadcast(graph, operands[0], places, shape, graph.shape(operands[1]))]


def _broadcast(
    graph: Graph, x: Value, places: Sequence[int], shape: Any, sizes: Any
) -> Value:
    added = [axis for axis in range(len(shape)) if axis not in places]
    if list(places) != sorted(places):
        raise NotConvertibleError("a broadcast that changes the order of axes")
    spread: list[int | None] = [1] * len(shape)
    for place, size in zip(places, x.shape, strict=True):
        spread[place] = size
    if x.known is not None:
        known = x.known.reshape(_sizes(tuple(spread)))
        narrow = Value("", known.shape, x.dtype, known)
    elif added:
        name = graph.one("Unsqueeze", x, np.array(added, np.int64))
        narrow = Value(name, tuple(spread), x.dtype)
    else:
        narrow = x
    return Value(graph.one("Expand", narrow, sizes), shape, x.dtype, narrow=narrow)


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
    return [graph.one("Concat", *operands, axis=axis)]


def _slice(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    bounds = ("start_indices", "limit_indices", "strides")
    starts, limits, strides = (
        np.array(axes(operation, name), np.int64) for name in bounds
    )
    order = np.arange(len(starts))
    return [graph.one("Slice", operands[0], starts, limits, order, strides)]


def _real_dynamic_slice(
    graph: Graph, operation: Any, operands: list[Value]
) -> list[str]:
    x, starts, limits, strides = operands
    order = np.arange(x.rank)
    bounds = [graph.shape(value) for value in (starts, limits)]
    return [graph.one("Slice", x, *bounds, order, graph.shape(strides))]


def _reverse(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    turned = np.array(axes(operation, "dimensions"), np.int64)
    back, before = np.full_like(turned, -1), np.full_like(turned, -(2**63))
    return [graph.one("Slice", operands[0], back, before, turned, back)]


def _pad(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    x, value = operands
    edges = ("edge_padding_low", "edge_padding_high", "interior_padding")
    low, high, inside = (axes(operation, name) for name in edges)
    name = graph.name(x)
    if any(inside) and not (value.known is not None and not value.known.any()):
        raise NotConvertibleError("stablehlo.pad between elements, with other than 0")
    for axis, gap in enumerate(inside):
        name = dilated(graph, name, x, axis, gap + 1)
    if any(low) or any(high):
        name = graph.one("Pad", name, np.array(low + high, np.int64), value)
    return [name]


def dilated(graph: Graph, name: str, form: Value, axis: int, factor: int) -> str:
    """Zeros between the elements along an axis: `factor - 1` of them.

    Args:
        graph: where.
        name: what is dilated.
        form: its rank and dtype.
        axis: along which, and not the first; of several, the first one first.
        factor: 1 leaves it as it is.
    """
    if factor == 1:
        return name
    if axis == 0:
        raise NotConvertibleError("zeros between rows")
    split = graph.one("Unsqueeze", name, np.array([axis + 1], np.int64))
    edges = np.zeros(2 * (form.rank + 1), np.int64)
    edges[form.rank + 1 + axis + 1] = factor - 1
    spread = graph.one("Pad", split, edges, np.zeros((), form.dtype))
    # 0 keeps a size, up to the axis; of the later ones each is known.
    later = [size if size is not None else 0 for size in form.shape[axis + 1 :]]
    if 0 in later:
        raise NotConvertibleError("zeros between elements of an array of unknown form")
    sizes = np.array([0] * axis + [-1, *later], np.int64)
    joined = graph.one("Reshape", spread, sizes)
    whole = [np.array([bound], np.int64) for bound in (0, 1 - factor, axis)]
    return graph.one("Slice", joined, *whole)


def _iota(graph: Graph, operation: Any, operands: list[Value]) -> list[Value]:
    shape, dtype = described(operation.results[0].type)
    axis = operation.attributes["iota_dimension"].value
    sizes = _sizes(shape)
    line = np.arange(sizes[axis]).astype(dtype)
    spread = [1] * len(sizes)
    spread[axis] = -1
    known = np.broadcast_to(line.reshape(spread), sizes)
    return [Value("", shape, dtype, known, counts=axis)]


def _dynamic_iota(graph: Graph, operation: Any, operands: list[Value]) -> list[Value]:
    shape, dtype = described(operation.results[0].type)
    axis = operation.attributes["iota_dimension"].value
    sizes, size = graph.shape(operands[0]), shape[axis]
    spread = [1] * len(shape)
    spread[axis] = -1
    if size is None:
        most = graph.one("Gather", sizes, np.array(axis, np.int64))
        ends = (np.array(0, np.int64), most, np.array(1, np.int64))
        line = graph.cast(graph.one("Range", *ends), dtype)
        narrow = Value(
            graph.one("Reshape", line, np.array(spread, np.int64)),
            tuple(None if n < 0 else 1 for n in spread),
            dtype,
        )
    else:
        known = np.arange(size).astype(dtype).reshape(spread)
        narrow = Value("", known.shape, dtype, known)
    name = graph.one("Expand", narrow, sizes)
    return [Value(name, shape, dtype, narrow=narrow, counts=axis)]


def _get_dimension_size(
    graph: Graph, operation: Any, operands: list[Value]
) -> list[str | Value]:
    axis = operation.attributes["dimension"].value
    if (size := operands[0].shape[axis]) is not None:
        return [Value("", (), np.dtype(np.int32), np.array(size, np.int32))]
    sizes = graph.one("Shape", operands[0], start=axis, end=axis + 1)
    number = graph.one("Squeeze", sizes, np.array([0], np.int64))
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
"""StableHLO's name, without its dialect -> what converts it."""
