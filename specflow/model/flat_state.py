"""Flat state: arrays by dotted path, instead of a module's tree."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from specflow.diagnostics.errors import Diagnostic, spec_error

__all__ = ["FlatState", "by_name", "key_impls"]

FlatState: TypeAlias = dict[str, jax.Array]
"""Plain arrays by dotted path, such as `layers.0.kernel`."""

Path: TypeAlias = tuple[Any, ...]


def by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """Maps dotted names to paths.

    Raises:
        SpecError: two paths have the same name.

    >>> by_name([("layers", 0, "kernel")])
    {'layers.0.kernel': ('layers', 0, 'kernel')}
    """
    named: dict[str, Path] = {}
    for path in paths:
        name = ".".join(map(str, path))
        if name in named:
            raise spec_error(
                Diagnostic(
                    "model",
                    f"two variables have the path {name}: {named[name]} and {path}",
                    hint="Take the dots out of the names.",
                    code="model-names",
                )
            )
        named[name] = path
    return named


def key_impls(values: Mapping[str, Any]) -> dict[str, str]:
    """Maps the names of random keys to their PRNG implementations."""
    return {
        name: _key_impl(value)
        for name, value in values.items()
        if jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    }


def _key_impl(key: Any) -> str:
    # Needs a tracer: JAX does not report it for an abstract key.
    names: list[str] = []
    jax.eval_shape(lambda key: names.append(str(jax.random.key_impl(key))), key)
    return names[0]
