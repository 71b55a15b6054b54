"""Walks through a StableHLO module, and says each operation in ONNX."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from jax.extend.mlir import ir

from specflow.serving.convert import NotConvertibleError
from specflow_onnx._core.contractions import CONTRACTIONS
from specflow_onnx._core.elementwise import COMPOSITES, ELEMENTWISE
from specflow_onnx._core.graph import Graph, Handler, Value, described
from specflow_onnx._core.indexing import INDEXING
from specflow_onnx._core.shapes import SHAPES

__all__ = ["Interpreter"]

_HANDLERS: dict[str, Handler] = {
    **CONTRACTIONS,
    **ELEMENTWISE,
    **INDEXING,
    **SHAPES,
}

_WARNINGS = frozenset({"Sharding", "annotate_device_placement"})
"""Custom calls that compute nothing."""


class Interpreter:
    """Says the functions of a module in ONNX.

    Args:
        module: a StableHLO module; it is read only.
    """

    def __init__(self, module: ir.Module):
        self._functions = {
            ir.StringAttr(one.operation.attributes["sym_name"]).value: one.operation
            for one in module.body.operations
        }

    def call(self, graph: Graph, name: str, arguments: Sequence[Value]) -> list[Value]:
        """The results of a function of the module; its operations join the graph.

        Args:
            graph: where.
            name: the function's.
            arguments: its arguments.

        Raises:
            NotConvertibleError: an operation has no equivalent in ONNX.
        """
        (block,) = self._functions[name].regions[0].blocks
        return self._block(graph, block, arguments, {})

    def _block(
        self,
        graph: Graph,
        block: Any,
        arguments: Sequence[Value],
        outer: dict[Any, Value],
    ) -> list[Value]:
        values = dict(outer)
        values |= zip(block.arguments, arguments, strict=True)
        for operation in _needed(block):
            operands = [values[operand] for operand in operation.operands]
            if operation.name in ("func.return", "stablehlo.return"):
                return operands
            found = self._operation(graph, operation, operands, values)
            for result, one in zip(operation.results, found, strict=True):
                values[result] = (
                    one
                    if isinstance(one, Value)
                    else Value(one, *described(result.type))
                )
        return []

    def _operation(
        self,
        graph: Graph,
        operation: Any,
        operands: list[Value],
        values: dict[Any, Value],
    ) -> Sequence[str | Value]:
        name, attributes = operation.name, operation.attributes
        if name == "func.call":
            callee = ir.FlatSymbolRefAttr(attributes["callee"]).value
            return self.call(graph, callee, operands)
        if name == "stablehlo.composite":
            kind = COMPOSITES.get(ir.StringAttr(attributes["name"]).value)
            if kind is not None:
                return [graph.one(kind, *operands)]
            callee = ir.FlatSymbolRefAttr(attributes["decomposition"]).value
            return self.call(graph, callee, operands)
        if name == "stablehlo.case":
            return self._case(graph, operation, operands[0], values)
        if name == "stablehlo.while":
            return self._while(graph, operation, operands, values)
        if name == "stablehlo.custom_call":
            target = ir.StringAttr(attributes["call_target_name"]).value
            if target in _WARNINGS:
                return operands[: len(operation.results)]
            raise NotConvertibleError(f"{name} of {target} has no equivalent in ONNX")
        handler = _HANDLERS.get(name.removeprefix("stablehlo."))
        if handler is None:
            raise NotConvertibleError(f"{name} has no equivalent in ONNX")
        return handler(graph, operation, operands)

    def _case(
        self, graph: Graph, operation: Any, index: Value, values: dict[Any, Value]
    ) -> Sequence[str | Value]:
        """The branch of that number; the last one for numbers that no branch has."""
        blocks = [region.blocks[0] for region in operation.regions]
        if index.known is not None:
            number = int(index.known)
            chosen = number if 0 <= number < len(blocks) else -1
            return self._block(graph, blocks[chosen], (), values)
        return self._choice(graph, operation, index, values, blocks, 0)

    def _choice(
        self,
        graph: Graph,
        operation: Any,
        index: Value,
        values: dict[Any, Value],
        blocks: list[Any],
        number: int,
    ) -> list[str]:
        def branch(inside: Graph) -> Sequence[str | Value]:
            return self._block(inside, blocks[number], (), values)

        def others(inside: Graph) -> Sequence[str | Value]:
            if number + 2 == len(blocks):
                return self._block(inside, blocks[-1], (), values)
            return self._choice(inside, operation, index, values, blocks, number + 1)

        forms = [described(result.type) for result in operation.results]
        if len(blocks) == 1:
            return [graph.name(x) for x in self._block(graph, blocks[0], (), values)]
        return graph.add(
            "If",
            graph.one("Equal", index, np.array(number, index.dtype)),
            outputs=len(forms),
            then_branch=_graph(graph, "then", (), branch, forms),
            else_branch=_graph(graph, "else", (), others, forms),
        )

    def _while(
        self,
        graph: Graph,
        operation: Any,
        operands: list[Value],
        values: dict[Any, Value],
    ) -> list[str]:
        condition, body = (region.blocks[0] for region in operation.regions)
        forms = [described(result.type) for result in operation.results]
        states = [Value(graph.fresh("state"), *form) for form in forms]
        flag = (), np.dtype(bool)
        (begun,) = self._block(graph, condition, operands, values)

        def turn(inside: Graph) -> Sequence[str | Value]:
            found = self._block(inside, body, states, values)
            (going,) = self._block(inside, condition, found, values)
            return [going, *found]

        inputs = [
            Value(graph.fresh("turn"), (), np.dtype(np.int64)),
            Value(graph.fresh("going"), *flag),
            *states,
        ]
        loop = _graph(graph, "turn", inputs, turn, [flag, *forms])
        return graph.add("Loop", "", begun, *operands, outputs=len(forms), body=loop)


def _needed(block: Any) -> list[Any]:
    """The operations of a block that its results come of, in their order.

    The program of one signature may still hold, unused, what others answer.
    """
    *inside, end = [view.operation for view in block.operations]
    needed, wanted = [end], set(end.operands)
    for operation in reversed(inside):
        if wanted.intersection(operation.results):
            needed.append(operation)
            wanted |= _reads(operation)
    return needed[::-1]


def _reads(operation: Any) -> set[Any]:
    """The values that an operation reads, and the operations inside of it."""
    values = set(operation.operands)
    for region in operation.regions:
        for block in region.blocks:
            for inner in block.operations:
                values |= _reads(inner.operation)
    return values


def _graph(
    outer: Graph, name: str, inputs: Sequence[Value], fill: Any, forms: Any
) -> Any:
    """A graph inside of another one; it may read what that has."""
    onnx: Any = import_module("onnx")

    inside = Graph(outer)
    # A result must be made inside, though it be an input or a constant.
    results = [inside.one("Identity", one) for one in fill(inside)]
    return onnx.helper.make_graph(
        inside.nodes,
        outer.fresh(name),
        [_info(one.name, (one.shape, one.dtype)) for one in inputs],
        [_info(one, form) for one, form in zip(results, forms, strict=True)],
    )


def _info(name: str, form: tuple[Any, np.dtype[Any]]) -> Any:
    onnx: Any = import_module("onnx")

    shape, dtype = form
    element = onnx.helper.np_dtype_to_tensor_dtype(dtype)
    return onnx.helper.make_tensor_value_info(name, element, shape)
