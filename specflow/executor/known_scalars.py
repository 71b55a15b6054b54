"""Scalars of a program whose values are known, and which of them are inputs."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Literal, Var
from numpy.typing import NDArray

from specflow.executor.array_types import Equation
from specflow.executor.jaxprs import is_jaxpr
from specflow.executor.moved_literals import LiteralPlace
from specflow.executor.scalar_folding import fold, is_neutral

__all__ = [
    "Inputs",
    "Scalar",
    "Term",
    "Value",
    "called_jaxprs",
    "operation",
    "reading",
    "scalar_aval",
    "spread",
    "term_of",
]

_LARGEST_INT = 2**24
"""Integers below it are floats of 32 bits, exactly."""


@dataclasses.dataclass(eq=False)
class Scalar:
    """A scalar whose value is known: a literal, or computed of literals alone."""

    value: Any
    """An array of numpy, in its dtype."""
    moved: bool
    """Whether it differs between configs that share the program."""
    aval: Any
    variable: Var | None = None
    """It, as read from the input; None: not read so far."""

    @property
    def is_input(self) -> bool:
        """Whether it is read from the input; else it is a constant."""
        dtype = self.value.dtype
        fits = (jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize <= 4) or (
            dtype == np.int32 and abs(int(self.value)) < _LARGEST_INT
        )
        return self.moved and fits and not is_neutral(self.value)


Value: TypeAlias = Scalar | Var | Literal


class Term(NamedTuple):
    """A product `of * factor` (operation `mul`), or a sum `of + factor` (`add`)."""

    operation: str
    of: Var
    factor: Scalar


class Inputs:
    """Values of the input array so far.

    Args:
        places: of the literals that move.
        replaced: place -> a literal that takes the place of the jaxpr's own.
    """

    def __init__(
        self,
        places: frozenset[LiteralPlace],
        replaced: Mapping[LiteralPlace, Literal] | None = None,
    ):
        self.places = places
        self._replaced = replaced or {}
        self._read: set[LiteralPlace] = set()
        self._values: list[Any] = []
        self._arrays: list[Var] = []
        self._contains: dict[int, bool] = {}

    def literal(self, literal: Literal, place: LiteralPlace) -> Literal:
        """Returns the literal of a place: the jaxpr's own, or what replaces it."""
        if place not in self._replaced:
            return literal
        self._read.add(place)
        return self._replaced[place]

    @property
    def are_replaced(self) -> bool:
        """Whether each literal that is to be replaced has been asked for."""
        return self._read == self._replaced.keys()

    def new_array(self) -> Var:
        """Makes a variable of the array; its length is known when all are finished."""
        self._arrays.append(Var(ShapedArray((0,), jnp.float32)))
        return self._arrays[-1]

    def add(self, value: Any) -> int:
        """Adds a value; returns its index."""
        self._values.append(value)
        return len(self._values) - 1

    def finished(self) -> NDArray[np.float32]:
        """float32[n]: all values."""
        values = np.array(self._values, np.float32)
        for variable in self._arrays:
            variable.aval = ShapedArray(values.shape, jnp.float32)
        return values

    def contains(self, jaxpr: Any) -> bool:
        """Returns whether a jaxpr, or one that it calls, has a literal that moves."""
        jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
        if id(jaxpr) not in self._contains:
            self._contains[id(jaxpr)] = self._has_place(jaxpr, jaxpr.outvars) or any(
                self._has_place(equation, equation.invars)
                or any(map(self.contains, called_jaxprs(equation)))
                for equation in jaxpr.eqns
            )
        return self._contains[id(jaxpr)]

    def _has_place(self, where: Any, atoms: Sequence[Any]) -> bool:
        return any((id(where), index) in self.places for index in range(len(atoms)))


def term_of(
    name: str, operands: Sequence[Value], scalars: Mapping[int, Scalar]
) -> Term | None:
    """Returns an equation as a product or a sum with a known scalar, if it is one."""
    if len(scalars) != 1 or name not in ("mul", "add", "sub", "div"):
        return None
    ((index, scalar),) = scalars.items()
    of = operands[1 - index]
    if not isinstance(of, Var) or not jnp.issubdtype(scalar.value.dtype, jnp.floating):
        return None
    if name in ("mul", "add"):
        return Term(name, of, scalar)
    if index == 0:
        return None
    dtype = scalar.value.dtype
    if name == "sub":
        value = fold("neg", {}, [scalar.value], dtype)
    elif is_neutral(scalar.value):
        return None
    else:
        value = fold("div", {}, [np.ones((), dtype), scalar.value], dtype)
    factor = Scalar(value, scalar.moved, scalar_aval(dtype))
    return Term("add" if name == "sub" else "mul", of, factor)


def called_jaxprs(equation: Equation) -> list[Any]:
    """Returns the jaxprs that an equation calls."""
    values: list[Any] = []
    for value in equation.params.values():
        values += value if isinstance(value, tuple | list) else [value]
    return [value for value in values if is_jaxpr(value)]


def scalar_aval(dtype: Any) -> Any:
    """Returns the abstract value of a scalar."""
    return ShapedArray((), dtype)


@functools.cache
def operation(name: str, dtype: Any) -> Equation:
    """Returns a product (`mul`) or a sum (`add`) of two scalars."""
    function = lax.mul if name == "mul" else lax.add
    scalar = jax.ShapeDtypeStruct((), dtype)
    return jax.make_jaxpr(function)(scalar, scalar).jaxpr.eqns[0]


@functools.cache
def spread(shape: tuple[int, ...], dtype: Any) -> Equation:
    """Returns an equation that repeats a scalar."""
    function = functools.partial(lax.broadcast_in_dim, broadcast_dimensions=())
    jaxpr = jax.make_jaxpr(functools.partial(function, shape=shape))
    return jaxpr(jax.ShapeDtypeStruct((), dtype)).jaxpr.eqns[0]


@functools.cache
def reading(dtype: Any) -> list[Equation]:
    """Equations that read an element of float32[n] as a scalar of a dtype."""

    def read(array: jax.Array) -> jax.Array:
        element = lax.squeeze(lax.slice(array, (0,), (1,)), (0,))
        return element if dtype == jnp.float32 else element.astype(dtype)

    return jax.make_jaxpr(read)(jax.ShapeDtypeStruct((1,), jnp.float32)).jaxpr.eqns
