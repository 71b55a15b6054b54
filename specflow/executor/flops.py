"""Floating-point operations of a traced function, counted on its jaxpr.

XLA's own count looks at a loop's body once, however often it runs, and knows nothing of
kernels. Here products of matrices and convolutions are counted, two operations for each
multiplication; what is done element by element is left out, as it is by the field.
"""

import copy
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
from jax.extend.core import jaxpr_as_fun

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

Kernel = Callable[[Any], float]
"""The FLOPs of an equation that calls a kernel, from its shapes."""


@dataclasses.dataclass(frozen=True)
class Flops:
    """What was counted, over all devices."""

    total: float
    """Floating-point operations."""
    unknown: tuple[str, ...] = ()
    """What could not be counted: kernels that nobody registered, loops of which nobody
    knows how often they run (they count once), and where they stand."""

    def __add__(self, other: "Flops") -> "Flops":
        both = dict.fromkeys((*self.unknown, *other.unknown))
        return Flops(self.total + other.total, tuple(both))

    def __mul__(self, times: float) -> "Flops":
        return Flops(self.total * times, self.unknown)


KERNELS: dict[str, Kernel] = {}
"""What counts the FLOPs of a kernel, whose jaxpr cannot tell, by the beginning of the
name that `pallas_call` is given; of any other primitive, by that of its own."""
AGAIN: dict[str, Kernel] = {}
"""Likewise, those among them of what was computed before, to save memory."""


def count_flops(jaxpr: Any, *, again: bool = True) -> Flops:
    """Counts the operations of a jaxpr, those of all functions that it calls included.

    A scan counts as often as it runs, of branches the largest counts, and what
    `shard_map` runs counts on each of its devices.

    Args:
        jaxpr: of `jax.make_jaxpr(...)(...)` or of `jax.jit(...).trace(...)`.
        again: whether what kernels compute a second time counts.

    >>> import jax.numpy as jnp
    >>> a, b = jnp.ones((2, 3)), jnp.ones((3, 5))
    >>> count_flops(jax.make_jaxpr(jnp.dot)(a, b)).total
    60
    """
    found = Flops(0)
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        found += _count(equation, again)
    return found


def saved(traced: Traced) -> Traced:
    """The same function, whose derivative computes nothing twice.

    What `jax.checkpoint` (remat) would compute again is kept. The FLOPs of its
    derivative are those of the model, whatever the machine does to save memory.
    """
    found = copy.copy(traced)
    found.jaxpr = _saved(traced.jaxpr)
    found._flat = jaxpr_as_fun(found.jaxpr)
    return found


def _saved(jaxpr: Any) -> Any:
    if (inner := getattr(jaxpr, "jaxpr", jaxpr)) is not jaxpr:
        return jaxpr.replace(jaxpr=_saved(inner))
    equations = []
    for equation in jaxpr.eqns:
        params = {key: _saved_in(value) for key, value in equation.params.items()}
        if "policy" in params and "prevent_cse" in params:
            params["policy"] = jax.checkpoint_policies.everything_saveable
        equations.append(equation.replace(params=params))
    return jaxpr.replace(eqns=equations)


