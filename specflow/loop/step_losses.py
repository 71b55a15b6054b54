"""Losses of dispatched steps, read from the devices, and the errors they raise."""

import dataclasses
import operator
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from specflow.contract import HostPair
from specflow.diagnostics.errors import Diagnostic, NanLossDuringTrainingError
from specflow.executor import LEAST_SCALE, StepOutputs, to_host
from specflow.loop.actions import Actions
from specflow.runtime.typing import Tree

__all__ = ["DispatchedSteps", "LossWriter"]


@dataclasses.dataclass(frozen=True, slots=True)
class DispatchedSteps:
    """One device loop that was dispatched; its losses are not read yet."""

    losses: jax.Array
    """float[chunk]: entries `start` to `stop` belong to this loop."""
    outputs: StepOutputs
    """Further outputs of the steps, stacked as `losses` is."""
    labels: Tree
    """Labels of the chunk, stacked as `losses` is."""
    first_step: int
    """Steps taken before the first entry of `losses`."""
    start: int
    stop: int

    def read(self) -> NDArray[Any]:
        """Waits for the devices and returns the losses of this loop."""
        return np.asarray(self.losses)[self.start : self.stop]

    def skipped_scales(self) -> NDArray[Any]:
        """Returns the loss scale of each skipped step, and 0 for the others."""
        scales = self.outputs.skipped
        if isinstance(scales, tuple):
            return np.zeros(self.stop - self.start, np.float32)
        return np.asarray(scales)[self.start : self.stop]

    def is_finite(self) -> bool:
        """Returns whether all losses can be read and are finite."""
        try:
            losses, scales = self.read(), self.skipped_scales()
        except Exception:
            return False  # The step failed: its own error is already being raised.
        return bool((np.isfinite(losses) & (scales != LEAST_SCALE)).all())

    def step_metrics(self, step: int) -> dict[str, float]:
        """Returns the gradient norm and learning rates of a step, counted from 1."""
        return self.outputs.measured.at(step - 1 - self.first_step)


class LossWriter:
    """Passes losses and host calls of finished steps on.

    Args:
        actions: log the losses.
        host_call: called with the rows of finished steps, in order.
        host_call_every: steps between two host calls; the first step has one.
    """

    def __init__(self, actions: Actions, host_call: HostPair | None, every: int):
        self._actions = actions
        self._host_call, self._every = host_call, every

    def write(self, steps: DispatchedSteps) -> float:
        """Waits for a device loop, logs its losses and returns the last one.

        Raises:
            NanLossDuringTrainingError: A loss is not finite, or a gradient is not at
                the smallest loss scale. The losses before it are logged.
        """
        losses, scales = steps.read(), steps.skipped_scales()
        numbers = steps.first_step + np.arange(steps.start, steps.stop) + 1
        is_sound = np.isfinite(losses) & (scales != LEAST_SCALE)
        is_sound = np.logical_and.accumulate(is_sound)
        try:
            if scales.any():
                self._actions.skip(numbers[is_sound & (scales > 0)])
            self._actions.log(numbers[is_sound], losses[is_sound], steps.step_metrics)
        finally:
            if not is_sound.all():
                first = int(is_sound.sum())
                raise self._error(steps, int(numbers[first]), float(losses[first]))
        if self._host_call is not None:
            self._call_host(self._host_call, steps)
        self._actions.show_progress(int(numbers[-1]), float(losses[-1]))
        return float(losses[-1])

    def _call_host(self, host_call: HostPair, steps: DispatchedSteps) -> None:
        stacked = to_host(steps.outputs.host_call)
        for index in range(steps.start, steps.stop):
            if (steps.first_step + index) % self._every == 0:
                host_call(jax.tree.map(operator.itemgetter(index), stacked))

    def _error(
        self, steps: DispatchedSteps, number: int, loss: float
    ) -> NanLossDuringTrainingError:
        if np.isfinite(loss):
            return _at_least_scale(number)
        index = number - 1 - steps.first_step
        hint = self._actions.nan_hint(number, steps.labels, index)
        return _not_finite(number, loss, hint)


def _at_least_scale(step: int) -> NanLossDuringTrainingError:
    return NanLossDuringTrainingError(
        Diagnostic(
            f"step {step}",
            "the gradient is not finite, and the dynamic loss scale is already "
            f"{LEAST_SCALE:g}, its least: the step was skipped, as all like it would "
            "be",
            expected="finite gradients",
            hint="Look at the rows of that step for what has no derivative there, such "
            "as the square root of 0 or the norm of zeros.",
            code="loss-scale",
        )
    )


def _not_finite(step: int, loss: float, hint: str) -> NanLossDuringTrainingError:
    return NanLossDuringTrainingError(
        Diagnostic(
            f"step {step}",
            f"the loss, or a parameter after the update, is {loss}",
            expected="finite numbers",
            hint="No checkpoint was written of it. Lower optimizer.lr, set "
            "optimizer.clip_norm, or look at the rows of that step."
            + (f" {hint}" if hint else ""),
            code="nan-loss",
        )
    )
