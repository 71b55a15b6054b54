"""XLA options of programs on CPU."""

from typing import Any

from jax.sharding import Mesh

from specflow.executor.array_types import Jaxpr
from specflow.executor.jaxprs import walk

__all__ = ["CPU_SINGLE_RUN", "convolution_options", "is_on_cpu"]

_YNN = "xla_cpu_experimental_ynn_fusion_type"
_DOT, _REDUCE = "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT", "LIBRARY_FUSION_TYPE_REDUCE"

CPU_SINGLE_RUN: dict[str, Any] = {"xla_backend_optimization_level": 1}
"""Options of a program that runs once: XLA on CPU compiles it in half the time."""


def convolution_options(forward: Jaxpr) -> dict[str, str | bool]:
    """Returns the options of training with convolutions, on CPU.

    A step is two to three times faster with them (jax 0.10 to 0.12). They replace XLA's
    set of operations that its YNN kernels compute: convolutions are left out, which
    these kernels differentiate slowly. Reductions stay, a tenth to a quarter of a step
    with pooling or normalization, unless a maximum is taken over several axes, as in
    pooling by a reshape: its gradient would take a third more.

    Forward passes are as fast without options, or faster: evaluation, prediction and
    exports have none.

    Args:
        forward: of the model function.
    """
    slow_reduction = any(
        equation.primitive.name == "reduce_max" and len(equation.params["axes"]) > 1
        for equation in walk(forward)
    )
    return {_YNN: _DOT if slow_reduction else f"{_DOT},{_REDUCE}"}


def is_on_cpu(mesh: Mesh) -> bool:
    """Returns whether the devices of a mesh are CPUs."""
    return mesh.devices.flat[0].platform == "cpu"
