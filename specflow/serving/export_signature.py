"""What an exported model answers: names, shapes and dtypes, and what suits them."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import ml_dtypes  # noqa: F401 - teaches NumPy the names of bfloat16 and its like
import numpy as np

from specflow.diagnostics.errors import Diagnostic, ExportError, did_you_mean, nearest
from specflow.runtime.typing import describe

__all__ = ["BATCH", "Function", "Signature", "TensorForm"]

BATCH = "b"
"""How a shape spells the number of rows, which each call chooses."""

_WIDE = {"int64": "int32", "uint64": "uint32", "float64": "float32"}
"""What NumPy makes of Python's numbers -> what JAX makes of that."""


@dataclasses.dataclass(frozen=True, slots=True)
class TensorForm:
    """Shape and dtype of an input or an output.

    >>> str(TensorForm(("b", 28, 28), "float32"))
    'float32[b,28,28]'
    """

    shape: tuple[int | str, ...]
    """Sizes; the number of rows is `"b"`."""
    dtype: str
    """NumPy's name of it, such as `bfloat16`."""

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        return cls(tuple(plain["shape"]), plain["dtype"])


@dataclasses.dataclass(frozen=True, slots=True)
class Function:
    """One compiled-elsewhere program of a signature."""

    file: str
    """Name of its file, a serialized `jax.export`."""
    rows: int | None
    """The rows that it takes; None: any number."""


@dataclasses.dataclass(frozen=True, slots=True)
class Signature:
    """One question that an exported model answers."""

    name: str
    method: str
    """`predict`, `classification` or `regression`."""
    inputs: dict[str, TensorForm]
    """What to hand in, by name; of a nested input, its dotted path."""
    outputs: dict[str, TensorForm]
    """What comes back, by name; of a nested output, its dotted path."""
    functions: tuple[Function, ...]
    """The program of any number of rows, or several of fixed ones, the fewest first."""
    class_names: tuple[str, ...] | None = None
    """Names of the classes, in order."""

    def __str__(self) -> str:
        inputs, outputs = (
            ", ".join(f"{name}: {form}" for name, form in tensors.items())
            for tensors in (self.inputs, self.outputs)
        )
        return f"{self.name}({inputs}) -> {outputs}  [{self.method}]"

    def to_json(self) -> dict[str, Any]:
        """This signature as plain JSON values, without its name."""
        plain = dataclasses.asdict(self)
        del plain["name"]
        return plain

    @classmethod
    def from_json(cls, name: str, plain: Mapping[str, Any]) -> Self:
        """The signature that `to_json` made plain."""
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

    def accept(self, given: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The inputs as the arrays that the program takes, in its order.

        Wide numbers that NumPy makes of Python's (`int64`, `float64`) are narrowed as
        JAX does it, if they fit; every other conversion is left to the caller.

        Args:
            given: arrays, or what `np.asarray` makes arrays of, by name.

        Raises:
            ExportError: names, shapes, dtypes or numbers of rows are wrong; all of it
                is told at once.
        """
        diagnostics = [
            self._diagnostic(name, "is no input", expected=", ".join(self.inputs),
                        hint=did_you_mean(nearest(name, self.inputs)))
            for name in given if name not in self.inputs
        ]  # fmt: skip
        accepted: dict[str, np.ndarray] = {}
        for name, form in self.inputs.items():
            if name not in given:
                diagnostics.append(
                    self._diagnostic(name, "is missing", expected=str(form))
                )
                continue
            array, problem = _fitted(given[name], form)
            if problem:
                diagnostics.append(self._diagnostic(name, problem, expected=str(form)))
            accepted[name] = array
        rows = {name: len(array) for name, array in accepted.items() if array.ndim}
        if not diagnostics and len(set(rows.values())) > 1:
            found = ", ".join(f"{name} has {count}" for name, count in rows.items())
            diagnostics.append(
                self._diagnostic("", found, expected="as many rows in every input")
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
    """The value as an array of this form, and what is wrong with it, if anything is."""
    try:
        array = np.asarray(value)
    except ValueError:
        return np.empty(0), "is no array: its rows differ in length"
    suits = len(array.shape) == len(form.shape) and all(
        wanted in (BATCH, size)
        for wanted, size in zip(form.shape, array.shape, strict=True)
    )
    narrowed = form.dtype if _WIDE.get(array.dtype.name) == form.dtype else None
    if not suits or form.dtype not in (array.dtype.name, narrowed):
        return array, f"is {describe(array)}"
    if array.shape[:1] == (0,):
        return array, f"is {describe(array)}: no rows"
    with np.errstate(over="ignore"):
        fitted = array.astype(form.dtype, copy=False)
    if narrowed:
        # Whole numbers must stay what they are; others are rounded, but stay finite.
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
