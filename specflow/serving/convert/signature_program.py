"""The StableHLO program of a signature, and the names of its arguments and results."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.export
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo

from specflow.serving.export_signature import Function, Signature
from specflow.serving.load_export import LoadedExport

__all__ = ["SignatureProgram", "program_of"]


@dataclasses.dataclass(frozen=True, slots=True)
class SignatureProgram:
    """The program `(weights, inputs) -> outputs` of one signature, for converters."""

    signature: Signature
    """Names, shapes and dtypes of inputs and outputs."""
    function: Function
    """The stored function that is converted; its `rows` is None for any number."""
    exported: jax.export.Exported
    """The program as JAX exported it."""
    arguments: tuple[tuple[str, str], ...]
    """(`weights` or `inputs`, name) of each argument of the module's `main`."""
    outputs: tuple[str, ...]
    """Names of the module's results, in order."""

    def module(self, *, inline: bool = False) -> ir.Module:
        """Deserializes the StableHLO module, in a context of its own.

        Args:
            inline: replace composite operations by calls of their decompositions.
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


def program_of(export: LoadedExport, signature: Signature) -> SignatureProgram:
    """The program for any number of rows, or else the one for the most rows.

    Args:
        export: the export.
        signature: one of its signatures.
    """
    function = signature.functions[-1]
    exported = export.exported(function)
    numbers = list(range(len(exported.in_avals)))
    (weights, inputs), _ = jax.tree.unflatten(exported.in_tree, numbers)
    names = {number: ("weights", name) for name, number in weights.items()}
    names |= {number: ("inputs", name) for name, number in inputs.items()}
    results = list(range(len(exported.out_avals)))
    outputs = jax.tree.unflatten(exported.out_tree, results)
    return SignatureProgram(
        signature,
        function,
        exported,
        # Arguments that no operation reads are no arguments of the module.
        tuple(names[number] for number in exported.module_kept_var_idx),
        tuple(sorted(outputs, key=outputs.__getitem__)),
    )


def _inline_composites(module: ir.Module) -> None:
    """Replaces each composite operation by a call of its decomposition.

    TensorFlow's shape refinement follows calls, and no composites.
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
    """The operations nested in an operation, at any depth."""
    for region in operation.regions:
        for block in region.blocks:
            for inner in block.operations:
                yield inner.operation
                yield from _operations(inner.operation)
