"""Calls of library kernels in a GPU's program: their bytes, FLOPs and workspace.

XLA chooses the workspace of such a call with a device at hand. Compiled without one, a
program has none, so it is bounded here. Sources: NVIDIA's cudnn-frontend, nodes of the
scaled dot product attention (gradients of queries accumulated in float32, row sums,
keys and values of grouped heads, and at most 256 MiB of products); XLA's
`--xla_gpu_redzone_scratch_max_megabytes` for convolutions.
"""

import dataclasses
import math
import re
from collections.abc import Sequence

from specflow.preflight.hlo_shapes import ARRAY, bytes_of

__all__ = ["Call", "library_call"]

_TARGET = re.compile(r'custom_call_target="([^"]*)"')
_LABELS = re.compile(r"dim_labels=\w+_(\w+)->\w+")
_ATTENTION = "__cudnn$fmha"
_CONVOLUTION = "__cudnn$conv"
_PRODUCTS = {"__cublas$gemm", "__cublas$lt$matmul", "__cublas$lt$matmul$f8"}
_NO_KERNELS = {"AllocateBuffer", "ShapeCheck", "Sharding", "annotate_device_placement"}
_PRODUCTS_OF_ATTENTION = 256 << 20
_CONVOLUTIONS = 4096 << 20


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of a library's kernel, on each GPU."""

    target: str
    """Its name in XLA, such as `__cudnn$fmhaSoftmax`."""
    times: int
    """Executions per step."""
    bytes: int
    """Bytes of operands and results of one execution."""
    flops: float | None
    """FLOPs of one execution; None if they are unknown."""
    workspace: int
    """Upper bound of the bytes of workspace that the program does not have."""


def library_call(
    line: str, results: str, operands: Sequence[str], times: int
) -> Call | None:
    """Returns the call of an instruction; None if it calls no kernel.

    Args:
        line: of the instruction.
        results: its shape; a tuple ends with the workspace.
        operands: shapes of its operands.
        times: executions per step.
    """
    found = _TARGET.search(line)
    if found is None or found[1] in _NO_KERNELS:
        return None
    target = found[1]
    ins, outs = [_array(shape) for shape in operands], _arrays(results)
    flops, workspace = None, 0
    if target.startswith(_ATTENTION) and ins:
        flops = _attention_flops(target, ins)
        workspace = _attention_workspace(target, ins)
    elif target.startswith(_CONVOLUTION) and len(ins) > 1:
        flops = _convolution_flops(line, target, ins, outs)
        workspace = _CONVOLUTIONS
    elif target in _PRODUCTS and len(ins) > 1:
        flops = _product_flops(line, ins)
    moved = sum(size for _, _, size in (*ins, *outs))
    return Call(target, times, moved, flops, workspace)


_Array = tuple[str, list[int], int]
"""Dtype, sides and bytes."""


def _attention_flops(target: str, operands: list[_Array]) -> float | None:
    """Two matrix products forward, five backward; of the full square, as in MFU."""
    if len(operands[0][1]) != 4 or len(operands) < 2:
        return None
    batch, rows, heads, size = operands[0][1]
    keys = operands[1][1][1]
    products = 5 if target.endswith("Backward") else 2
    return 2.0 * products * batch * heads * rows * keys * size


def _attention_workspace(target: str, operands: list[_Array]) -> int:
    if len(operands[0][1]) != 4:
        return 0
    batch, rows, heads, size = operands[0][1]
    sums = 4 * batch * heads * rows
    if not target.endswith("Backward"):
        return sums
    keys, groups = operands[1][1][1], operands[1][1][2]
    itemsize = operands[0][2] // max(1, math.prod(operands[0][1]))
    repeated = 2 * itemsize * batch * heads * keys * size if groups < heads else 0
    return sums + 4 * batch * heads * rows * size + repeated + _PRODUCTS_OF_ATTENTION


def _convolution_flops(
    line: str, target: str, operands: list[_Array], results: list[_Array]
) -> float | None:
    """Each output is a sum over one filter of all input features."""
    labels = _LABELS.search(line)
    if labels is None or "Graph" in target:
        return None
    outputs, kernel = {
        "BackwardInput": (operands[0], operands[1]),
        "BackwardFilter": (operands[1], results[0]),
    }.get(target.removeprefix(_CONVOLUTION), (results[0], operands[1]))
    filters = kernel[1][labels[1].index("o")]
    return 2.0 * math.prod(outputs[1]) * math.prod(kernel[1]) / filters


def _product_flops(line: str, operands: list[_Array]) -> float | None:
    left, right = operands[0][1], operands[1][1]
    numbers = re.search(r'"dot_dimension_numbers":\{(.*?)\}', line)
    if numbers is None:
        return None
    excluded = {
        int(place)
        for side in ("rhs_contracting_dimensions", "rhs_batch_dimensions")
        if (found := re.search(rf'"{side}":\[([^\]]*)\]', numbers[1]))
        for place in re.findall(r"\d+", found[1])
    }
    columns = math.prod(n for place, n in enumerate(right) if place not in excluded)
    return 2.0 * math.prod(left) * columns


def _arrays(shape: str) -> list[_Array]:
    return [_array(found.group()) for found in ARRAY.finditer(shape)]


def _array(shape: str) -> _Array:
    found = ARRAY.match(shape)
    if found is None:
        return "", [], 0
    sides = [int(side.lstrip("<=")) for side in found["dims"].split(",") if side]
    return found["dtype"], sides, bytes_of(found.group())
