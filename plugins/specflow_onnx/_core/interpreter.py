"""Converts a StableHLO module operation by operation."""

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

_NO_OPS = frozenset({"Sharding", "annotate_device_placement"})
"""Custom calls that only annotate their operands."""


class Interpreter:
    """Converts the functions of a StableHLO module to ONNX nodes.

    Args:
        module: the module, which is not changed.
    """

    def __init__(self, module: ir.Module):
        self._functions = {
            ir.StringAttr(view.operation.attributes["sym_name"]).value: view.operation
            for view in module.body.operations
        }

    def call(self, graph: Graph, name: str, arguments: Sequence[Value]) -> list[Value]:
        """Adds the operations of a function to a graph and returns its results.

        Args:
            graph: graph to add nodes to.
            name: name of the function.
            arguments: values of its arguments.

        Raises:
            NotConvertibleError: ONNX has no equivalent of an operation.
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
            results = self._operation(graph, operation, operands, values)
            for result, value in zip(operation.results, results, strict=True):
                values[result] = (
                    value
                    if isinstance(value, Value)
                    else Value(value, *described(result.type))
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
                return [graph.op(kind, *operands)]
            callee = ir.FlatSymbolRefAttr(attributes["decomposition"]).value
            return self.call(graph, callee, operands)
        if name == "stablehlo.case":
            return self._case(graph, operation, operands[0], values)
        if name == "stablehlo.while":
            return self._while(graph, operation, operands, values)
        if name == "stablehlo.custom_call":
            target = ir.StringAttr(attributes["call_target_name"]).value
            if target in _NO_OPS:
                return operands[: len(operation.results)]
            raise NotConvertibleError(f"{name} of {target} has no equivalent in ONNX")
        handler = _HANDLERS.get(name.removeprefix("stablehlo."))
        if handler is None:
            raise NotConvertibleError(f"{name} has no equivalent in ONNX")
        return handler(graph, operation, operands)

    def _case(
        self, graph: Graph, operation: Any, index: Value, values: dict[Any, Value]
    ) -> Sequence[str | Value]:
        """The branch of an index; the last branch for an index out of range."""
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
            graph.op("Equal", index, np.array(number, index.dtype)),
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
        (enter,) = self._block(graph, condition, operands, values)

        def iteration(inside: Graph) -> Sequence[str | Value]:
            results = self._block(inside, body, states, values)
            (again,) = self._block(inside, condition, results, values)
            return [again, *results]

        inputs = [
            Value(graph.fresh("iteration"), (), np.dtype(np.int64)),
            Value(graph.fresh("again"), *flag),
            *states,
        ]
        loop = _graph(graph, "body", inputs, iteration, [flag, *forms])
        return graph.add("Loop", "", enter, *operands, outputs=len(forms), body=loop)


def _needed(block: Any) -> list[Any]:
    """Operations of a block that contribute to its results, in order.

    The program of one signature may still contain the unused operations of others.
    """
    *inside, end = [view.operation for view in block.operations]
    needed, wanted = [end], set(end.operands)
    for operation in reversed(inside):
        if wanted.intersection(operation.results):
            needed.append(operation)
            wanted |= _reads(operation)
    return needed[::-1]


def _reads(operation: Any) -> set[Any]:
    """Values that an operation reads, its nested operations included."""
    values = set(operation.operands)
    for region in operation.regions:
        for block in region.blocks:
            for inner in block.operations:
                values |= _reads(inner.operation)
    return values


def _graph(
    outer: Graph, name: str, inputs: Sequence[Value], fill: Any, forms: Any
) -> Any:
    """Builds a subgraph, which may read the values of the graph around it."""
    onnx: Any = import_module("onnx")

    inside = Graph(outer)
    # A result must be the output of a node inside, even an input or a constant.
    results = [inside.op("Identity", value) for value in fill(inside)]
    return onnx.helper.make_graph(
        inside.nodes,
        outer.fresh(name),
        [_info(value.name, (value.shape, value.dtype)) for value in inputs],
        [_info(name, form) for name, form in zip(results, forms, strict=True)],
    )


def _info(name: str, form: tuple[Any, np.dtype[Any]]) -> Any:
    onnx: Any = import_module("onnx")

    shape, dtype = form
    element = onnx.helper.np_dtype_to_tensor_dtype(dtype)
    return onnx.helper.make_tensor_value_info(name, element, shape)
