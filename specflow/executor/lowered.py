"""A lowered program and its FLOPs."""

import copy
import dataclasses
import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from specflow.executor.array_types import Jaxpr
from specflow.executor.executables import EXECUTABLES, program_key
from specflow.executor.flops import Flops, count_flops, has_remat
from specflow.executor.hyperparameters import TracedPart
from specflow.executor.program_inputs import ProgramInputs

__all__ = ["Lowered"]


@dataclasses.dataclass(frozen=True)
class Lowered:
    """A traced and lowered program, not yet compiled.

    Args:
        traced: from `jax.jit(...).trace(...)`.
        stage: the same lowered; can be compiled.
        jaxpr: of the program, with all hyperparameters as constants.
        without_remat: makes the jaxpr in which the derivative recomputes nothing.
        inputs: the program's last argument, float32[n]: values computed from
            hyperparameters. Empty: it has no such argument.
        origin: where they come from.
        devices: of its mesh.
        looped: whether the program is a device loop over steps.
    """

    traced: jax.stages.Traced
    stage: jax.stages.Lowered
    jaxpr: Any
    without_remat: Callable[[], Any]
    inputs: NDArray[np.float32]
    origin: ProgramInputs
    devices: tuple[Any, ...]
    looped: bool = False

    @functools.cached_property
    def text(self) -> str:
        """The StableHLO, without the values of `inputs`."""
        return self.stage.as_text()

    @functools.cached_property
    def key(self) -> Hashable | None:
        """What equal programs have in common, whatever their `inputs` are; None: no
        other is known to be equal.
        """
        return program_key(self.traced, self.stage, self.text)

    @property
    def last_args(self) -> tuple[NDArray[np.float32], ...]:
        """The program's arguments after those of its function."""
        return (self.inputs,) if self.inputs.size else ()

    def with_optimizer(self, parts: Sequence[TracedPart]) -> "Lowered | None":
        """Returns the program with the inputs that another optimizer gives it.

        Args:
            parts: of the other optimizer.

        Returns:
            None if the program is another one.
        """
        values = self.origin.values_for(parts)
        if values is None:
            return None
        other = copy.copy(self)  # With the text and the FLOPs, which are the same.
        object.__setattr__(other, "inputs", values)
        return other

    def compile(self, options: Mapping[str, Any] | None = None) -> jax.stages.Compiled:
        """Compiles the program, once for all equal programs of the process.

        Args:
            options: XLA's options.
        """
        return EXECUTABLES.compile(
            self.traced,
            self.stage,
            text=self.text,
            devices=self.devices,
            options=options,
        )

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
