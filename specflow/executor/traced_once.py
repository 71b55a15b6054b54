"""Functions traced once and reused inside other traces."""

import copy
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import jaxpr_as_fun
from jax.interpreters.partial_eval import dce_jaxpr

from specflow.executor.array_types import Equation, Jaxpr, Tree
from specflow.executor.jaxprs import map_equations, walk

__all__ = ["Traced", "has_convolution", "has_narrow_floats"]


class Traced:
    """A pure function, held as its jaxpr.

    The Python of a model function runs once per mode; differentiation, scans,
    compilation and shape queries all use the recorded jaxpr. Results that are not
    arrays (an optimizer, a metric function) are known from the trace on.

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
    """The result of the function, with `jax.ShapeDtypeStruct`s for arrays."""

    def __init__(self, function: Callable[..., Any], *args: Tree):
        self.jaxpr, self.result = jax.make_jaxpr(function, return_shape=True)(*args)
        self._flat = jaxpr_as_fun(self.jaxpr)
        self._structure = jax.tree.structure(self.result)

    def part(self, select: Callable[[Any], Tree]) -> Callable[..., Tree]:
        """Returns a function that computes a part of the result and nothing else.

        Args:
            select: the result -> the part.

        >>> both = Traced(lambda x: (x + 1, x.sum()), jax.ShapeDtypeStruct((3,), "f4"))
        >>> plus = both.part(lambda result: result[0])
        >>> jax.make_jaxpr(plus)(jax.numpy.ones(3)).jaxpr.eqns[0].primitive.name
        'add'
        """
        leaf_count = self._structure.num_leaves
        indices = jax.tree.unflatten(self._structure, range(leaf_count))
        selected, structure = jax.tree.flatten(select(indices))
        used = [index in selected for index in range(leaf_count)]
        jaxpr, _ = dce_jaxpr(self.jaxpr.jaxpr, used, instantiate=True)
        run = jaxpr_as_fun(self.jaxpr.replace(jaxpr=jaxpr))
        order = sorted(selected)

        def part(*args: Tree) -> Tree:
            values = dict(zip(order, run(*jax.tree.leaves(args)), strict=True))
            return jax.tree.unflatten(structure, [values[index] for index in selected])

        return part

    def mapped(self, convert: Callable[[Equation], Equation]) -> "Traced":
        """Returns the function with its equations converted; see `map_equations`."""
        mapped = copy.copy(self)
        mapped.jaxpr = map_equations(self.jaxpr, convert)
        mapped._flat = jaxpr_as_fun(mapped.jaxpr)
        return mapped

    def __call__(self, *args: Tree) -> Any:
        """Calls the function, inlined into the current trace."""
        return jax.tree.unflatten(self._structure, self._flat(*jax.tree.leaves(args)))


def has_convolution(jaxpr: Jaxpr) -> bool:
    """Returns whether a jaxpr, or one that it calls, contains a convolution.

    >>> has_convolution(jax.make_jaxpr(lambda x: x + 1)(1.0))
    False
    """
    return any(
        equation.primitive.name == "conv_general_dilated" for equation in walk(jaxpr)
    )


def has_narrow_floats(jaxpr: Jaxpr) -> bool:
    """Returns whether a jaxpr, or one that it calls, has floats of 16 bits or less.

    >>> half = jax.make_jaxpr(lambda x: jax.numpy.bfloat16(x) + 1)(1.0)
    >>> has_narrow_floats(half)
    True
    """
    return any(
        "float" in str(dtype) and dtype.itemsize <= 2
        for equation in walk(jaxpr)
        for variable in equation.outvars
        if (dtype := getattr(variable.aval, "dtype", None)) is not None
    )
