"""Annotations of Python as types of fields: what of them YAML can hold."""

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
"""Package and name of the classes of arrays."""


def field_type(annotation: Any) -> Any:
    """The type of a field for an annotation; None where YAML can hold no such value.

    A tuple, a set or a sequence is a list in YAML, and a path is text; of a union
    counts what YAML can hold.

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
    """Whether a value is a tensor, by its annotation; no array library is loaded.

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
    # `Float[Array, "b c"]` of jaxtyping says what it is of.
    return named or (hasattr(kind, "array_type") and hasattr(kind, "dim_str"))


def has_none(annotation: Any) -> bool:
    """Whether None is a value."""
    union = get_origin(annotation) in (Union, types.UnionType)
    return union and _NONE in get_args(annotation)


def cast_of(annotation: Any) -> Callable[[Any], Any] | None:
    """What makes an argument of a value of YAML, where that is not the same.

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
    """Of a list, or of what is made of one."""
    if not inner:
        return list[Any]
    fixed = origin is tuple and inner[-1] is not ...
    members = inner if fixed else inner[:1]
    kinds = [field_type(member) for member in dict.fromkeys(members)]
    if None in kinds:
        return None
    # Each place of a tuple is of its own type; here, of any of theirs.
    of_any = Any if Any in kinds else Union[tuple(kinds)]  # noqa: UP007
    if not fixed:
        return list[of_any]
    size = Field(min_length=len(inner), max_length=len(inner))
    return Annotated[list[of_any], size]
