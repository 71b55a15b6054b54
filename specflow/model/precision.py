"""Mixed precision: the dtype of layers without a `dtype` of their own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flax import linen, nnx
from jax.typing import DTypeLike

__all__ = ["computing_in"]


@contextmanager
def computing_in(dtype: DTypeLike | None, module: Any = None) -> Iterator[None]:
    """Makes layers of Flax compute in a dtype; parameters keep theirs.

    A layer without a `dtype` (in Flax the dtype of the computation, to which inputs and
    parameters are cast) gets this one; other layers keep theirs. Normalizations still
    reduce in float32, as in Flax, and embeddings are cast after the lookup, so that the
    gradient of a row is accumulated in the parameter's dtype. Arithmetic outside of
    layers is unchanged: it has the dtype of its operands.

    Args:
        dtype: of the computation; None changes nothing.
        module: an NNX module, whose layers get the dtype permanently. Layers of Linen
            get it when they are called, wherever they are made.

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
        # Linen's modules are frozen; Flax made this copy for the call.
        object.__setattr__(layer, "dtype", dtype)
        try:
            return function(*args, **kwargs)
        finally:
            if isinstance(layer, linen.Embed):
                object.__setattr__(layer, "dtype", None)  # For the next lookup.

    with linen.intercept_methods(call):
        yield
