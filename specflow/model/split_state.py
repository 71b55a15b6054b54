"""Converts any user model to the form that the executor uses."""

from collections.abc import Callable
from typing import Any, TypeAlias

from flax import linen, nnx
from jax.typing import DTypeLike

from specflow.diagnostics.errors import Diagnostic, spec_error
from specflow.model.linen import LinenModel
from specflow.model.nnx_module import BuiltLinen, SplitModel
from specflow.runtime.typing import describe

__all__ = ["Model", "split_model"]

Model: TypeAlias = SplitModel | LinenModel


def split_model(
    model: Callable[[nnx.Rngs], Any] | nnx.Module | linen.Module | None,
    *,
    compute_dtype: DTypeLike | None = None,
) -> Model:
    """Splits a model into flat dicts of arrays.

    Args:
        model: a module of NNX or Linen, or a function of random streams that builds
            one. None: the model function makes layers inline.
        compute_dtype: dtype of layers without a `dtype` of their own.

    Raises:
        SpecError: it is neither.

    >>> type(split_model(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))).__name__
    'SplitModel'
    >>> type(split_model(linen.Dense(3))).__name__
    'LinenModel'
    """
    if model is None or isinstance(model, linen.Module):
        return LinenModel(model, compute_dtype=compute_dtype)
    is_linen_class = isinstance(model, type) and issubclass(model, linen.Module)
    if is_linen_class or not (isinstance(model, nnx.Module) or callable(model)):
        name = getattr(model, "__name__", "")
        raise spec_error(
            Diagnostic(
                "model",
                f"got {f'the class {name}' if is_linen_class else describe(model)}",
                expected="a module of Flax, a function rngs -> module, or None",
                hint=f"Make one: {name}(...)." if is_linen_class else "",
                kind=TypeError,
                code="model-type",
            )
        )
    try:
        return SplitModel(model, compute_dtype=compute_dtype)
    except BuiltLinen:
        # Built again: the first one may hold traced random streams.
        return LinenModel(model(nnx.Rngs(0)), compute_dtype=compute_dtype)