def _saved_in(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return (
            type(value)(map(_saved_in, value)) if any(map(_is_jaxpr, value)) else value
        )
    return _saved(value) if _is_jaxpr(value) else value


def _is_jaxpr(value: Any) -> bool:
    return hasattr(value, "eqns") or hasattr(value, "jaxpr")


def has_remat(jaxpr: Any) -> bool:
    """Whether anything is computed again for the derivative (`jax.checkpoint`)."""
    return any(
        "prevent_cse" in equation.params
        or any(map(has_remat, _jaxprs(equation.params)))
        for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns
    )


def _count(equation: Any, again: bool) -> Flops:
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
    inner = sum((count(one) for one in _jaxprs(params)), Flops(0))
    if name == "shard_map":
        sizes = params["mesh"].shape
        manual = params.get("newly_manual_axes", params.get("manual_axes", sizes))
        return inner * math.prod(sizes[axis] for axis in manual)
    return inner


def _dot_general(equation: Any) -> float:
    left, right = (operand.aval.shape for operand in equation.invars[:2])
    (_, contracted), (_, batch) = equation.params["dimension_numbers"]
    return 2 * math.prod(left) * _columns(right, (*contracted, *batch))


def _ragged_dot(equation: Any) -> float:
    # Rows are shared out over the groups: each meets one of the matrices.
    left, right = (operand.aval.shape for operand in equation.invars[:2])
    numbers = equation.params["ragged_dot_dimension_numbers"]
    (_, contracted), (_, batch) = numbers.dot_dimension_numbers
    apart = (*contracted, *batch, *numbers.rhs_group_dimensions)
    return 2 * math.prod(left) * _columns(right, apart)


def _columns(shape: tuple[int, ...], apart: tuple[int, ...]) -> int:
    return math.prod(n for dim, n in enumerate(shape) if dim not in apart)


def _convolution(equation: Any) -> float:
    kernel = equation.invars[1].aval.shape
    params = equation.params
    each = math.prod(kernel) // kernel[params["dimension_numbers"].rhs_spec[0]]
    # Zeros between the values, as in the gradient of a strided one, are not multiplied.
    dense = math.prod(params["lhs_dilation"])
    return 2 * math.prod(equation.outvars[0].aval.shape) * each / dense


_PRODUCTS: Mapping[str, Kernel] = {
    "conv_general_dilated": _convolution,
    "dot_general": _dot_general,
    "ragged_dot_general": _ragged_dot,
}


def _splash(products: Callable[[Any], int]) -> Kernel:
    """Attention as a kernel: so many products of the size of queries by keys.

    What a causal mask spares is counted, as it is where XLA computes attention: the
    field's MFU is of the whole square.
    """

    def count(equation: Any) -> float:
        # Masks come first; [..., heads, tokens, size] of queries, keys and values.
        arrays = [v.aval for v in equation.invars if v.aval.dtype.kind not in "iub"]
        query, key = (array.shape for array in arrays[:2])
        return 2 * products(equation) * math.prod(query) * key[-2]

    return count


def _gradients(equation: Any) -> int:
    """Results of a kernel, without those that are its scratch: they have fewer axes."""
    ranks = [len(result.aval.shape) for result in equation.outvars]
    return sum(rank >= ranks[-1] for rank in ranks)


def _cudnn(products: int) -> Kernel:
    def count(equation: Any) -> float:
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
        # Scores, and values by them.
        f"splash_{_heads}_fwd": _splash(lambda _: 2),
        # Scores again, and the gradients of values, of scores and of keys; of queries,
        # too, where one kernel makes all three.
        f"splash_{_heads}_dkv": _splash(lambda call: 2 + _gradients(call)),
        # Scores and their gradients again, and those of queries.
        f"splash_{_heads}_dq": _splash(lambda _: 3),
    }
    AGAIN |= {
        f"splash_{_heads}_dkv": _splash(lambda _: 1),
        f"splash_{_heads}_dq": _splash(lambda _: 2),
    }


def _kernel_name(equation: Any) -> str:
    # Older versions of JAX keep it with the place in the source.
    told = equation.params.get("name_and_src_info")
    return str(equation.params.get("name") or getattr(told, "name", "") or "unnamed")


def _kernel(equation: Any, kernels: Mapping[str, Kernel]) -> Kernel | None:
    name = equation.primitive.name
    if name == "pallas_call":
        name = _kernel_name(equation)
    found = [start for start in kernels if name.startswith(start)]
    return kernels[max(found, key=len)] if found else None


def _place(equation: Any) -> str:
    """Where an equation was written, as ` (file:line)`, if that is known."""
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
        for one in value if isinstance(value, tuple | list) else (value,):
            if _is_jaxpr(one):
                yield one
