"""Handlers of elementwise operations: arithmetic, comparisons, select, casts."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from specflow.serving.convert import NotConvertibleError
from specflow_onnx._core.graph import Graph, Handler, Value, described

__all__ = ["COMPOSITES", "ELEMENTWISE"]

_UNARY = {
    "abs": "Abs", "ceil": "Ceil", "cosine": "Cos", "exponential": "Exp",
    "floor": "Floor", "log": "Log", "logistic": "Sigmoid", "negate": "Neg",
    "round_nearest_even": "Round", "sign": "Sign", "sine": "Sin", "sqrt": "Sqrt",
    "tan": "Tan", "tanh": "Tanh",
}  # fmt: skip

_BINARY = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div",
    "maximum": "Max", "minimum": "Min", "power": "Pow",
}  # fmt: skip

_LOGICAL = {
    "and": "And", "or": "Or", "xor": "Xor",
    "multiply": "And", "minimum": "And", "maximum": "Or",
}  # fmt: skip

_COMPARISONS = {
    "EQ": "Equal", "LT": "Less", "LE": "LessOrEqual",
    "GT": "Greater", "GE": "GreaterOrEqual",
}  # fmt: skip

COMPOSITES = {
    "chlo.erf": "Erf", "chlo.asin": "Asin", "chlo.acos": "Acos", "chlo.atan": "Atan",
    "chlo.sinh": "Sinh", "chlo.cosh": "Cosh", "chlo.asinh": "Asinh",
    "chlo.acosh": "Acosh", "chlo.atanh": "Atanh",
}  # fmt: skip
"""Composites that ONNX has as operators; others are decomposed."""


def _fitting(operands: Sequence[Value]) -> list[Value]:
    """Operands before broadcasting, where ONNX broadcasts them to the same shape."""
    if all(value.narrow is not None for value in operands):
        return list(operands)
    return [value.narrow or value for value in operands]


def _unary(kind: str) -> Handler:
    return lambda graph, operation, operands: [graph.op(kind, *operands)]


def _binary(name: str) -> Handler:
    def handle(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
        if operands[0].dtype == bool:
            if name not in _LOGICAL:
                raise NotConvertibleError(f"stablehlo.{name} of booleans")
            return [graph.op(_LOGICAL[name], *_fitting(operands))]
        if name not in _BINARY:
            kind = {"and": "BitwiseAnd", "or": "BitwiseOr", "xor": "BitwiseXor"}[name]
        else:
            kind = _BINARY[name]
        return [graph.op(kind, *_fitting(operands))]

    return handle


def _not(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    return [graph.op("Not" if operands[0].dtype == bool else "BitwiseNot", *operands)]


def _rsqrt(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    return [graph.op("Reciprocal", graph.op("Sqrt", operands[0]))]


def _log_plus_one(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    # log(1 + x), exact near 0: log(u) x / (u - 1) with u = 1 + x, and x where u is 1.
    # Source: Goldberg, What Every Computer Scientist Should Know About Floating-Point
    # Arithmetic, 1991, theorem 4.
    (x,) = operands
    one = np.ones((), x.dtype)
    u = graph.op("Add", x, one)
    share = graph.op("Div", x, graph.op("Sub", u, one))
    exact = graph.op("Mul", graph.op("Log", u), share)
    # Where u is infinite, the share is undefined and the logarithm infinite.
    finite = graph.op("Where", graph.op("IsInf", u), u, exact)
    return [graph.op("Where", graph.op("Equal", u, one), x, finite)]


def _exponential_minus_one(
    graph: Graph, operation: Any, operands: list[Value]
) -> list[str]:
    # exp(x) - 1 = 2 sinh(x/2) exp(x/2), which is exact near 0.
    (x,) = operands
    half = graph.op("Mul", x, np.full((), 0.5, x.dtype))
    product = graph.op("Mul", graph.op("Sinh", half), graph.op("Exp", half))
    return [graph.op("Mul", product, np.full((), 2, x.dtype))]


def _atan2(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    y, x = operands
    zero, turn = np.zeros((), x.dtype), np.array(np.pi, x.dtype)
    half = graph.op("Atan", graph.op("Div", y, x))
    side = graph.op("Where", graph.op("Less", y, zero), -turn, turn)
    behind = graph.op("Where", graph.op("Less", x, zero), side, zero)
    angle = graph.op("Add", half, behind)
    # 0 / 0 is undefined, and the angle of the origin is 0 by convention.
    undefined = graph.op("And", graph.op("Equal", y, zero), graph.op("Equal", x, zero))
    return [graph.op("Where", undefined, zero, angle)]


def _remainder(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    return [graph.op("Mod", *_fitting(operands), fmod=1)]


def _is_finite(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    (x,) = operands
    unlike = graph.op("Or", graph.op("IsNaN", x), graph.op("IsInf", x))
    return [graph.op("Not", unlike)]


def _compare(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    direction = direction_of(operation)
    if direction == "NE":
        return [graph.op("Not", graph.op("Equal", *_fitting(operands)))]
    return [graph.op(_COMPARISONS[direction], *_fitting(operands))]


def direction_of(operation: Any) -> str:
    """`EQ`, `NE`, `LT`, `LE`, `GT` or `GE` of a comparison."""
    text = str(operation.attributes["comparison_direction"])
    match = re.search(r"\b(EQ|NE|LT|LE|GT|GE)\b", text)
    return match[1] if match else text


def _select(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    if operands[1].dtype != bool:
        return [graph.op("Where", *_fitting(operands))]
    # ONNX Runtime has no such choice between booleans.
    chosen, one, other = _fitting(operands)
    first = graph.op("And", chosen, one)
    second = graph.op("And", graph.op("Not", chosen), other)
    return [graph.op("Or", first, second)]


def _clamp(graph: Graph, operation: Any, operands: list[Value]) -> list[str]:
    low, x, high = operands
    above = graph.op("Max", x, low.narrow or low)
    return [graph.op("Min", above, high.narrow or high)]


def _convert(graph: Graph, operation: Any, operands: list[Value]) -> list[str | Value]:
    (x,) = operands
    shape, dtype = described(operation.results[0].type)
    if x.known is not None:
        known = x.known.astype(dtype)
        return [Value("", shape, dtype, known, counts=x.counts)]
    return [Value(graph.cast(x, dtype), shape, dtype, counts=x.counts)]


ELEMENTWISE: dict[str, Handler] = {
    **{name: _unary(kind) for name, kind in _UNARY.items()},
    **{name: _binary(name) for name in {**_BINARY, **_LOGICAL}},
    "atan2": _atan2,
    "clamp": _clamp,
    "compare": _compare,
    "convert": _convert,
    "exponential_minus_one": _exponential_minus_one,
    "is_finite": _is_finite,
    "log_plus_one": _log_plus_one,
    "not": _not,
    "remainder": _remainder,
    "rsqrt": _rsqrt,
    "select": _select,
}
"""Name of a StableHLO operation, without the dialect -> its handler."""
