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
from specflow.executor.moved_literals import LiteralPlace, literal_value
from specflow.executor.scalar_folding import fold, is_neutral

__all__ = [
    "Inputs",
    "Scalar",
    "Source",
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
class Source:
    """How a scalar follows from literals that move."""

    value: Any
    """An array of numpy, in its dtype: the scalar with the literals of the jaxpr."""
    place: LiteralPlace | None
    """Of the literal that it is; None: it is computed."""
    operation: str = ""
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    operands: Sequence[Any] = ()
    """Sources, and arrays of numpy that do not move."""

    def again(
        self,
        replaced: Mapping[LiteralPlace, Literal],
        values: "Mapping[Source, Any]",
    ) -> Any:
        """Returns the scalar with other literals.

        Args:
            replaced: place -> the other literal.
            values: the scalars of its operands, with the other literals.
        """
        if self.place is not None:
            other = replaced.get(self.place)
            return self.value if other is None else literal_value(other)
        operands = [
            values[each] if isinstance(each, Source) else each for each in self.operands
        ]
        return fold(self.operation, self.params, operands, self.value.dtype)


@dataclasses.dataclass(eq=False)
class Scalar:
    """A scalar whose value is known: a literal, or computed of literals alone."""

    value: Any
    """An array of numpy, in its dtype."""
    aval: Any
    source: Source | None = None
    """How it follows from literals that differ between configs which share the program;
    None: it is the same for all of them."""
    variable: Var | None = None
    """It, as read from the input; None: not read so far."""

    @property
    def moved(self) -> bool:
        """Whether it differs between configs that share the program."""
        return self.source is not None

    @property
    def is_input(self) -> bool:
        """Whether it is read from the input; else it is a constant."""
        return self.moved and _fits(self.value)


def _fits(value: Any) -> bool:
    """Returns whether an element of the input can hold a scalar and replace it."""
    dtype = value.dtype
    fits = (jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize <= 4) or (
        dtype == np.int32 and abs(int(value)) < _LARGEST_INT
    )
    return fits and not is_neutral(value)


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
        self._sources: list[Source] = []
        self._inputs: list[Source] = []
        self._constants: set[Source] = set()
        self._arrays: list[Var] = []
        self._contains: dict[int, bool] = {}

    def literal(self, literal: Literal, place: LiteralPlace) -> Scalar | Literal:
        """Returns the literal of a place, or what replaces it; a scalar is known."""
        if place in self._replaced:
            self._read.add(place)
            literal = self._replaced[place]
        aval: Any = literal.aval
        if not isinstance(getattr(aval, "dtype", None), np.dtype) or aval.shape:
            return literal
        value = literal_value(literal)
        if place not in self.places or is_neutral(value):
            return Scalar(value, aval)
        return self._moved(Source(value, place), aval)

    def computed(
        self,
        name: str,
        params: Mapping[str, Any],
        operands: Sequence[Scalar],
        dtype: Any,
        aval: Any = None,
    ) -> Scalar | None:
        """Computes an operation of known scalars on the host; see `fold`.

        Args:
            name: of the primitive.
            params: of the equation.
            operands: its inputs.
            dtype: of the result.
            aval: of the result; None: the plain one of the dtype.
        """
        value = fold(name, params, [each.value for each in operands], dtype)
        if value is None:
            return None
        aval = scalar_aval(value.dtype) if aval is None else aval
        if not any(each.moved for each in operands):
            return Scalar(value, aval)
        used = [each.value if each.source is None else each.source for each in operands]
        return self._moved(Source(value, None, name, params, used), aval)

    def _moved(self, source: Source, aval: Any) -> Scalar:
        self._sources.append(source)
        return Scalar(source.value, aval, source)

    @property
    def are_replaced(self) -> bool:
        """Whether each literal that is to be replaced has been asked for."""
        return self._read == self._replaced.keys()

    def new_array(self) -> Var:
        """Makes a variable of the array; its length is known when all are finished."""
        self._arrays.append(Var(ShapedArray((0,), jnp.float32)))
        return self._arrays[-1]

    def add(self, scalar: Scalar) -> int:
        """Adds a scalar that moves; returns its index."""
        assert scalar.source is not None
        self._inputs.append(scalar.source)
        return len(self._inputs) - 1

    def constant(self, scalar: Scalar) -> Literal:
        """Returns a scalar as a constant of the program."""
        if scalar.source is not None:
            self._constants.add(scalar.source)
        return Literal(scalar.value[()], scalar.aval)

    def finished(self) -> NDArray[np.float32]:
        """float32[n]: all values."""
        values = np.array([source.value for source in self._inputs], np.float32)
        for variable in self._arrays:
            variable.aval = ShapedArray(values.shape, jnp.float32)
        return values

    def values_with(
        self, replaced: Mapping[LiteralPlace, Literal]
    ) -> NDArray[np.float32] | None:
        """Returns the values of the array that other literals give it.

        Args:
            replaced: place -> the other literal, of the same dtype.

        Returns:
            None if the program may be another one: a literal that is replaced, or what
            follows from it, is a constant of it, or would be.
        """
        values: dict[Source, Any] = {}
        for source in self._sources:
            value, before = source.again(replaced, values), source.value
            if is_neutral(value) != is_neutral(before) or _fits(value) != _fits(before):
                return None
            if source in self._constants and value.tobytes() != before.tobytes():
                return None
            values[source] = value
        if not replaced.keys() <= {source.place for source in self._sources}:
            return None
        return np.array([values[source] for source in self._inputs], np.float32)

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
    name: str, operands: Sequence[Value], scalars: Mapping[int, Scalar], inputs: Inputs
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
        factor = inputs.computed("neg", {}, [scalar], dtype)
    elif is_neutral(scalar.value):
        return None
    else:
        one = Scalar(np.ones((), dtype), scalar_aval(dtype))
        factor = inputs.computed("div", {}, [one, scalar], dtype)
    assert factor is not None
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
