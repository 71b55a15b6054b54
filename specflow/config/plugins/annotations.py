"""Field types for Python annotations, as far as YAML can represent them."""

import types
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Mapping,
    MutableMapping,
    MutableSequence,
    Sequence,
)
from inspect import Parameter, isclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import Field

from specflow.config.base import Config, UserPath
from specflow.runtime.filesystem import expanded

__all__ = ["cast_of", "field_type", "has_none", "is_array"]

_PLAIN = (bool, int, float, str)
_LISTS = (
    list, tuple, set, frozenset, Sequence, MutableSequence, Collection, Iterable
)  # fmt: skip
_MAPPINGS = (dict, Mapping, MutableMapping)
_NONE = type(None)
_ARRAYS = (("jax", "Array"), ("numpy", "ndarray"))
"""Package and name of array classes."""


def field_type(annotation: Any) -> Any:
    """Field type for an annotation; None if YAML cannot represent its values.

    A tuple, set or sequence is a list in YAML, and a path is text; members of a union
    that YAML cannot represent are dropped.

    >>> field_type(tuple[int, ...]), field_type(Parameter.empty)
    (list[int], typing.Any)
    >>> field_type(int | Callable[[int], int] | None) == (int | None)
    True
    >>> field_type(complex)
    """
    if annotation in (Parameter.empty, Any, object):
        return Any
    if annotation in _PLAIN:
        return annotation
    if annotation is Path:
        return UserPath
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        kind = field_type(inner[0])
        return None if kind is None else Annotated[(kind, *annotation.__metadata__)]
    if origin is Literal:
        return annotation
    if origin in (Union, types.UnionType):
        return _union(inner)
    if origin in _LISTS or annotation in _LISTS:
        return _list(origin, inner)
    if origin in _MAPPINGS or annotation in _MAPPINGS:
        kind = field_type(inner[1]) if inner else Any
        keys = inner[0] if inner else str
        return None if kind is None or keys not in (str, Any) else dict[str, kind]
    return (
        annotation if isclass(annotation) and issubclass(annotation, Config) else None
    )


def is_array(annotation: Any) -> bool:
    """True if the annotation is of an array; imports no array library.

    >>> import numpy as np
    >>> is_array(np.ndarray), is_array(np.ndarray | None), is_array(float)
    (True, True, False)
    """
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [part for part in get_args(annotation) if part is not _NONE]
        return bool(parts) and all(map(is_array, parts))
    if get_origin(annotation) is Annotated:
        return is_array(get_args(annotation)[0])
    kind = get_origin(annotation) or annotation
    root = getattr(kind, "__module__", "").partition(".")[0]
    name = getattr(kind, "__name__", "").rpartition(".")[2]
    named = (root, name) in _ARRAYS
    # `Float[Array, "b c"]` of jaxtyping has these attributes.
    return named or (hasattr(kind, "array_type") and hasattr(kind, "dim_str"))


def has_none(annotation: Any) -> bool:
    """True if the annotation includes None."""
    union = get_origin(annotation) in (Union, types.UnionType)
    return union and _NONE in get_args(annotation)


def cast_of(annotation: Any) -> Callable[[Any], Any] | None:
    """Converts a YAML value to the argument; None if no conversion is needed.

    >>> cast_of(tuple[int, ...] | None)([1, 2])
    (1, 2)
    """
    if get_origin(annotation) is Annotated:
        return cast_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [part for part in get_args(annotation) if part is not _NONE]
        return cast_of(parts[0]) if len(parts) == 1 else None
    kind = get_origin(annotation) or annotation
    if kind is Path:
        return expanded
    return kind if kind in (tuple, set, frozenset) else None


def _union(members: tuple[Any, ...]) -> Any:
    kinds = [field_type(member) for member in members if member is not _NONE]
    known = [kind for kind in kinds if kind is not None]
    if not known or Any in known:
        return Any if known else None
    return Union[(*known, *([None] if _NONE in members else []))]


def _list(origin: Any, inner: tuple[Any, ...]) -> Any:
    """Field type of a list, or of a type that is constructed from one."""
    if not inner:
        return list[Any]
    fixed = origin is tuple and inner[-1] is not ...
    members = inner if fixed else inner[:1]
    kinds = [field_type(member) for member in dict.fromkeys(members)]
    if None in kinds:
        return None
    # Each element of a tuple has its own type; here, any of them.
    of_any = Any if Any in kinds else Union[tuple(kinds)]  # noqa: UP007
    if not fixed:
        return list[of_any]
    size = Field(min_length=len(inner), max_length=len(inner))
    return Annotated[list[of_any], size]
