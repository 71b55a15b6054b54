"""Mixed precision: what layers compute in that say no type of their own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flax import linen, nnx
from jax.typing import DTypeLike

__all__ = ["computing_in"]


@contextmanager
def computing_in(dtype: DTypeLike | None, module: Any = None) -> Iterator[None]:
    """Lets layers of Flax compute in a type, their parameters as they are.

    A layer without a `dtype` (Flax's own word: the type of the computation, to which it
    casts its inputs and parameters) gets this one; a layer that has one keeps it.
    Normalizations go on to reduce in float32, as Flax has them do, and embeddings are
    cast after they were looked up, so that the gradient of a row is summed in the type
    of the parameter. Arithmetic outside of layers is not touched: it is of the type of
    what goes into it.

    Args:
        dtype: the type; None changes nothing.
        module: an NNX module, its layers are given the type for good. Layers of Linen
            get it as they are called, wherever they are made.

    >>> import jax.numpy as jnp
    >>> with computing_in("bfloat16", layer := nnx.Linear(2, 3, rngs=nnx.Rngs(0))):
    ...     layer(jnp.ones((1, 2))).dtype, layer.kernel.dtype
    (dtype(bfloat16), dtype('float32'))
    """
    if dtype is None:
        yield
        return
    if isinstance(module, nnx.Module):
        layer: Any
        for _, layer in nnx.iter_modules(module):
            if vars(layer).get("dtype", dtype) is None:
                layer.dtype = dtype

    def call(function: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        layer = context.module
        if getattr(layer, "dtype", dtype) is not None:
            return function(*args, **kwargs)
        if isinstance(layer, linen.Embed) and context.method_name == "__call__":
            return function(*args, **kwargs).astype(dtype)
        # Linen's modules are frozen; this one is a copy that Flax made to call it.
        object.__setattr__(layer, "dtype", dtype)
        try:
            return function(*args, **kwargs)
        finally:
            if isinstance(layer, linen.Embed):
                object.__setattr__(layer, "dtype", None)  # For the next lookup.

    with linen.intercept_methods(call):
        yield
