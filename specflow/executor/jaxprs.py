"""Traversal and rewriting of jaxprs with all functions that they call."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from specflow.executor.array_types import Equation, Jaxpr

__all__ = [
    "is_jaxpr",
    "map_equations",
    "scan_operands",
    "walk",
    "with_scan_constants",
]


def walk(jaxpr: Jaxpr) -> Iterator[Equation]:
    """Yields the equations of a jaxpr and of all functions that it calls.

    >>> jaxpr = jax.make_jaxpr(jax.jit(lambda x: x + 1))(1.0)
    >>> [equation.primitive.name for equation in walk(jaxpr)]
    ['jit', 'add']
    """
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        yield equation
        for value in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda v: hasattr(v, "eqns")
        ):
            if is_jaxpr(value):
                yield from walk(value)


def map_equations(jaxpr: Any, convert: Callable[[Equation], Equation]) -> Any:
    """Returns a jaxpr with its equations converted, in all functions it calls too.

    Args:
        jaxpr: open or closed; it is not changed.
        convert: equation -> one with the same inputs and outputs. The functions that
            it calls are converted already.
    """
    if (inner := getattr(jaxpr, "jaxpr", jaxpr)) is not jaxpr:
        return jaxpr.replace(jaxpr=map_equations(inner, convert))

    def converted(value: Any) -> Any:
        if isinstance(value, tuple | list) and any(map(is_jaxpr, value)):
            return type(value)(map(converted, value))
        return map_equations(value, convert) if is_jaxpr(value) else value

    equations = []
    for equation in jaxpr.eqns:
        params = {name: converted(value) for name, value in equation.params.items()}
        equations.append(convert(equation.replace(params=params)))
    return jaxpr.replace(eqns=equations)


def is_jaxpr(value: object) -> bool:
    """Returns whether a value is a jaxpr, open or closed."""
    return hasattr(value, "eqns") or hasattr(value, "jaxpr")


def scan_operands(params: Mapping[str, Any]) -> tuple[int, int]:
    """Returns the numbers of the first operands of a `scan`, and of the next ones.

    The first ones are the same in all iterations, the next ones are carried from one to
    the next.

    Args:
        params: of the equation.

    >>> scan = lambda c: jax.lax.scan(lambda a, _: (a + c, None), 0.0, length=3)
    >>> scan_operands(jax.make_jaxpr(scan)(1.0).eqns[0].params)
    (1, 1)
    """
    if "num_consts" in params:  # JAX before 0.12.
        return params["num_consts"], params["num_carry"]
    constants, carry, _ = params["ft_in"].unpack()
    return len(constants), len(carry)


def with_scan_constants(params: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Returns the parameters of a `scan` with another number of first operands."""
    if "num_consts" in params:
        return {**params, "num_consts": count}
    from jax._src import flattree  # type: ignore

    _, carry, batches = params["ft_in"].unpack()
    groups = flattree.pack((flattree.nones(count), carry, batches))
    return {**params, "ft_in": groups}
