"""Sums over axes: matrix products, convolutions, reductions, windows."""

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
    plain = (
        rows == columns == list(range(count))
        and inner == ([left.rank - 1], [count])
        and right.rank == count + 2
        and (count == 0 or left.rank == right.rank)
    )
    if plain and left.rank > 1:
        return [graph.one("MatMul", *names)]
    letters = iter(string.ascii_letters)
    spelled = [[""] * left.rank, [""] * right.rank]
    shared = [*zip(rows, columns, strict=True), *zip(*inner, strict=True)]
    for one, other in shared:
        spelled[0][one] = spelled[1][other] = next(letters)
    for side in spelled:
        side[:] = [letter or next(letters) for letter in side]
    batch = [spelled[0][axis] for axis in rows]
    used = {spelled[0][one] for one, _ in shared}
    free = [letter for side in spelled for letter in side if letter not in used]
    ins = ",".join("".join(side) for side in spelled)
    equation = f"{ins}->{''.join(batch + free)}"
    return [graph.one("Einsum", *names, equation=equation)]


def _convolution(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    image, kernel = operands
    numbers = stablehlo.ConvDimensionNumbers(operation.attributes["dimension_numbers"])
    spatial = image.rank - 2
    ones = [1] * spatial
    attributes = operation.attributes
    if attributes["batch_group_count"].value != 1:
        raise NotConvertibleError("stablehlo.convolution in groups of rows")
    if "window_reversal" in attributes and any(axes(operation, "window_reversal")):
        raise NotConvertibleError("stablehlo.convolution with a reversed window")
    inside = [
        numbers.input_batch_dimension,
        numbers.input_feature_dimension,
        *numbers.input_spatial_dimensions,
    ]
    weight = [
        numbers.kernel_output_feature_dimension,
        numbers.kernel_input_feature_dimension,
        *numbers.kernel_spatial_dimensions,
    ]
    outside = [
        numbers.output_batch_dimension,
        numbers.output_feature_dimension,
        *numbers.output_spatial_dimensions,
    ]
    name = graph.transposed(image, inside)
    form = Value(name, tuple(image.shape[axis] for axis in inside), image.dtype)
    stretch = axes(operation, "lhs_dilation", ones)
    for axis in range(spatial):
        name = dilated(graph, name, form, axis + 2, stretch[axis])
    edges = _edges(operation, spatial)
    if (edges < 0).any():
        around = np.zeros((spatial + 2, 2), np.int64)
        around[2:] = edges
        name = graph.one("Pad", name, around.T.reshape(-1), np.zeros((), image.dtype))
        edges = np.zeros_like(edges)
    found = graph.one(
        "Conv",
        name,
        graph.transposed(kernel, weight),
        strides=axes(operation, "window_strides", ones),
        dilations=axes(operation, "rhs_dilation", ones),
        group=attributes["feature_group_count"].value,
        pads=edges.T.reshape(-1).tolist(),
    )
    return [graph.transposed(found, np.argsort(outside).tolist())]


def _reduce(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    dimensions = axes(operation, "dimensions")
    if len(operands) == 4:
        return _arg_reduce(graph, operation, operands, dimensions)
    if len(operands) != 2:
        raise NotConvertibleError("stablehlo.reduce of several arrays")
    x, start = operands
    kind = body_of(operation)
    where = np.array(dimensions, np.int64)
    if x.dtype == bool:
        if kind not in ("and", "or"):
            raise NotConvertibleError(f"stablehlo.reduce of booleans by {kind}")
        reducer = "ReduceMin" if kind == "and" else "ReduceMax"
        whole = graph.one(reducer, graph.cast(x, np.int32), where, keepdims=0)
        return [graph.cast(whole, bool)]
    if kind not in _REDUCERS:
        raise NotConvertibleError(f"stablehlo.reduce by {kind}")
    reducer, join = _REDUCERS[kind]
    found = graph.one(reducer, x, where, keepdims=0)
    if start.known is not None and start.known == _neutral(kind, x.dtype):
        return [found]
    return [graph.one(join, found, start)]


def _arg_reduce(
    graph: Graph, operation: Any, operands: list[Value], dimensions: list[int]
) -> list[str]:
    """The largest or smallest and its place, as JAX writes them in one reduction."""
    x, places = operands[:2]
    block = operation.regions[0].blocks[0]
    compared = [
        direction_of(one.operation)
        for one in block.operations
        if one.operation.name == "stablehlo.compare"
    ]
    if dimensions != [places.counts] or compared[:1] not in (["GT"], ["LT"]):
        raise NotConvertibleError("stablehlo.reduce of two arrays, but for argmax")
    kind = "Max" if compared[0] == "GT" else "Min"
    best = graph.one(f"Reduce{kind}", x, np.array(dimensions, np.int64), keepdims=0)
    place = graph.one(f"Arg{kind}", x, axis=dimensions[0], keepdims=0)
    return [best, graph.cast(place, places.dtype)]


def body_of(operation: Any) -> str:
    """The one operation by which a reduction joins two elements."""
    inside = [one.operation for one in operation.regions[0].blocks[0].operations]
    names = [one.name.removeprefix("stablehlo.") for one in inside]
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
    known = kind in ("add", "maximum", "minimum") and neutral
    if not known or axes(operation, "base_dilations", ones) != ones:
        raise NotConvertibleError(f"stablehlo.reduce_window by {kind}")
    over = [
        axis
        for axis in range(rank)
        if (window[axis], strides[axis]) != (1, 1) or edges[axis].any()
    ]
    if not over:
        return [graph.name(x)]
    if kind == "add" and len(over) == 1 and strides == ones:
        axis = over[0]
        size = window[axis]
        if size == x.shape[axis] and sorted(edges[axis]) == [0, size - 1]:
            where, back = np.array(axis, np.int64), int(edges[axis][1] > 0)
            return [graph.one("CumSum", x, where, reverse=back)]
    if (edges < 0).any():
        raise NotConvertibleError("stablehlo.reduce_window that cuts edges off")
    lead = [axis for axis in range(rank) if axis not in over]
    if len(lead) > 2 or len(over) > 3:
        raise NotConvertibleError(f"stablehlo.reduce_window over {len(over)} axes")
    # ONNX pools arrays of rows, channels and the rest.
    missing = np.arange(2 - len(lead), dtype=np.int64)
    name = graph.transposed(x, [*lead, *over])
    if len(missing):
        name = graph.one("Unsqueeze", name, missing)
    arguments: dict[str, Any] = {
        "kernel_shape": [window[axis] for axis in over],
        "strides": [strides[axis] for axis in over],
        "pads": edges[over].T.reshape(-1).tolist(),
        "dilations": [dilations[axis] for axis in over],
    }
    if kind == "add":
        mean = graph.one("AveragePool", name, count_include_pad=1, **arguments)
        count = np.array(np.prod(arguments["kernel_shape"]), x.dtype)
        name = graph.one("Mul", mean, count)
    elif kind == "maximum":
        name = graph.one("MaxPool", name, **arguments)
    else:
        turned = graph.one("MaxPool", graph.one("Neg", name), **arguments)
        name = graph.one("Neg", turned)
    if len(missing):
        name = graph.one("Squeeze", name, missing)
    return [graph.transposed(name, np.argsort([*lead, *over]).tolist())]


def _edges(operation: Any, rank: int) -> np.ndarray:
    """Padding before and after, an axis a row."""
    if "padding" not in operation.attributes:
        return np.zeros((rank, 2), np.int64)
    padding = np.array(operation.attributes["padding"], np.int64)
    return np.broadcast_to(padding, (rank, 2))


def _neutral(kind: str, dtype: np.dtype[Any]) -> Any:
    """What a reduction may start from without a difference."""
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
"""StableHLO's name, without its dialect -> what converts it."""
