"""Steps of `resume-check`: the triggers of an experiment, scaled down."""

import dataclasses
from typing import Self

from specflow.config.base import MOST_STEPS
from specflow.config.common.triggers import seconds_of, steps_of
from specflow.config.epochs import Epochs
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic

__all__ = ["ResumePlan"]

_STEPS = 24


@dataclasses.dataclass(frozen=True, slots=True)
class ResumePlan:
    """Steps of the two runs, scaled down from the triggers of the experiment."""

    steps: int
    """Step at which both runs end."""
    at: int
    """Step of the checkpoint after which the second run is interrupted."""
    eval_every: int
    steps_per_loop: int

    @classmethod
    def of(cls, config: ExperimentConfig, steps: int | None, at: int | None) -> Self:
        """Scales the triggers so that all of them fall into a few steps.

        Args:
            config: of the experiment.
            steps: step at which the runs end; None: a default.
            at: step of the checkpoint; None: between two evaluations.

        Raises:
            ConfigError: the steps do not leave room for an interruption.
        """
        loop, most = config.loop, config.loop.known_steps or MOST_STEPS
        if steps is None:
            steps = min(most, _STEPS if at is None else max(_STEPS, at + 15))
        at = max(1, steps * 3 // 8) if at is None else at
        problem = expected = ""
        if steps > most:
            problem, expected = f"got {steps}", f"at most loop.train_steps ({most})"
        elif steps < at + 2:
            problem = f"{steps} steps leave none to take after the checkpoint of {at}"
            expected = f"at least {at + 2}"
        if problem:
            raise ConfigError(
                Diagnostic(
                    "--steps", problem, expected, origin="command line", code="usage"
                )
            )
        every = steps_of(config.output.checkpoint.every)
        scale = at / (every if isinstance(every, int) and every else 500)
        # Where saves are much rarer than evaluations, not one at each step.
        least, most = steps // 6, max(1, steps // 4)
        evaluations = _scaled(loop.eval_every, scale, least=least, most=most)
        # Several steps, so that training resumes inside a device loop.
        loops = _scaled(loop.iterations_per_loop, scale, least=1, most=steps)
        most_loops = max(1, (steps - at) // 3)
        if isinstance(loop.iterations_per_loop, int):
            most_loops = min(most_loops, loop.iterations_per_loop)
        return cls(steps, at, evaluations, min(max(4, loops), most_loops))

    def overrides(self, config: ExperimentConfig) -> dict[str, str]:
        """Key -> value that replaces the experiment's own."""
        return {
            "loop.log_every": "1",
            "loop.eval_every": str(self.eval_every),
            "loop.eval_steps": str(min(config.loop.eval_steps or 8, 8)),
            "loop.iterations_per_loop": str(self.steps_per_loop),
            "loop.profile": "null",
            "loop.recover": "0",
            "output.checkpoint.every": str(self.at),
            "output.checkpoint.keep": "0",
            "output.checkpoint.keep_every_hours": "null",
            "output.checkpoint.keep_every_steps": "null",
            "output.reporters": "[]",
            "output.on_change": "refuse",
        }


def _scaled(every: int | str, scale: float, *, least: int, most: int) -> int:
    """Scales a trigger down to an interval that is in the range; 0 stays 0.

    A time, or epochs, become the largest number, and no interval grows to reach the
    least.
    """
    if seconds_of(every) is not None or isinstance(every, Epochs):
        return most
    steps = int(every)
    return min(most, max(1, round(steps * scale), min(steps, least))) if steps else 0
