"""Comparison of two jaxprs that differ in the values of literals."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.extend.core import Literal

from specflow.executor.array_types import Jaxpr
from specflow.executor.jaxprs import is_jaxpr

__all__ = ["LiteralPlace", "StructureDiffers", "literal_value", "moved_literals"]

LiteralPlace: TypeAlias = tuple[int, int]
"""`id` of an equation, and the position of the literal among its inputs; or `id` of a
jaxpr, and the position among its results."""


class StructureDiffers(Exception):
    """Two jaxprs differ in more than the values of literals."""


def moved_literals(jaxpr: Jaxpr, other: Jaxpr) -> dict[LiteralPlace, Literal]:
    """Returns the literals whose values differ between two jaxprs.

    Functions that both call are compared too. Constants of closed jaxprs and rules of
    derivatives are not compared: they stay constants.

    Args:
        jaxpr: open or closed; the places are in it, valid as long as it exists.
        other: a trace of the same function with other numbers.

    Returns:
        Place in `jaxpr` -> the literal of `other`.

    Raises:
        StructureDiffers: the jaxprs differ in operations, shapes or parameters.

    >>> first = jax.make_jaxpr(lambda x: x * 0.5 + 7)(1.0)
    >>> second = jax.make_jaxpr(lambda x: x * 0.3 + 7)(1.0)
    >>> {place[1]: float(other.val)
    ...  for place, other in moved_literals(first, second).items()}
    {1: 0.3}
    """
    return dict(_moved(jaxpr, other, set()))


def literal_value(literal: Literal) -> np.ndarray[Any, Any]:
    """Returns the value of a literal, rounded once to its dtype."""
    return np.asarray(literal.val).astype(literal.aval.dtype)  # type: ignore[union-attr]


def _moved(
    jaxpr: Any, other: Any, seen: set[tuple[int, int]]
) -> Iterator[tuple[LiteralPlace, Literal]]:
    jaxpr, other = getattr(jaxpr, "jaxpr", jaxpr), getattr(other, "jaxpr", other)
    pair = id(jaxpr), id(other)
    if jaxpr is other or pair in seen:
        return
    seen.add(pair)
    numbers: tuple[dict[Any, int], dict[Any, int]] = {}, {}

    def number(variables: dict[Any, int], variable: Any) -> int:
        return variables.setdefault(variable, len(variables))

    def check_same(ours: Any, others: Any) -> None:
        if len(ours) != len(others):
            raise StructureDiffers("number of variables")
        for one, two in zip(ours, others, strict=True):
            if _form(one) != _form(two):
                raise StructureDiffers(f"{_form(one)} and {_form(two)}")
            if not isinstance(one, Literal) and (
                number(numbers[0], one) != number(numbers[1], two)
            ):
                raise StructureDiffers("dataflow")

    check_same(
        [*jaxpr.constvars, *jaxpr.invars],
        [*other.constvars, *other.invars],
    )
    if len(jaxpr.eqns) != len(other.eqns):
        raise StructureDiffers("number of equations")
    for equation, twin in zip(jaxpr.eqns, other.eqns, strict=True):
        if equation.primitive is not twin.primitive:
            raise StructureDiffers(f"{equation.primitive} and {twin.primitive}")
        check_same(equation.invars, twin.invars)
        check_same(equation.outvars, twin.outvars)
        yield from _unequal(equation, equation.invars, twin.invars)
        yield from _moved_in_params(equation.params, twin.params, seen)
    check_same(jaxpr.outvars, other.outvars)
    yield from _unequal(jaxpr, jaxpr.outvars, other.outvars)


def _unequal(
    where: Any, atoms: Any, others: Any
) -> Iterator[tuple[LiteralPlace, Literal]]:
    for index, (one, two) in enumerate(zip(atoms, others, strict=True)):
        if isinstance(one, Literal) and not _equal_bits(one, two):
            yield (id(where), index), two


def _moved_in_params(
    params: dict[str, Any], others: dict[str, Any], seen: set[tuple[int, int]]
) -> Iterator[tuple[LiteralPlace, Literal]]:
    if params.keys() != others.keys():
        raise StructureDiffers("names of parameters")
    for name, value in params.items():
        values = value if isinstance(value, tuple | list) else (value,)
        twins = others[name]
        twins = twins if isinstance(twins, tuple | list) else (twins,)
        if len(values) != len(twins):
            raise StructureDiffers(f"length of {name}")
        for one, two in zip(values, twins, strict=True):
            if is_jaxpr(one) and is_jaxpr(two):
                yield from _moved(one, two, seen)
            elif not _same_param(one, two):
                raise StructureDiffers(f"{name}: {one} and {two}")


def _form(atom: Any) -> tuple[Any, ...]:
    aval = atom.aval
    shape, dtype = getattr(aval, "shape", None), getattr(aval, "dtype", None)
    return isinstance(atom, Literal), type(aval), shape, dtype


def _equal_bits(one: Literal, two: Literal) -> bool:
    if one.val is two.val:
        return True
    return literal_value(one).tobytes() == literal_value(two).tobytes()


def _same_param(one: Any, two: Any) -> bool:
    if one is two:
        return True
    if isinstance(one, np.ndarray | jax.Array) or isinstance(
        two, np.ndarray | jax.Array
    ):
        return np.array_equal(one, two, equal_nan=False)
    if callable(one) and callable(two) and not isinstance(one, type):
        return True  # Rules of derivatives, made anew in each trace.
    # By text too: NaN differs from itself.
    return bool(one == two) or repr(one) == repr(two)
