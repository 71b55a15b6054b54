"""Handlers of contractions: matrix products, convolutions, reductions, windows."""

import string
from typing import Any

import numpy as np
from jax.extend.mlir.dialects import stablehlo

from specflow.serving.convert import NotConvertibleError
from specflow_onnx._core.elementwise import direction_of
from specflow_onnx._core.graph import Graph, Handler, Value, axes, described
from specflow_onnx._core.shapes import dilated

__all__ = ["CONTRACTIONS", "body_of"]

_REDUCERS = {
    "add": ("ReduceSum", "Add"),
    "maximum": ("ReduceMax", "Max"),
    "minimum": ("ReduceMin", "Min"),
    "multiply": ("ReduceProd", "Mul"),
}


def _dot_general(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    """MatMul if the axes allow it, and Einsum otherwise."""
    numbers = stablehlo.DotDimensionNumbers(
        operation.attributes["dot_dimension_numbers"]
    )
    left, right = operands
    _, dtype = described(operation.results[0].type)
    names = [
        graph.name(value) if value.dtype == dtype else graph.cast(value, dtype)
        for value in operands
    ]
    rows, columns = (
        list(numbers.lhs_batching_dimensions),
        list(numbers.rhs_batching_dimensions),
    )
    inner = (
        list(numbers.lhs_contracting_dimensions),
        list(numbers.rhs_contracting_dimensions),
    )
    count = len(rows)
    is_matmul = (
        rows == columns == list(range(count))
        and inner == ([left.rank - 1], [count])
        and right.rank == count + 2
        and (count == 0 or left.rank == right.rank)
    )
    if is_matmul and left.rank > 1:
        return [graph.op("MatMul", *names)]
    letters = iter(string.ascii_letters)
    subscripts = [[""] * left.rank, [""] * right.rank]
    shared = [*zip(rows, columns, strict=True), *zip(*inner, strict=True)]
    for left_axis, right_axis in shared:
        subscripts[0][left_axis] = subscripts[1][right_axis] = next(letters)
    for side in subscripts:
        side[:] = [letter or next(letters) for letter in side]
    batch = [subscripts[0][axis] for axis in rows]
    used = {subscripts[0][left_axis] for left_axis, _ in shared}
    free = [letter for side in subscripts for letter in side if letter not in used]
    inputs = ",".join("".join(side) for side in subscripts)
    equation = f"{inputs}->{''.join(batch + free)}"
    return [graph.op("Einsum", *names, equation=equation)]


def _convolution(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    image, kernel = operands
    numbers = stablehlo.ConvDimensionNumbers(operation.attributes["dimension_numbers"])
    spatial = image.rank - 2
    ones = [1] * spatial
    attributes = operation.attributes
    if attributes["batch_group_count"].value != 1:
        raise NotConvertibleError("stablehlo.convolution with batch groups")
    if "window_reversal" in attributes and any(axes(operation, "window_reversal")):
        raise NotConvertibleError("stablehlo.convolution with a reversed window")
    input_order = [
        numbers.input_batch_dimension,
        numbers.input_feature_dimension,
        *numbers.input_spatial_dimensions,
    ]
    kernel_order = [
        numbers.kernel_output_feature_dimension,
        numbers.kernel_input_feature_dimension,
        *numbers.kernel_spatial_dimensions,
    ]
    output_order = [
        numbers.output_batch_dimension,
        numbers.output_feature_dimension,
        *numbers.output_spatial_dimensions,
    ]
    name = graph.transposed(image, input_order)
    form = Value(name, tuple(image.shape[axis] for axis in input_order), image.dtype)
    dilation = axes(operation, "lhs_dilation", ones)
    for axis in range(spatial):
        name = dilated(graph, name, form, axis + 2, dilation[axis])
    edges = _edges(operation, spatial)
    if (edges < 0).any():
        pads = np.zeros((spatial + 2, 2), np.int64)
        pads[2:] = edges
        name = graph.op("Pad", name, pads.T.reshape(-1), np.zeros((), image.dtype))
        edges = np.zeros_like(edges)
    result = graph.op(
        "Conv",
        name,
        graph.transposed(kernel, kernel_order),
        strides=axes(operation, "window_strides", ones),
        dilations=axes(operation, "rhs_dilation", ones),
        group=attributes["feature_group_count"].value,
        pads=edges.T.reshape(-1).tolist(),
    )
    return [graph.transposed(result, np.argsort(output_order).tolist())]


def _reduce(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    dimensions = axes(operation, "dimensions")
    if len(operands) == 4:
        return _arg_reduce(graph, operation, operands, dimensions)
    if len(operands) != 2:
        raise NotConvertibleError("stablehlo.reduce of several arrays")
    x, start = operands
    kind = body_of(operation)
    reduced_axes = np.array(dimensions, np.int64)
    if x.dtype == bool:
        if kind not in ("and", "or"):
            raise NotConvertibleError(f"stablehlo.reduce of booleans by {kind}")
        reducer = "ReduceMin" if kind == "and" else "ReduceMax"
        reduced = graph.op(reducer, graph.cast(x, np.int32), reduced_axes, keepdims=0)
        return [graph.cast(reduced, bool)]
    if kind not in _REDUCERS:
        raise NotConvertibleError(f"stablehlo.reduce by {kind}")
    reducer, combine = _REDUCERS[kind]
    result = graph.op(reducer, x, reduced_axes, keepdims=0)
    if start.known is not None and start.known == _neutral(kind, x.dtype):
        return [result]
    return [graph.op(combine, result, start)]


def _arg_reduce(
    graph: Graph, operation: Any, operands: list[Value], dimensions: list[int]
) -> list[str]:
    """The extreme value and its index, which JAX computes in one reduction."""
    x, indices = operands[:2]
    block = operation.regions[0].blocks[0]
    compared = [
        direction_of(view.operation)
        for view in block.operations
        if view.operation.name == "stablehlo.compare"
    ]
    if dimensions != [indices.counts] or compared[:1] not in (["GT"], ["LT"]):
        raise NotConvertibleError(
            "stablehlo.reduce of two arrays other than argmax and argmin"
        )
    kind = "Max" if compared[0] == "GT" else "Min"
    best = graph.op(f"Reduce{kind}", x, np.array(dimensions, np.int64), keepdims=0)
    index = graph.op(f"Arg{kind}", x, axis=dimensions[0], keepdims=0)
    return [best, graph.cast(index, indices.dtype)]


def body_of(operation: Any) -> str:
    """Name of the operation that combines two elements of a reduction."""
    inner = [view.operation for view in operation.regions[0].blocks[0].operations]
    names = [each.name.removeprefix("stablehlo.") for each in inner]
    return names[0] if len(names) == 2 else " and ".join(names[:-1])


def _reduce_window(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    if len(operands) != 2:
        raise NotConvertibleError("stablehlo.reduce_window of several arrays")
    x, start = operands
    kind, rank = body_of(operation), x.rank
    ones = [1] * rank
    window = axes(operation, "window_dimensions")
    strides = axes(operation, "window_strides", ones)
    dilations = axes(operation, "window_dilations", ones)
    edges = _edges(operation, rank)
    neutral = start.known is not None and start.known == _neutral(kind, x.dtype)
    supported = kind in ("add", "maximum", "minimum") and neutral
    if not supported or axes(operation, "base_dilations", ones) != ones:
        raise NotConvertibleError(f"stablehlo.reduce_window by {kind}")
    pooled = [
        axis
        for axis in range(rank)
        if (window[axis], strides[axis]) != (1, 1) or edges[axis].any()
    ]
    if not pooled:
        return [graph.name(x)]
    if kind == "add" and len(pooled) == 1 and strides == ones:
        axis = pooled[0]
        size = window[axis]
        if size == x.shape[axis] and sorted(edges[axis]) == [0, size - 1]:
            reduced_axes, reverse = np.array(axis, np.int64), int(edges[axis][1] > 0)
            return [graph.op("CumSum", x, reduced_axes, reverse=reverse)]
    if (edges < 0).any():
        raise NotConvertibleError("stablehlo.reduce_window with negative padding")
    kept = [axis for axis in range(rank) if axis not in pooled]
    if len(kept) > 2 or len(pooled) > 3:
        raise NotConvertibleError(f"stablehlo.reduce_window over {len(pooled)} axes")
    # ONNX pools arrays of shape (batch, channels, ...).
    missing = np.arange(2 - len(kept), dtype=np.int64)
    name = graph.transposed(x, [*kept, *pooled])
    if len(missing):
        name = graph.op("Unsqueeze", name, missing)
    arguments: dict[str, Any] = {
        "kernel_shape": [window[axis] for axis in pooled],
        "strides": [strides[axis] for axis in pooled],
        "pads": edges[pooled].T.reshape(-1).tolist(),
        "dilations": [dilations[axis] for axis in pooled],
    }
    if kind == "add":
        mean = graph.op("AveragePool", name, count_include_pad=1, **arguments)
        count = np.array(np.prod(arguments["kernel_shape"]), x.dtype)
        name = graph.op("Mul", mean, count)
    elif kind == "maximum":
        name = graph.op("MaxPool", name, **arguments)
    else:
        negated = graph.op("MaxPool", graph.op("Neg", name), **arguments)
        name = graph.op("Neg", negated)
    if len(missing):
        name = graph.op("Squeeze", name, missing)
    return [graph.transposed(name, np.argsort([*kept, *pooled]).tolist())]


def _edges(operation: Any, rank: int) -> np.ndarray:
    """Padding (before, after) of each axis, int64[rank,2]."""
    if "padding" not in operation.attributes:
        return np.zeros((rank, 2), np.int64)
    padding = np.array(operation.attributes["padding"], np.int64)
    return np.broadcast_to(padding, (rank, 2))


def _neutral(kind: str, dtype: np.dtype[Any]) -> Any:
    """The neutral element of a reduction."""
    if kind in ("add", "multiply"):
        return int(kind == "multiply")
    least, most = (
        (-np.inf, np.inf)
        if dtype.kind not in "iu"
        else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    )
    return least if kind == "maximum" else most


CONTRACTIONS: dict[str, Handler] = {
    "convolution": _convolution,
    "dot_general": _dot_general,
    "reduce": _reduce,
    "reduce_window": _reduce_window,
}
"""Name of a StableHLO operation, without the dialect -> its handler."""
