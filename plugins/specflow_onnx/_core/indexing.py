"""Handlers of data-dependent indexing: gathers, dynamic slices, sorting."""

from typing import Any

import numpy as np
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo

from specflow.serving.convert import NotConvertibleError
from specflow_onnx._core.elementwise import direction_of
from specflow_onnx._core.graph import Graph, Handler, Value, axes, described

__all__ = ["INDEXING"]


def _gather(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    """Gathers full slices with GatherND.

    StableHLO can also gather parts of slices, for which ONNX has no equivalent.
    """
    x, indices = operands[:2]
    numbers = stablehlo.GatherDimensionNumbers(
        operation.attributes["dimension_numbers"]
    )
    batch, indices_batch = (
        list(numbers.operand_batching_dims),
        list(numbers.start_indices_batching_dims),
    )
    indexed, collapsed = list(numbers.start_index_map), numbers.collapsed_slice_dims
    offsets, vector = list(numbers.offset_dims), numbers.index_vector_dim
    shape, _ = described(operation.results[0].type)
    if indices.rank == 1 and not collapsed:
        return [_slice_from(graph, x, indices, indexed, shape)]
    rest = [axis for axis in range(x.rank) if axis not in [*batch, *indexed]]
    full = all(
        x.shape[axis] == shape[offset]
        for axis, offset in zip(rest, offsets, strict=False)
    )
    if sorted(indexed) != sorted(collapsed) or not full:
        raise NotConvertibleError("stablehlo.gather of parts of slices")
    index = graph.cast(indices, np.int64)
    if vector == indices.rank:
        index = graph.op("Unsqueeze", index, np.array([vector], np.int64))
    others = [
        axis for axis in range(indices.rank) if axis not in (*indices_batch, vector)
    ]
    index = graph.transposed(index, [*indices_batch, *others, vector])
    index = _clamped(graph, index, x, indexed)
    source = graph.transposed(x, [*batch, *indexed, *rest])
    result = graph.op("GatherND", source, index, batch_dims=len(batch))
    # GatherND gives: batch, other axes of the indices, the rest. The operation's result
    # has the axes of the indices in their own order, with the rest at `offsets`.
    kept = [axis for axis in range(indices.rank) if axis != vector]
    by_index = {axis: n for n, axis in enumerate([*indices_batch, *others])}
    by_rest = iter(range(len(kept), len(shape)))
    in_order = iter(by_index[axis] for axis in kept)
    order = [
        next(by_rest) if axis in offsets else next(in_order)
        for axis in range(len(shape))
    ]
    return [graph.transposed(result, order)]


def _slice_from(
    graph: Graph, x: Value, indices: Value, indexed: list[int], shape: Any
) -> str:
    """One slice of the result's shape, from the given start along the indexed axes."""
    result = graph.name(x)
    for number, axis in enumerate(indexed):
        if (size := shape[axis]) == x.shape[axis]:
            continue  # The full axis, for any start.
        start = graph.op("Gather", indices, np.array([number], np.int64))
        first = _start(graph, x, axis, start, size)
        last = graph.op("Add", first, np.array([size], np.int64))
        result = graph.op("Slice", result, first, last, np.array([axis], np.int64))
    return result


def _clamped(graph: Graph, index: str, x: Value, indexed: list[int]) -> str:
    """Clamps indices to the array, as StableHLO does."""
    sizes = [x.shape[axis] for axis in indexed]
    if None in sizes:
        picked = graph.op("Gather", graph.op("Shape", x), np.array(indexed, np.int64))
        last: Any = graph.op("Sub", picked, np.array(1, np.int64))
    else:
        last = np.array(sizes, np.int64) - 1
    above = graph.op("Max", index, np.array(0, np.int64))
    return graph.op("Min", above, last)


def _dynamic_slice(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    x, *starts = operands
    sizes = axes(operation, "slice_sizes")
    result = graph.name(x)
    for axis, (size, start) in enumerate(zip(sizes, starts, strict=True)):
        if size != x.shape[axis]:
            first = _start(graph, x, axis, start, size)
            last = graph.op("Add", first, np.array([size], np.int64))
            result = graph.op("Slice", result, first, last, np.array([axis], np.int64))
    return [result]


def _dynamic_update_slice(
    graph: Graph, operation: Any, operands: list[Value]
) -> list[str]:
    x, update, *starts = operands
    partial = [axis for axis in range(x.rank) if x.shape[axis] != update.shape[axis]]
    if not partial:
        return [graph.name(update)]
    axis, size = partial[0], update.shape[partial[0]]
    if len(partial) > 1 or size is None:
        raise NotConvertibleError("stablehlo.dynamic_update_slice along several axes")
    first = _start(graph, x, axis, starts[axis], size)
    last = graph.op("Add", first, np.array([size], np.int64))
    where = np.array([axis], np.int64)
    before = graph.op("Slice", x, np.array([0], np.int64), first, where)
    after = graph.op("Slice", x, last, np.array([2**63 - 1], np.int64), where)
    return [graph.op("Concat", before, update, after, axis=axis)]


def _start(graph: Graph, x: Value, axis: int, start: Value | str, size: int) -> str:
    """Start of a slice, int64[1], clamped so that the slice ends inside the array."""
    first = graph.op("Reshape", graph.cast(start, np.int64), np.array([1], np.int64))
    if (axis_size := x.shape[axis]) is None:
        length = graph.op("Shape", x, start=axis, end=axis + 1)
        last_start: Any = graph.op("Sub", length, np.array([size], np.int64))
    else:
        last_start = np.array([axis_size - size], np.int64)
    return graph.op("Min", graph.op("Max", first, np.array([0], np.int64)), last_start)


def _sort(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    axis = operation.attributes["dimension"].value
    block = operation.regions[0].blocks[0]
    inner = [view.operation for view in block.operations]
    arguments = {
        value.arg_number
        for each in inner
        for value in each.operands
        if isinstance(value, ir.BlockArgument) and value.owner == block
    }
    last = [each for each in inner if each.name == "stablehlo.compare"][-1:]
    direction = direction_of(last[0]) if last else ""
    if arguments != {0, 1} or direction not in ("LT", "GT"):
        raise NotConvertibleError("stablehlo.sort by other than its first array")
    keys, *others = operands
    size = graph.op("Shape", keys, start=axis, end=axis + 1)
    # Both keep the lower index first among equal keys.
    largest = int(direction == "GT")
    order, indices = graph.add(
        "TopK", keys, size, outputs=2, axis=axis, largest=largest, sorted=1
    )
    return [order] + [
        graph.cast(indices, other.dtype)
        if other.counts == axis
        else graph.op("GatherElements", other, indices, axis=axis)
        for other in others
    ]


INDEXING: dict[str, Handler] = {
    "dynamic_gather": _gather,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "gather": _gather,
    "sort": _sort,
}
"""Name of a StableHLO operation, without the dialect -> its handler."""
