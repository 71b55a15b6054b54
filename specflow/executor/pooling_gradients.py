"""Gradients of max-pooling on CPU, where XLA's select-and-scatter is slow.

A `select_and_scatter_add` whose windows do not overlap is replaced by slices and masks,
which XLA fuses into one loop. They repeat the comparison of XLA, so the gradient is the
same to the last bit, whichever element of a window has it: also for ties and NaN.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from specflow.executor.array_types import Equation, Jaxpr, Tree
from specflow.executor.jaxprs import walk
from specflow.executor.traced_once import Traced

__all__ = ["has_pooling_gradient", "with_pooling_by_masks"]

LARGEST_WINDOW = 16
"""Elements of a window up to which slices are used, as they are unrolled: at 4x4 they
take a fifth of XLA's time, at 8x8 up to three times as much."""


def has_pooling_gradient(jaxpr: Jaxpr) -> bool:
    """Returns whether `with_pooling_by_masks` would change a jaxpr.

    >>> has_pooling_gradient(jax.make_jaxpr(lambda x: x + 1)(1.0))
    False
    """
    return any(map(_is_replaced, walk(jaxpr)))


def with_pooling_by_masks(program: Callable[..., Tree], *args: Tree) -> Traced:
    """Returns a program with its gradients of max-pooling computed by masks.

    Args:
        program: takes and returns pytrees.
        *args: its arguments, or their shapes and dtypes.

    >>> def peaks(x):
    ...     return lax.reduce_window(x, -jnp.inf, lax.max, (2,), (2,), "VALID").sum()
    >>> with_pooling_by_masks(jax.grad(peaks), jnp.zeros(4))(jnp.arange(4.0)).tolist()
    [0.0, 1.0, 0.0, 1.0]
    """
    return Traced(program, *args).mapped(_replaced)


def scatter_to_selected(
    source: jax.Array,
    operand: jax.Array,
    *,
    select_prim: Any,
    window_dimensions: tuple[int, ...],
    window_strides: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
) -> jax.Array:
    """Computes `select_and_scatter_add` of windows that do not overlap.

    As XLA does, the selected element of a window is found in row-major order: it stays
    selected while `selected >= next` (`<=` for a minimum). So the first of equal
    elements is selected, -0 equals 0, and a NaN gives way to the next element.

    Args:
        source: float[...], a value for each window.
        operand: float[...], the elements; outside of it the padding is -inf (inf).
        select_prim: the primitive `ge` or `le`.
        window_dimensions: size of a window.
        window_strides: distance between windows, at least their size.
        padding: elements before and after the operand, at least 0.

    Returns:
        In the shape of `operand`: the source of a window at its selected element, 0
        elsewhere.
    """
    is_max = select_prim.name == "ge"
    keeps = lax.ge if is_max else lax.le
    zero = jnp.zeros((), source.dtype)
    lowest = jnp.array(-jnp.inf if is_max else jnp.inf, operand.dtype)
    padded = lax.pad(operand, lowest, [(low, high, 0) for low, high in padding])

    # Offsets are numbered in the block of elements from a window to the next.
    best, winner = None, jnp.zeros(source.shape, jnp.int32)
    for offset in np.ndindex(*window_dimensions):
        number = int(np.ravel_multi_index(offset, window_strides))
        spans = zip(offset, source.shape, window_strides, strict=True)
        ends = [first + (count - 1) * step + 1 for first, count, step in spans]
        element = lax.slice(padded, offset, ends, window_strides)
        if best is None:
            best = element
            continue
        keep = keeps(best, element)
        best = jnp.where(keep, best, element)
        winner = jnp.where(keep, winner, number)

    # XLA adds to 0, which turns -0 into 0, and a denormal too where it flushes those.
    source = jnp.where(source == 0, zero, source)
    sizes = [(n, s) for n, s in zip(source.shape, window_strides, strict=True)]
    by_block = [size for pair in sizes for size in pair]
    spread = functools.partial(
        lax.broadcast_in_dim,
        shape=by_block,
        broadcast_dimensions=range(0, len(by_block), 2),
    )
    numbers = lax.iota(jnp.int32, math.prod(window_strides)).reshape(
        [size for step in window_strides for size in (1, step)]
    )
    blocks = jnp.where(spread(winner) == numbers, spread(source), zero)
    result = blocks.reshape([n * s for n, s in sizes])
    # A negative width removes elements.
    rest = [
        (-low, low + size - length, 0)
        for (low, _), size, length in zip(
            padding, operand.shape, result.shape, strict=True
        )
    ]
    return lax.pad(result, zero, rest)


def _is_replaced(equation: Equation) -> bool:
    if equation.primitive.name != "select_and_scatter_add":
        return False
    params, source = equation.params, equation.invars[0].aval
    windows = params["window_dimensions"]
    apart = zip(windows, params["window_strides"], strict=True)
    return (
        params["select_prim"].name in ("ge", "le")
        and jnp.issubdtype(source.dtype, jnp.floating)
        and math.prod(windows) <= LARGEST_WINDOW
        and all(size <= stride for size, stride in apart)
        and min(width for pair in params["padding"] for width in pair) >= 0
        # XLA computes a single window without adding to 0: a -0 would remain.
        and source.size > 1
    )


def _replaced(equation: Equation) -> Equation:
    """Returns a call of `scatter_to_selected` in place of an equation, if it can be."""
    if not _is_replaced(equation):
        return equation
    function = functools.partial(scatter_to_selected, **equation.params)
    shapes = [
        jax.ShapeDtypeStruct(variable.aval.shape, variable.aval.dtype)
        for variable in equation.invars
    ]
    (call,) = jax.make_jaxpr(jax.jit(function))(*shapes).jaxpr.eqns
    return call.replace(
        invars=equation.invars,
        outvars=equation.outvars,
        source_info=equation.source_info,
        ctx=equation.ctx,
    )
