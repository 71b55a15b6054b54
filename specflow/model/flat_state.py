"""Flat state: plain arrays by dotted path, in place of a module's own tree."""

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
    """Dotted name -> path.

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
    """Name -> kind of generator, of those values that are random keys."""
    return {
        name: _key_impl(value)
        for name, value in values.items()
        if jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    }


def _key_impl(key: Any) -> str:
    # Asked of a tracer, because JAX cannot tell it of an abstract key.
    names: list[str] = []
    jax.eval_shape(lambda key: names.append(str(jax.random.key_impl(key))), key)
    return names[0]
