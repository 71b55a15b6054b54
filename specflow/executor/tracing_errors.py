"""What is reported where a model function cannot be traced."""

import jax

from specflow.contract import Mode
from specflow.diagnostics.errors import Diagnostic
from specflow.executor.array_types import Features, Labels
from specflow.model import LinenModel, Model, SplitModel
from specflow.runtime.typing import describe, leaves

__all__ = ["failed", "misplaced", "nothing_to_train"]


def failed(
    name: str, mode: Mode, features: Features, labels: Labels, error: Exception
) -> Diagnostic:
    """Reports a function that raised, with the forms of its arguments."""
    given = ", ".join(
        f"{path} {describe(leaf)}"
        for path, leaf in leaves({"features": features, "labels": labels})
        if leaf is not None
    )
    text, hint = str(error).strip() or repr(error), f"It was given {given}."
    if isinstance(error, jax.errors.TracerArrayConversionError):
        # The rest lists the origins of tracers, of which there are many.
        text = text.partition("\n")[0]
        hint += (
            " NumPy and the metrics of specflow need values: pass tensors through "
            "eval_metrics=(metric_fn, tensors). In the model function use jax.numpy."
        )
    return Diagnostic(
        name,
        f"failed while traced for mode '{mode}': {type(error).__name__}: {text}",
        hint=hint,
        kind=TypeError if isinstance(error, TypeError) else ValueError,
        code="model-fn",
    )


def misplaced(name: str, model: Model) -> Diagnostic:
    """Reports a call of a Linen layer that has no scope for its variables."""
    if isinstance(model, SplitModel):
        where = ", and its model is an NNX module"
        hint = (
            "Leave `model` out of Estimator to create layers inline, or use NNX layers."
        )
    elif model.is_inline:
        where = " that was created outside of it"
        hint = "Create the layer where it is called, as in flax.linen.Dense(10)(x)."
    else:
        where = " that is not part of its model"
        hint = (
            "Create it in the model, or leave `model` out of Estimator and create "
            "all layers inline."
        )
    return Diagnostic(
        name, f"calls a Flax Linen layer{where}", hint=hint, code="linen-layer"
    )


def nothing_to_train(name: str, model: Model) -> Diagnostic:
    """Reports a model without parameters."""
    if isinstance(model, LinenModel) and model.is_inline:
        why = "it creates no layers, and it has no model"
        hint = "Create a layer in it, such as flax.linen.Dense(10)(x), or pass model=."
    else:
        why = "its model has none, or was not called"
        hint = "Call a model that has parameters."
    return Diagnostic(
        name, f"has no parameters to train: {why}", hint=hint, code="no-parameters"
    )
