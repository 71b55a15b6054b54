"""A program of one mode, before any compiler had its say: what it is, and its FLOPs."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from specflow.executor.flops import Flops, count_flops, has_remat

__all__ = ["Lowered"]


@dataclasses.dataclass(frozen=True)
class Lowered:
    """A traced and lowered program.

    Args:
        stage: what `jax.jit(...).trace(...).lower()` gave: it can be compiled.
        jaxpr: of the program.
        saving: makes the jaxpr in which nothing is computed again for the derivative.
        looped: whether the program loops over steps by itself.
    """

    stage: Any
    jaxpr: Any
    saving: Callable[[], Any]
    looped: bool = False

    @functools.cached_property
    def flops(self) -> Flops:
        """What one step computes, on all devices, whatever for."""
        return count_flops(self._step(self.jaxpr))

    @functools.cached_property
    def model_flops(self) -> Flops:
        """What one step of the model takes: less than `flops` where memory is saved.

        Neither what remat computes again counts, nor what kernels do. MFU is of these.
        """
        jaxpr = self.saving() if has_remat(self.jaxpr) else self.jaxpr
        return count_flops(self._step(jaxpr), again=False)

    def _step(self, jaxpr: Any) -> Any:
        """The jaxpr of one step: a call tells a loop how many it is."""
        if not self.looped:
            return jaxpr
        (loop,) = (one for one in jaxpr.eqns if one.primitive.name == "while")
        return loop.params["body_jaxpr"]
