"""A function traced once, that other traces may then use as often as they like."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend.core import jaxpr_as_fun
from jax.interpreters.partial_eval import dce_jaxpr

__all__ = ["Traced", "has_convolution", "has_narrow_floats"]


class Traced:
    """A pure function as its jaxpr.

    The Python of a model function runs once for each mode; differentiating, scanning,
    compiling and looking at shapes all work on what that run recorded. What the result
    holds beside arrays (an optimizer, a metric function) is known from then on.

    Args:
        function: takes and returns pytrees.
        *args: abstract arguments (`jax.ShapeDtypeStruct` leaves).

    >>> three = jax.ShapeDtypeStruct((3,), "float32")
    >>> double = Traced(lambda x: {"twice": x * 2}, three)
    >>> double.result["twice"].shape
    (3,)
    >>> float(jax.grad(lambda x: double(x)["twice"].sum())(jax.numpy.ones(3))[0])
    2.0
    """

    result: Any
    """What the function returns, with `jax.ShapeDtypeStruct`s for arrays."""

    def __init__(self, function: Callable[..., Any], *args: Any):
        self.jaxpr, self.result = jax.make_jaxpr(function, return_shape=True)(*args)
        self._flat = jaxpr_as_fun(self.jaxpr)
        self._structure = jax.tree.structure(self.result)

    def part(self, select: Callable[[Any], Any]) -> Callable[..., Any]:
        """The function that gives a part of the result, and computes no more than it.

        Args:
            select: the result -> the part.

        >>> both = Traced(lambda x: (x + 1, x.sum()), jax.ShapeDtypeStruct((3,), "f4"))
        >>> plus = both.part(lambda result: result[0])
        >>> jax.make_jaxpr(plus)(jax.numpy.ones(3)).jaxpr.eqns[0].primitive.name
        'add'
        """
        places = jax.tree.unflatten(self._structure, range(self._structure.num_leaves))
        wanted, structure = jax.tree.flatten(select(places))
        used = [place in wanted for place in range(self._structure.num_leaves)]
        jaxpr, _ = dce_jaxpr(self.jaxpr.jaxpr, used, instantiate=True)
        run = jaxpr_as_fun(self.jaxpr.replace(jaxpr=jaxpr))
        order = sorted(wanted)

        def part(*args: Any) -> Any:
            made = dict(zip(order, run(*jax.tree.leaves(args)), strict=True))
            return jax.tree.unflatten(structure, [made[place] for place in wanted])

        return part

    def __call__(self, *args: Any) -> Any:
        """The function of these arguments, recorded into whatever trace is going on."""
        return jax.tree.unflatten(self._structure, self._flat(*jax.tree.leaves(args)))


def has_convolution(jaxpr: Any) -> bool:
    """Whether a jaxpr convolves anywhere, functions that it calls included.

    >>> has_convolution(jax.make_jaxpr(lambda x: x + 1)(1.0))
    False
    """
    return any(
        equation.primitive.name == "conv_general_dilated" for equation in _walk(jaxpr)
    )


def has_narrow_floats(jaxpr: Any) -> bool:
    """Whether a jaxpr makes floats of 16 bits or less anywhere.

    >>> half = jax.make_jaxpr(lambda x: jax.numpy.bfloat16(x) + 1)(1.0)
    >>> has_narrow_floats(half)
    True
    """
    return any(
        "float" in str(dtype) and dtype.itemsize <= 2
        for equation in _walk(jaxpr)
        for made in equation.outvars
        if (dtype := getattr(made.aval, "dtype", None)) is not None
    )


def _walk(jaxpr: Any) -> Iterator[Any]:
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        yield equation
        for value in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda v: hasattr(v, "eqns")
        ):
            if hasattr(value, "eqns") or hasattr(value, "jaxpr"):
                yield from _walk(value)
