"""JSON form of states: those of hooks, and of metrics within an evaluation."""

import base64
import dataclasses
import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

import jax
import numpy as np

from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.runtime.typing import describe

__all__ = ["Names", "decoded", "encoded", "names_in"]

Names = Mapping[str, Any]
"""Qualified name -> the class or function: what a state may consist of."""


def encoded(value: Any, *, where: str = "the state", records: bool = False) -> Any:
    """Converts a state to JSON values, from which `decoded` rebuilds it exactly.

    Args:
        value: None, numbers, texts, bytes, fractions, NumPy and JAX arrays; lists,
            tuples, sets and dicts of them.
        where: name of the state, for the message.
        records: whether dataclasses, named tuples, metrics, and functions by name are
            allowed too; `decoded` needs the names of all.

    Raises:
        DataError: it holds anything else.

    >>> encoded({"count": 3, "best": float("inf"), "shape": (1, 2)})
    {'count': 3, 'best': {'$float': 'inf'}, 'shape': {'$tuple': [1, 2]}}
    """

    def each(values: Iterable[Any]) -> list[Any]:
        return [encoded(item, where=where, records=records) for item in values]

    if value is None or (isinstance(value, bool | int | str) and _is_builtin(value)):
        return value
    if isinstance(value, float) and _is_builtin(value):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return _encoded_array(value, where)
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, Fraction):
        return {"$fraction": str(value)}
    if records and (fields := _fields(value)) is not None:
        named = dict(zip(fields, each(fields.values()), strict=True))
        return {"$class": _name(type(value)), "fields": named}
    if isinstance(value, Mapping):
        if all(type(key) is str and not key.startswith("$") for key in value):
            return dict(zip(value, each(value.values()), strict=True))
        return {"$dict": [each(pair) for pair in value.items()]}
    if isinstance(value, list):
        return each(value)
    for kind in (tuple, frozenset, set):
        if isinstance(value, kind):
            return {f"${kind.__name__}": each(value)}
    if records and hasattr(value, "__qualname__"):
        return {"$name": _name(value)}
    raise _unsuited(value, where)


def decoded(value: Any, names: Names | None = None) -> Any:
    """Rebuilds a state from the result of `encoded`.

    Nothing is imported by a name in it: a checkpoint cannot choose what code runs.

    Args:
        value: from `encoded`.
        names: classes and functions that it may name; from `names_in`.

    Raises:
        LookupError: it names another one.

    >>> decoded({"shape": {"$tuple": [1, 2]}})
    {'shape': (1, 2)}
    """
    if isinstance(value, list):
        return [decoded(item, names) for item in value]
    if not isinstance(value, Mapping):
        return value
    match next(iter(value.items()), None):
        case ("$float", text):
            return float(text)
        case ("$array", data):
            dtype, shape = np.dtype(value["dtype"]), value["shape"]
            array = np.frombuffer(base64.b64decode(data), dtype).reshape(shape).copy()
            return array[()] if value["is_scalar"] else array
        case ("$bytes", text):
            return base64.b64decode(text)
        case ("$fraction", text):
            return Fraction(text)
        case ("$class", name):
            return _rebuilt((names or {})[name], decoded(value["fields"], names))
        case ("$dict", pairs):
            return {decoded(key, names): decoded(item, names) for key, item in pairs}
        case ("$tuple" | "$frozenset" | "$set" as kind, items):
            kinds = {"$tuple": tuple, "$frozenset": frozenset, "$set": set}
            return kinds[kind](decoded(item, names) for item in items)
        case ("$name", name):
            return (names or {})[name]
    return {key: decoded(item, names) for key, item in value.items()}


def names_in(value: Any) -> dict[str, Any]:
    """Returns the classes and functions that a state consists of, by qualified name."""
    if (fields := _fields(value)) is not None:
        found = {_name(type(value)): type(value)}
        members = list(fields.values())
    elif isinstance(value, Mapping):
        found, members = {}, [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        found, members = {}, list(value)
    elif hasattr(value, "__qualname__"):
        return {_name(value): value}
    else:
        return {}
    for member in members:
        found |= names_in(member)
    return found


def _is_builtin(value: object) -> bool:
    return type(value).__module__ == "builtins"


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _fields(value: Any) -> dict[str, Any] | None:
    """Returns the attributes of a record by name; None for any other value."""
    if isinstance(value, type):
        return None
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return value._asdict()  # type: ignore[attr-defined]
    methods = (getattr(value, name, None) for name in ("merge", "compute"))
    if dataclasses.is_dataclass(value) or all(map(callable, methods)):
        slots = (
            name
            for base in type(value).__mro__
            for name in _as_names(base.__dict__.get("__slots__", ()))
        )
        attributes = {
            name: getattr(value, name) for name in slots if hasattr(value, name)
        }
        return attributes | getattr(value, "__dict__", {})
    return None


def _as_names(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _rebuilt(kind: Any, fields: Mapping[str, Any]) -> Any:
    if issubclass(kind, tuple):
        return kind(**fields)
    record = object.__new__(kind)
    for name, field in fields.items():
        object.__setattr__(record, name, field)  # Most are frozen.
    return record


def _encoded_array(value: Any, where: str) -> dict[str, Any]:
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise _unsuited(array, where)
    return {
        "$array": base64.b64encode(array.tobytes()).decode(),
        # The name of an extension such as bfloat16; elsewhere with the byte order.
        "dtype": array.dtype.name if array.dtype.kind == "V" else array.dtype.str,
        "shape": list(array.shape),
        "is_scalar": isinstance(value, np.generic),
    }


def _unsuited(value: Any, where: str) -> DataError:
    return DataError(
        Diagnostic(
            where,
            f"holds {describe(value)}",
            expected="numbers, texts, bytes, arrays of numbers, and lists, tuples, "
            "sets and dicts of them",
            hint="Let the state hold what is needed to rebuild it.",
            code="hook-state",
        )
    )
