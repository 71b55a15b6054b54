"""Refusal of networks that leave nothing of their input."""

from specflow.diagnostics.errors import Diagnostic, spec_error
from specflow.executor.array_types import Jaxpr
from specflow.executor.jaxprs import walk
from specflow.runtime.typing import describe

__all__ = ["refuse_empty"]


def refuse_empty(jaxpr: Jaxpr, rows: int) -> None:
    """Refuses a model that leaves nothing of a batch: an image of 0 x 0.

    Raises:
        SpecError: an operation returns rows without values, for rows with values.
    """
    for equation in walk(jaxpr):
        taken = [getattr(value.aval, "shape", ()) for value in equation.invars]
        for value in equation.outvars:
            shape = getattr(value.aval, "shape", ())
            if shape[:1] != (rows,) or 0 not in shape:
                continue
            if any(0 in form for form in taken) or not rows:
                continue
            full = next((it for it in equation.invars if it.aval.ndim), value)
            raise spec_error(
                Diagnostic(
                    "model",
                    f"{_operation(equation.primitive.name)} leaves nothing of its "
                    "input: "
                    f"{describe(full.aval)} becomes {describe(value.aval)}",
                    expected="at least one value of each row",
                    hint="Use fewer or smaller pools and strides, or padding 'SAME'.",
                    code="model-size",
                )
            )


def _operation(primitive: str) -> str:
    """Returns the field's name of an operation that makes images smaller."""
    if primitive.startswith("reduce_window"):
        return "a pool"
    return "a convolution" if primitive.startswith("conv") else f"{primitive}"
