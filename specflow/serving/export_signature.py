"""Signatures of an exported model: names, shapes and dtypes of inputs and outputs."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import ml_dtypes  # noqa: F401 - registers bfloat16 and the float8s with NumPy
import numpy as np

from specflow.diagnostics.errors import Diagnostic, ExportError, did_you_mean, nearest
from specflow.runtime.typing import describe

__all__ = ["BATCH", "Function", "Signature", "TensorForm"]

BATCH = "b"
"""Symbol of the number of rows in a shape; each call chooses it."""

_WIDE = {"int64": "int32", "uint64": "uint32", "float64": "float32"}
"""NumPy's dtype of Python numbers -> the dtype that JAX narrows it to."""


@dataclasses.dataclass(frozen=True, slots=True)
class TensorForm:
    """Shape and dtype of an input or output.

    >>> str(TensorForm(("b", 28, 28), "float32"))
    'float32[b,28,28]'
    """

    shape: tuple[int | str, ...]
    """Sizes of the axes; `"b"` for the number of rows."""
    dtype: str
    """Name of the dtype, such as `bfloat16`."""

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Restores a form from its JSON values."""
        return cls(tuple(plain["shape"]), plain["dtype"])


@dataclasses.dataclass(frozen=True, slots=True)
class Function:
    """A serialized program of a signature, compiled when it is first called."""

    file: str
    """Name of the file, a serialized `jax.export.Exported`."""
    rows: int | None
    """Number of rows that it takes; None for any number."""


@dataclasses.dataclass(frozen=True, slots=True)
class Signature:
    """A named function of an exported model."""

    name: str
    """Name of the signature, such as `serving_default`."""
    method: str
    """`predict`, `classification` or `regression`."""
    inputs: dict[str, TensorForm]
    """Inputs by name; the dotted path for a nested input."""
    outputs: dict[str, TensorForm]
    """Outputs by name; the dotted path for a nested output."""
    functions: tuple[Function, ...]
    """One program for any number of rows, or several for fixed numbers, ascending."""
    class_names: tuple[str, ...] | None = None
    """Names of the classes, by index."""

    def __str__(self) -> str:
        inputs, outputs = (
            ", ".join(f"{name}: {form}" for name, form in tensors.items())
            for tensors in (self.inputs, self.outputs)
        )
        return f"{self.name}({inputs}) -> {outputs}  [{self.method}]"

    def to_json(self) -> dict[str, Any]:
        """Converts to plain JSON values, without the name."""
        plain = dataclasses.asdict(self)
        del plain["name"]
        return plain

    @classmethod
    def from_json(cls, name: str, plain: Mapping[str, Any]) -> Self:
        """Restores a signature from the values of `to_json`."""
        names = plain["class_names"]
        inputs, outputs = (
            {key: TensorForm.from_json(form) for key, form in plain[part].items()}
            for part in ("inputs", "outputs")
        )
        return cls(
            name,
            plain["method"],
            inputs,
            outputs,
            tuple(Function(**function) for function in plain["functions"]),
            None if names is None else tuple(names),
        )

    def accept(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Validates inputs and returns them as arrays, in the signature's order.

        NumPy's wide dtypes of Python numbers (`int64`, `float64`) are narrowed as JAX
        does, if the values fit; no other conversion is made.

        Args:
            inputs: name -> array, or a value that `np.asarray` converts.

        Raises:
            ExportError: names, shapes, dtypes or numbers of rows are wrong; all
                problems are reported together.
        """
        diagnostics = [
            self._diagnostic(name, "is no input", expected=", ".join(self.inputs),
                        hint=did_you_mean(nearest(name, self.inputs)))
            for name in inputs if name not in self.inputs
        ]  # fmt: skip
        accepted: dict[str, np.ndarray] = {}
        for name, form in self.inputs.items():
            if name not in inputs:
                diagnostics.append(
                    self._diagnostic(name, "is missing", expected=str(form))
                )
                continue
            array, problem = _fitted(inputs[name], form)
            if problem:
                diagnostics.append(self._diagnostic(name, problem, expected=str(form)))
            accepted[name] = array
        rows = {name: len(array) for name, array in accepted.items() if array.ndim}
        if not diagnostics and len(set(rows.values())) > 1:
            counts = ", ".join(f"{name} has {count}" for name, count in rows.items())
            diagnostics.append(
                self._diagnostic("", counts, expected="the same rows in every input")
            )
        if diagnostics:
            raise ExportError(*diagnostics)
        return accepted

    def _diagnostic(
        self, name: str, problem: str, *, expected: str, hint: str = ""
    ) -> Diagnostic:
        where = f"{self.name}[{name!r}]" if name else self.name
        return Diagnostic(
            where, problem, expected=expected, hint=hint, code="export-inputs"
        )


def _fitted(value: Any, form: TensorForm) -> tuple[np.ndarray, str]:
    """Converts a value to this form; returns the array, and the problem if any."""
    try:
        array = np.asarray(value)
    except ValueError:
        return np.empty(0), "is no array: its rows differ in length"
    fits = len(array.shape) == len(form.shape) and all(
        expected in (BATCH, size)
        for expected, size in zip(form.shape, array.shape, strict=True)
    )
    narrowed = form.dtype if _WIDE.get(array.dtype.name) == form.dtype else None
    if not fits or form.dtype not in (array.dtype.name, narrowed):
        return array, f"is {describe(array)}"
    if array.shape[:1] == (0,):
        return array, f"is {describe(array)}: no rows"
    with np.errstate(over="ignore"):
        fitted = array.astype(form.dtype, copy=False)
    if narrowed:
        # Integers must keep their value; floats are rounded, but must stay finite.
        lost = (
            fitted != array
            if array.dtype.kind in "iu"
            else np.isinf(fitted) & np.isfinite(array)
        )
        if lost.any():
            first = tuple(np.argwhere(lost)[0])
            size = "small" if array[first] < 0 else "large"
            return array, f"row {first[0]} has {array[first]}, which is too {size}"
    return fitted, ""
