"""The signatures of a model as serialized programs, for any number of rows or one."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import jax.export
import numpy as np

from specflow.contract import ExportOutput
from specflow.diagnostics.errors import Diagnostic, ExportError
from specflow.serving.export_signature import BATCH, TensorForm

__all__ = ["ExportedProgram", "Servable", "named"]


class Servable(Protocol):
    """A model in a state, as it is exported; `sent` is a batch as clients send it."""

    def weights(self) -> Mapping[str, Any]:
        """Everything that the function reads beside a batch: host arrays by path."""
        ...

    def outputs(self, sent: Any) -> Mapping[str, ExportOutput]:
        """The signatures, with shapes and dtypes in place of arrays."""
        ...

    def function(self, sent: Any) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
        """(weights, sent) -> signature -> its tensors; pure."""
        ...

    def answers(self, sent: Any) -> Mapping[str, Any]:
        """What the model answers where it lies: signature -> host arrays."""
        ...

    def compiler_options(self, sent: Any) -> dict[str, dict[str, Any]]:
        """Platform -> XLA's options that the model is compiled with there."""
        ...

    def is_narrow(self, sent: Any) -> bool:
        """Whether anything is computed with floats of 16 bits or less."""
        ...


class ExportedProgram:
    """All signatures of a model, serialized; weights are inputs of each.

    Args:
        model: what is exported.
        weights: its weights, or their shapes and dtypes, by path.
        example: a batch as clients send it.
        rows: the number of rows; None: any.
        platforms: what to export for.

    Raises:
        Exception: whatever tracing or lowering comes upon.
    """

    rows: int | None
    outputs: dict[str, ExportOutput]
    """The signatures by name, abstract."""
    inputs: dict[str, TensorForm]
    """What a client sends, by dotted path."""
    forms: dict[str, dict[str, TensorForm]]
    """What each signature answers, by dotted path."""
    content: dict[str, bytes]
    """The serialized program of each signature; equal ones are equal bytes."""

    def __init__(
        self,
        model: Servable,
        weights: Mapping[str, Any],
        example: Any,
        *,
        rows: int | None,
        platforms: Sequence[str],
    ):
        self.rows = rows
        (size,) = jax.export.symbolic_shape(BATCH) if rows is None else (rows,)
        sent = jax.tree.map(
            lambda array: jax.ShapeDtypeStruct(
                (size, *array.shape[1:]), jax.dtypes.canonicalize_dtype(array.dtype)
            ),
            example,
        )
        self.outputs = dict(model.outputs(sent))
        self.inputs = _forms(sent, rows)
        self.forms = {
            name: _forms(output.tensors(), rows)
            for name, output in self.outputs.items()
        }
        function, structure = model.function(sent), jax.tree.structure(sent)
        arguments = dict(named(sent))

        def serve(
            name: str, weights: dict[str, Any], inputs: dict[str, Any]
        ) -> dict[str, Any]:
            sent = jax.tree.unflatten(structure, [inputs[path] for path in arguments])
            return dict(named(function(weights, sent)[name]))

        abstract = {
            path: jax.ShapeDtypeStruct(array.shape, array.dtype)
            for path, array in weights.items()
        }
        self.content = {}
        for name in self.outputs:
            answer = jax.jit(functools.partial(serve, name))
            exported = jax.export.export(answer, platforms=platforms)
            self.content[name] = bytes(exported(abstract, arguments).serialize())


def named(tree: Any) -> list[tuple[str, Any]]:
    """The arrays of a tree by dotted path, in JAX's order; a single one is `input`.

    Raises:
        ExportError: two arrays have the same path.

    >>> named({"user": {"age": 1}, "pair": (2, 3)})
    [('pair.0', 2), ('pair.1', 3), ('user.age', 1)]
    """
    found = [
        (jax.tree_util.keystr(path, simple=True, separator=".") or "input", leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]
    names = [name for name, _ in found]
    for name in names:
        if names.count(name) > 1:
            raise ExportError(
                Diagnostic(
                    "export",
                    f"two arrays have the path {name}",
                    hint="Take the dots out of the names.",
                    code="export-names",
                )
            )
    return found


def _forms(tree: Any, rows: int | None) -> dict[str, TensorForm]:
    return {
        path: TensorForm(
            tuple(_size(n, axis, rows) for axis, n in enumerate(array.shape)),
            np.dtype(array.dtype).name,
        )
        for path, array in named(tree)
    }


def _size(size: Any, axis: int, rows: int | None) -> int | str:
    if not isinstance(size, int):
        return str(size)
    # A fixed number of rows counts as any number: others are padded to it.
    return BATCH if axis == 0 and size == rows else size
