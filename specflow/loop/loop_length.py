"""Length of a device loop that is given in seconds."""

import collections

from specflow.distributed import collectives

__all__ = ["LoopLengthEstimator"]

_LOOPS = 20
"""Loops over which the time of a step is averaged."""
_STABLE = 0.1
"""Relative change of the estimates below which the number is fixed."""


class LoopLengthEstimator:
    """Estimates the steps of a device loop from the time of previous steps.

    The estimate starts with one step, follows the mean step time of the last 20 loops,
    is at least one, and is fixed once it changes by less than a tenth over 20 loops.

    Args:
        seconds: target duration of a loop.

    >>> estimator = LoopLengthEstimator(10.0)
    >>> estimator.steps_per_loop
    1
    >>> estimator.record(1, 0.5)
    >>> estimator.steps_per_loop
    20
    """

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._loops: collections.deque[tuple[int, float]] = collections.deque(
            maxlen=_LOOPS
        )
        self._estimates: collections.deque[int] = collections.deque(maxlen=_LOOPS)
        self.steps_per_loop = 1
        """Steps of the next loop."""

    @property
    def is_stable(self) -> bool:
        """True once the number of steps is fixed."""
        is_full = len(self._estimates) == _LOOPS
        return is_full and max(self._estimates) <= min(self._estimates) * (1 + _STABLE)

    def record(self, steps: int, seconds: float) -> None:
        """Records the duration of a loop."""
        if self.is_stable:
            return
        seconds = collectives.gather(seconds)[0]  # Equal on all processes.
        self._loops.append((steps, seconds))
        total_steps = sum(steps for steps, _ in self._loops)
        mean_s = sum(seconds for _, seconds in self._loops) / total_steps
        self.steps_per_loop = max(1, int(self._seconds / max(mean_s, 1e-9)))
        self._estimates.append(self.steps_per_loop)
