"""Signatures of a model as serialized programs, for any batch size or a fixed one."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import jax
import jax.export
import numpy as np

from specflow.contract import ExportOutput
from specflow.diagnostics.errors import Diagnostic, ExportError
from specflow.serving.export_signature import BATCH, TensorForm

__all__ = ["ExportedProgram", "Servable", "named"]


class Servable(Protocol):
    """A model with its weights, to be exported; `request` is a batch of a client."""

    def weights(self) -> Mapping[str, Any]:
        """Returns all that the function reads beside a batch: host arrays by path."""
        ...

    def outputs(self, request: Any, /) -> Mapping[str, ExportOutput]:
        """Returns the signatures, with shapes and dtypes in place of arrays."""
        ...

    def function(
        self, request: Any, /
    ) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
        """Returns a pure function: (weights, request) -> signature -> its tensors."""
        ...

    def answers(self, request: Any, /) -> Mapping[str, Any]:
        """Runs the model on its own devices; returns signature -> host arrays."""
        ...

    def is_narrow(self, request: Any, /) -> bool:
        """Returns whether anything is computed in floats of 16 bits or less."""
        ...


class ExportedProgram:
    """All signatures of a model, serialized; weights are inputs of each.

    Args:
        model: the model.
        weights: its weights, or their shapes and dtypes, by path.
        example: a batch of a client.
        rows: batch size; None: any.
        platforms: to export for.

    Raises:
        Exception: tracing or lowering failed.
    """

    rows: int | None
    outputs: dict[str, ExportOutput]
    """The signatures by name, abstract."""
    inputs: dict[str, TensorForm]
    """Inputs by dotted path."""
    forms: dict[str, dict[str, TensorForm]]
    """Outputs of each signature, by dotted path."""
    content: dict[str, bytes]
    """Serialized program of each signature; equal programs are equal bytes."""

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
        request = jax.tree.map(
            lambda array: jax.ShapeDtypeStruct(
                (size, *array.shape[1:]), jax.dtypes.canonicalize_dtype(array.dtype)
            ),
            example,
        )
        self.outputs = dict(model.outputs(request))
        self.inputs = _forms(request, rows)
        self.forms = {
            name: _forms(output.tensors(), rows)
            for name, output in self.outputs.items()
        }
        function, structure = model.function(request), jax.tree.structure(request)
        arguments = dict(named(request))

        def serve(
            name: str, weights: dict[str, Any], inputs: dict[str, Any]
        ) -> dict[str, Any]:
            request = jax.tree.unflatten(
                structure, [inputs[path] for path in arguments]
            )
            return dict(named(function(weights, request)[name]))

        abstract = {
            path: jax.ShapeDtypeStruct(array.shape, array.dtype)
            for path, array in weights.items()
        }
        self.content = {}
        for name in self.outputs:
            answer = jax.jit(functools.partial(serve, name))
            with _no_locations():
                exported = jax.export.export(answer, platforms=platforms)
                content = exported(abstract, arguments).serialize()
            self.content[name] = bytes(content)


@contextlib.contextmanager
def _no_locations() -> Iterator[None]:
    """Keeps the source locations of operations out of programs lowered in the block.

    They are paths of this machine, and equal models would have different files.
    """
    setting = "jax_traceback_in_locations_limit"
    before = jax.config.values[setting]
    jax.config.update(setting, 0)
    try:
        yield
    finally:
        jax.config.update(setting, before)


def named(tree: Any) -> list[tuple[str, Any]]:
    """Flattens a tree to arrays by dotted path, in JAX's order; a bare one is `input`.

    Raises:
        ExportError: two arrays have the same path.

    >>> named({"user": {"age": 1}, "pair": (2, 3)})
    [('pair.0', 2), ('pair.1', 3), ('user.age', 1)]
    """
    arrays = [
        (jax.tree_util.keystr(path, simple=True, separator=".") or "input", leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]
    names = [name for name, _ in arrays]
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
    return arrays


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
    # A fixed batch size accepts any number of rows: they are padded to it.
    return BATCH if axis == 0 and size == rows else size
