"""XLA options of programs on CPU."""

from typing import Any

from jax.sharding import Mesh

__all__ = ["CPU_CONVOLUTION_GRADIENTS", "CPU_SINGLE_RUN", "is_on_cpu"]

CPU_CONVOLUTION_GRADIENTS = {
    "xla_cpu_experimental_ynn_fusion_type": (
        "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"
    )
}
"""Options of a training step with convolutions: on CPU it is two to three times faster
(jax 0.10 to 0.12).

The option replaces XLA's set of operations that its YNN kernels compute. Only
convolutions are left out, which these kernels differentiate slowly; without `REDUCE`,
pooling would be slow instead. Forward passes are as fast without the option, or faster:
evaluation, prediction and exports have none."""

CPU_SINGLE_RUN: dict[str, Any] = {"xla_backend_optimization_level": 1}
"""Options of a program that runs once: XLA on CPU compiles it in half the time."""


def is_on_cpu(mesh: Mesh) -> bool:
    """Returns whether the devices of a mesh are CPUs."""
    return mesh.devices.flat[0].platform == "cpu"
