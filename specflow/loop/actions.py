"""Actions of the training loop between device loops, as one protocol."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from specflow.executor import TrainState
from specflow.runtime.typing import Tree

__all__ = ["Actions", "Due", "NoActions", "StepMetricsFn"]

StepMetricsFn = Callable[[int], dict[str, float]]
"""Step -> its gradient norm and learning rates, read from the device when called."""


@dataclasses.dataclass(frozen=True, slots=True)
class Due:
    """Periodic actions that are due after a step; false if there is none."""

    evaluate: bool = False
    save: bool = False
    profile: bool = False

    def __bool__(self) -> bool:
        return self.evaluate or self.save or self.profile


class Actions(Protocol):
    """Evaluates, saves, exports, logs and profiles on behalf of `train`.

    `train` decides the order, the implementation decides when. Every loss up to a step
    is known to be finite when `evaluate`, `save`, `profile`, `finish` or
    `save_on_error` is called with the state of that step, which they must not keep. All
    of them may raise `StopTraining`, except `finish` and `save_on_error`.
    """

    def next_step(self, step: int) -> int | None:
        """Returns the next step at which an action is due; device loops end there.

        If None, no action is due at a known step.
        """
        ...

    def due(self, step: int) -> Due:
        """Returns the actions that are due now, after `step`; called once a loop."""
        ...

    def evaluate(self, step: int, state: TrainState) -> None:
        """Evaluates the state and runs the exporters."""
        ...

    def save(self, step: int, state: TrainState) -> None:
        """Writes a checkpoint of the state."""
        ...

    def profile(self, step: int) -> None:
        """Starts or stops the profiler."""
        ...

    def log_mask(self, steps: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Returns a mask of the steps for which `log` reads `step_metrics`.

        It has to be the same in all processes.

        Args:
            steps: int[n], counted from 1.
        """
        ...

    def log(
        self,
        steps: NDArray[np.integer],
        losses: NDArray[Any],
        step_metrics: StepMetricsFn,
    ) -> None:
        """Reports the finite losses of consecutive steps.

        Args:
            steps: int[n], counted from 1.
            losses: float[n], each before the update of its step.
            step_metrics: reads the other metrics of a step in `log_mask`.
        """
        ...

    def skip(self, steps: NDArray[np.integer]) -> None:
        """Records skipped steps, before `log` gets the losses of the same loop.

        Args:
            steps: int[n], counted from 1: those without an update, because the scale
                of the loss was too large.
        """
        ...

    def show_progress(self, step: int, loss: float) -> None:
        """Shows the last step of a device loop and its loss."""
        ...

    def should_stop(self) -> bool:
        """Returns whether training ends now; called after every device loop."""
        ...

    def finish(self, step: int, state: TrainState) -> None:
        """Evaluates, exports and saves the last state, unless an error ended training.

        Precedes the `end` of the hooks.
        """
        ...

    def save_on_error(self, step: int, state: TrainState, error: Exception) -> None:
        """Saves the state of the last step, which `error` would lose.

        The error is raised afterwards. An exception of this method becomes its note.
        """
        ...

    def nan_hint(self, step: int, labels: Tree, index: int) -> str:
        """Returns a hint for the message about a loss that is not finite, or "".

        Args:
            step: number of the step, counted from 1.
            labels: labels of stacked steps, steps first.
            index: position of the step in `labels`.
        """
        ...


class NoActions:
    """Does nothing between device loops: only the steps are taken."""

    def next_step(self, step: int) -> int | None:
        return None

    def due(self, step: int) -> Due:
        return Due()

    def evaluate(self, step: int, state: TrainState) -> None: ...

    def save(self, step: int, state: TrainState) -> None: ...

    def profile(self, step: int) -> None: ...

    def log_mask(self, steps: NDArray[np.integer]) -> NDArray[np.bool_]:
        return np.zeros(len(steps), bool)

    def log(
        self,
        steps: NDArray[np.integer],
        losses: NDArray[Any],
        step_metrics: StepMetricsFn,
    ) -> None: ...

    def skip(self, steps: NDArray[np.integer]) -> None: ...

    def show_progress(self, step: int, loss: float) -> None: ...

    def should_stop(self) -> bool:
        return False

    def finish(self, step: int, state: TrainState) -> None: ...

    def save_on_error(self, step: int, state: TrainState, error: Exception) -> None: ...

    def nan_hint(self, step: int, labels: Tree, index: int) -> str:
        return ""
