"""Floating-point operations of a traced function, counted on its jaxpr.

XLA's own count includes a loop's body once, whatever its trip count, and no kernels.
Here matrix products and convolutions are counted, two operations per multiply-add;
element-wise operations are not, as is usual for MFU.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import jax

from specflow.executor.array_types import Equation, Jaxpr
from specflow.executor.jaxprs import is_jaxpr
from specflow.executor.traced_once import Traced

__all__ = [
    "AGAIN",
    "KERNELS",
    "Flops",
    "Kernel",
    "count_flops",
    "has_remat",
    "saved",
]

Kernel: TypeAlias = Callable[[Equation], float]
"""Computes the FLOPs of an equation that calls a kernel, from its shapes."""


@dataclasses.dataclass(frozen=True)
class Flops:
    """FLOPs over all devices."""

    total: float
    """Floating-point operations."""
    unknown: tuple[str, ...] = ()
    """Operations that could not be counted, with their source lines: unregistered
    kernels, and loops with an unknown trip count (they count once)."""

    def __add__(self, other: "Flops") -> "Flops":
        both = dict.fromkeys((*self.unknown, *other.unknown))
        return Flops(self.total + other.total, tuple(both))

    def __mul__(self, times: float) -> "Flops":
        return Flops(self.total * times, self.unknown)


KERNELS: dict[str, Kernel] = {}
"""FLOP counters of kernels, whose jaxprs do not show them, by a prefix of the name
passed to `pallas_call`; of any other primitive, by a prefix of its own name."""
AGAIN: dict[str, Kernel] = {}
"""Likewise, the FLOPs among them that recompute earlier results to save memory."""


def count_flops(jaxpr: Jaxpr, *, again: bool = True) -> Flops:
    """Counts the operations of a jaxpr and of all functions that it calls.

    A scan counts once per trip, a conditional by its largest branch, and `shard_map`
    once per device.

    Args:
        jaxpr: of `jax.make_jaxpr(...)(...)` or of `jax.jit(...).trace(...)`.
        again: whether recomputation inside kernels counts.

    >>> import jax.numpy as jnp
    >>> a, b = jnp.ones((2, 3)), jnp.ones((3, 5))
    >>> count_flops(jax.make_jaxpr(jnp.dot)(a, b)).total
    60
    """
    total = Flops(0)
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        total += _count(equation, again)
    return total


def saved(traced: Traced) -> Traced:
    """Returns the function without rematerialization.

    Its derivative saves what `jax.checkpoint` would recompute, so its FLOPs are those
    of the model, independent of memory savings.
    """
    return traced.mapped(_save_everything)


def _save_everything(equation: Equation) -> Equation:
    """Sets the policy of `jax.checkpoint` to save all intermediate results."""
    if not {"policy", "prevent_cse"} <= equation.params.keys():
        return equation
    policy = jax.checkpoint_policies.everything_saveable
    return equation.replace(params={**equation.params, "policy": policy})


def has_remat(jaxpr: Jaxpr) -> bool:
    """Returns whether a jaxpr contains `jax.checkpoint` (remat)."""
    return any(
        "prevent_cse" in equation.params
        or any(map(has_remat, _jaxprs(equation.params)))
        for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns
    )


def _count(equation: Equation, again: bool) -> Flops:
    count = functools.partial(count_flops, again=again)
    name, params = equation.primitive.name, equation.params
    if name in _PRODUCTS:
        return Flops(_PRODUCTS[name](equation))
    if (kernel := _kernel(equation, KERNELS)) is not None:
        twice = None if again else _kernel(equation, AGAIN)
        return Flops(kernel(equation) - (twice(equation) if twice else 0))
    if name == "pallas_call":
        return Flops(0, (f"kernel {_kernel_name(equation)}{_place(equation)}",))
    if name == "scan":
        return count(params["jaxpr"]) * params["length"]
    if name == "while":
        body = count(params["cond_jaxpr"]) + count(params["body_jaxpr"])
        if not body.total:
            return body
        return body + Flops(0, (f"trips of a while loop{_place(equation)}",))
    if name == "cond":
        branches = [count(branch) for branch in params["branches"]]
        return max(branches, key=lambda branch: branch.total)
    inner = sum((count(inner) for inner in _jaxprs(params)), Flops(0))
    if name == "shard_map":
        sizes = params["mesh"].shape
        manual = params.get("newly_manual_axes", params.get("manual_axes", sizes))
        return inner * math.prod(sizes[axis] for axis in manual)
    return inner


def _dot_general(equation: Equation) -> float:
    left, right = (operand.aval.shape for operand in equation.invars[:2])
    (_, contracted), (_, batch) = equation.params["dimension_numbers"]
    return 2 * math.prod(left) * _columns(right, (*contracted, *batch))


def _ragged_dot(equation: Equation) -> float:
    # Each row belongs to one group and is multiplied by one of the matrices.
    left, right = (operand.aval.shape for operand in equation.invars[:2])
    numbers = equation.params["ragged_dot_dimension_numbers"]
    (_, contracted), (_, batch) = numbers.dot_dimension_numbers
    excluded = (*contracted, *batch, *numbers.rhs_group_dimensions)
    return 2 * math.prod(left) * _columns(right, excluded)


def _columns(shape: tuple[int, ...], excluded: tuple[int, ...]) -> int:
    return math.prod(n for dim, n in enumerate(shape) if dim not in excluded)


def _convolution(equation: Equation) -> float:
    kernel = equation.invars[1].aval.shape
    params = equation.params
    each = math.prod(kernel) // kernel[params["dimension_numbers"].rhs_spec[0]]
    # Zeros of a dilation, as in the gradient of a strided one, are not multiplied.
    dense = math.prod(params["lhs_dilation"])
    return 2 * math.prod(equation.outvars[0].aval.shape) * each / dense


_PRODUCTS: Mapping[str, Kernel] = {
    "conv_general_dilated": _convolution,
    "dot_general": _dot_general,
    "ragged_dot_general": _ragged_dot,
}


def _splash(products: Callable[[Equation], int]) -> Kernel:
    """Counts splash attention: a number of products of queries with keys.

    Masked entries are counted too, as they are where XLA computes attention: by
    convention MFU is of the full square.
    """

    def count(equation: Equation) -> float:
        # Masks come first; [..., heads, tokens, size] of queries, keys and values.
        arrays = [v.aval for v in equation.invars if v.aval.dtype.kind not in "iub"]
        query, key = (array.shape for array in arrays[:2])
        return 2 * products(equation) * math.prod(query) * key[-2]

    return count


def _gradients(equation: Equation) -> int:
    """Counts the results of a kernel without its scratch, which has fewer axes."""
    ranks = [len(result.aval.shape) for result in equation.outvars]
    return sum(rank >= ranks[-1] for rank in ranks)


def _cudnn(products: int) -> Kernel:
    def count(equation: Equation) -> float:
        # [batch, tokens, heads, size].
        query, key = (operand.aval.shape for operand in equation.invars[:2])
        batch, rows, heads, size = query
        return 2 * products * batch * heads * rows * key[1] * size

    return count


KERNELS |= {
    "dot_product_attention_fwd": _cudnn(2),
    "dot_product_attention_bwd": _cudnn(5),
}
AGAIN["dot_product_attention_bwd"] = _cudnn(1)
for _heads in ("mha", "mqa"):
    KERNELS |= {
        # Scores, and their product with values.
        f"splash_{_heads}_fwd": _splash(lambda _: 2),
        # Scores recomputed, and the gradients of values, scores and keys; of queries
        # too, where one kernel computes all three.
        f"splash_{_heads}_dkv": _splash(lambda call: 2 + _gradients(call)),
        # Scores and their gradients recomputed, and the gradients of queries.
        f"splash_{_heads}_dq": _splash(lambda _: 3),
    }
    AGAIN |= {
        f"splash_{_heads}_dkv": _splash(lambda _: 1),
        f"splash_{_heads}_dq": _splash(lambda _: 2),
    }


def _kernel_name(equation: Equation) -> str:
    # Older versions of JAX keep it with the source location.
    info = equation.params.get("name_and_src_info")
    return str(equation.params.get("name") or getattr(info, "name", "") or "unnamed")


def _kernel(equation: Equation, kernels: Mapping[str, Kernel]) -> Kernel | None:
    name = equation.primitive.name
    if name == "pallas_call":
        name = _kernel_name(equation)
    prefixes = [prefix for prefix in kernels if name.startswith(prefix)]
    return kernels[max(prefixes, key=len)] if prefixes else None


def _place(equation: Equation) -> str:
    """Returns the source location of an equation, as ` (file:line)`, if known."""
    traceback = equation.source_info.traceback
    frames = [
        frame
        for frame in (traceback.frames if traceback else ())
        if "site-packages" not in frame.file_name
    ]
    if not frames:
        return ""
    file = "/".join(frames[0].file_name.rsplit("/", 2)[-2:])
    return f" ({file}:{frames[0].line_num})"


def _jaxprs(params: Mapping[str, Any]) -> Iterator[Any]:
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if is_jaxpr(item):
                yield item
