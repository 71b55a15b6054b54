"""Operations whose places are data: gathers, slices from somewhere, sorting."""

from typing import Any

import numpy as np
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo

from specflow.serving.convert import NotConvertibleError
from specflow_onnx._core.elementwise import direction_of
from specflow_onnx._core.graph import Graph, Handler, Value, axes, described

__all__ = ["INDEXING"]


def _gather(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    """Whole slices by their place, as ONNX's GatherND takes them.

    StableHLO's gather can also take parts of slices, which ONNX has no words for.
    """
    x, places = operands[:2]
    numbers = stablehlo.GatherDimensionNumbers(
        operation.attributes["dimension_numbers"]
    )
    batch, places_batch = (
        list(numbers.operand_batching_dims),
        list(numbers.start_indices_batching_dims),
    )
    indexed, collapsed = list(numbers.start_index_map), numbers.collapsed_slice_dims
    offsets, vector = list(numbers.offset_dims), numbers.index_vector_dim
    shape, _ = described(operation.results[0].type)
    if places.rank == 1 and not collapsed:
        return [_slice_from(graph, x, places, indexed, shape)]
    rest = [axis for axis in range(x.rank) if axis not in [*batch, *indexed]]
    whole = all(
        x.shape[axis] == shape[place]
        for axis, place in zip(rest, offsets, strict=False)
    )
    if sorted(indexed) != sorted(collapsed) or not whole:
        raise NotConvertibleError("stablehlo.gather of parts of slices")
    index = graph.cast(places, np.int64)
    if vector == places.rank:
        index = graph.one("Unsqueeze", index, np.array([vector], np.int64))
    others = [
        axis for axis in range(places.rank) if axis not in (*places_batch, vector)
    ]
    index = graph.transposed(index, [*places_batch, *others, vector])
    index = _clamped(graph, index, x, indexed)
    source = graph.transposed(x, [*batch, *indexed, *rest])
    found = graph.one("GatherND", source, index, batch_dims=len(batch))
    # Found is: batch, other axes of the places, the rest. The result's axes are those
    # of the places in their own order, with the rest at `offsets`.
    kept = [axis for axis in range(places.rank) if axis != vector]
    by_place = {axis: n for n, axis in enumerate([*places_batch, *others])}
    by_rest = iter(range(len(kept), len(shape)))
    in_order = iter(by_place[axis] for axis in kept)
    order = [
        next(by_rest) if axis in offsets else next(in_order)
        for axis in range(len(shape))
    ]
    return [graph.transposed(found, order)]


def _slice_from(
    graph: Graph, x: Value, places: Value, indexed: list[int], shape: Any
) -> str:
    """One slice of the result's shape, from a place of the named axes on."""
    found = graph.name(x)
    for number, axis in enumerate(indexed):
        if (size := shape[axis]) == x.shape[axis]:
            continue  # All of it, wherever it was to begin.
        one = np.array([number], np.int64)
        start = graph.one("Gather", places, one)
        first = _start(graph, x, axis, start, size)
        last = graph.one("Add", first, np.array([size], np.int64))
        found = graph.one("Slice", found, first, last, np.array([axis], np.int64))
    return found


def _clamped(graph: Graph, index: str, x: Value, indexed: list[int]) -> str:
    """Places inside of the array: those outside count as the nearest inside."""
    sizes = [x.shape[axis] for axis in indexed]
    if None in sizes:
        picked = graph.one("Gather", graph.one("Shape", x), np.array(indexed, np.int64))
        last: Any = graph.one("Sub", picked, np.array(1, np.int64))
    else:
        last = np.array(sizes, np.int64) - 1
    above = graph.one("Max", index, np.array(0, np.int64))
    return graph.one("Min", above, last)


def _dynamic_slice(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    x, *starts = operands
    sizes = axes(operation, "slice_sizes")
    found = graph.name(x)
    for axis, (size, start) in enumerate(zip(sizes, starts, strict=True)):
        if size != x.shape[axis]:
            first = _start(graph, x, axis, start, size)
            last = graph.one("Add", first, np.array([size], np.int64))
            found = graph.one("Slice", found, first, last, np.array([axis], np.int64))
    return [found]


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
    last = graph.one("Add", first, np.array([size], np.int64))
    where = np.array([axis], np.int64)
    before = graph.one("Slice", x, np.array([0], np.int64), first, where)
    after = graph.one("Slice", x, last, np.array([2**63 - 1], np.int64), where)
    return [graph.one("Concat", before, update, after, axis=axis)]


def _start(graph: Graph, x: Value, axis: int, start: Value | str, size: int) -> str:
    """Where a slice begins, moved so that it ends inside; one element."""
    first = graph.one("Reshape", graph.cast(start, np.int64), np.array([1], np.int64))
    if (whole := x.shape[axis]) is None:
        length = graph.one("Shape", x, start=axis, end=axis + 1)
        most: Any = graph.one("Sub", length, np.array([size], np.int64))
    else:
        most = np.array([whole - size], np.int64)
    return graph.one("Min", graph.one("Max", first, np.array([0], np.int64)), most)


def _sort(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    axis = operation.attributes["dimension"].value
    block = operation.regions[0].blocks[0]
    inside = [one.operation for one in block.operations]
    arguments = {
        value.arg_number
        for one in inside
        for value in one.operands
        if isinstance(value, ir.BlockArgument) and value.owner == block
    }
    last = [one for one in inside if one.name == "stablehlo.compare"][-1:]
    direction = direction_of(last[0]) if last else ""
    if arguments != {0, 1} or direction not in ("LT", "GT"):
        raise NotConvertibleError("stablehlo.sort by other than its first array")
    keys, *others = operands
    size = graph.one("Shape", keys, start=axis, end=axis + 1)
    # Ties: both keep the lower place first.
    largest = int(direction == "GT")
    order, places = graph.add(
        "TopK", keys, size, outputs=2, axis=axis, largest=largest, sorted=1
    )
    return [order] + [
        graph.cast(places, other.dtype)
        if other.counts == axis
        else graph.one("GatherElements", other, places, axis=axis)
        for other in others
    ]


INDEXING: dict[str, Handler] = {
    "dynamic_gather": _gather,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "gather": _gather,
    "sort": _sort,
}
"""StableHLO's name, without its dialect -> what converts it."""
