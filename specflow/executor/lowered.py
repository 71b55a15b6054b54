"""A lowered program and its FLOPs."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax

from specflow.executor.array_types import Jaxpr
from specflow.executor.flops import Flops, count_flops, has_remat

__all__ = ["Lowered"]


@dataclasses.dataclass(frozen=True)
class Lowered:
    """A traced and lowered program, not yet compiled.

    Args:
        stage: from `jax.jit(...).trace(...).lower()`; can be compiled.
        jaxpr: of the program.
        without_remat: makes the jaxpr in which the derivative recomputes nothing.
        looped: whether the program is a device loop over steps.
    """

    stage: jax.stages.Lowered
    jaxpr: Any
    without_remat: Callable[[], Any]
    looped: bool = False

    @functools.cached_property
    def flops(self) -> Flops:
        """FLOPs of one step, on all devices, recomputation included."""
        return count_flops(self._step(self.jaxpr))

    @functools.cached_property
    def model_flops(self) -> Flops:
        """FLOPs of one step without the recomputation of remat and of kernels.

        Model FLOPs utilization (MFU) is computed from these.
        """
        jaxpr = self.without_remat() if has_remat(self.jaxpr) else self.jaxpr
        return count_flops(self._step(jaxpr), again=False)

    def _step(self, jaxpr: Any) -> Jaxpr:
        """The jaxpr of one step: the trip count of the device loop is an input."""
        if not self.looped:
            return jaxpr
        (loop,) = (
            equation for equation in jaxpr.eqns if equation.primitive.name == "while"
        )
        return loop.params["body_jaxpr"]
