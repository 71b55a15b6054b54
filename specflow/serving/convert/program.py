"""The program of a signature as StableHLO, and how its arguments are called."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo

from specflow.serving.export_signature import Function, Signature
from specflow.serving.load_export import LoadedExport

__all__ = ["NotConvertibleError", "Program", "program_of"]


class NotConvertibleError(Exception):
    """A signature cannot be said in the other format; the text names the operation."""


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """What converters know of one signature: `(weights, inputs) -> outputs`."""

    signature: Signature
    function: Function
    exported: Any
    """The `jax.export.Exported`."""
    arguments: tuple[tuple[str, str], ...]
    """(`weights` or `inputs`, name) of each argument that the module takes."""
    outputs: tuple[str, ...]
    """Names of the module's results, in its order."""

    def module(self, *, inline: bool = False) -> ir.Module:
        """The StableHLO module, in a context of its own.

        Args:
            inline: put what composite operations stand for in their place.
        """
        context = ir.Context()
        stablehlo.register_dialect(context)
        with context:
            module = stablehlo.deserialize_portable_artifact(
                context, self.exported.mlir_module_serialized
            )
            if inline:
                _inline_composites(module)
        return module


def program_of(loaded: LoadedExport, signature: Signature) -> Program:
    """The program of any number of rows, or the one of the most.

    Args:
        loaded: the export.
        signature: one of its signatures.
    """
    function = signature.functions[-1]
    exported = loaded.exported(function)
    numbers = list(range(len(exported.in_avals)))
    (weights, inputs), _ = jax.tree.unflatten(exported.in_tree, numbers)
    called = {number: ("weights", name) for name, number in weights.items()}
    called |= {number: ("inputs", name) for name, number in inputs.items()}
    results = list(range(len(exported.out_avals)))
    outputs = jax.tree.unflatten(exported.out_tree, results)
    return Program(
        signature,
        function,
        exported,
        tuple(called[number] for number in exported.module_kept_var_idx),
        tuple(sorted(outputs, key=outputs.__getitem__)),
    )


def _inline_composites(module: ir.Module) -> None:
    """Calls the decomposition of each composite operation.

    Whoever refines the shapes of a module follows calls, and nothing else.
    """
    for operation in list(_operations(module.operation)):
        if operation.name != "stablehlo.composite":
            continue
        with operation.location:
            call = ir.Operation.create(
                "func.call",
                results=[result.type for result in operation.results],
                operands=list(operation.operands),
                attributes={"callee": operation.attributes["decomposition"]},
                ip=ir.InsertionPoint(operation),
            )
        for old, new in zip(operation.results, call.results, strict=True):
            old.replace_all_uses_with(new)
        operation.erase()


def _operations(operation: Any) -> Iterator[Any]:
    for region in operation.regions:
        for block in region.blocks:
            for inner in block.operations:
                yield inner.operation
                yield from _operations(inner.operation)
