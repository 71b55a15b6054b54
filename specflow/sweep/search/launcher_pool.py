"""A pool of trials on any of Hydra's launchers."""

import collections
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

from hydra.plugins.launcher import Launcher

from specflow.sweep.pool.trial import Trial, TrialOutcome, TrialStatus

__all__ = ["LauncherPool"]


class LauncherPool:
    """Runs trials in batches, each by one call of a launcher.

    Nothing is known of a trial before its batch ends, so none is pruned.

    Args:
        launcher: Hydra's, set up with a `SweepJob`.
        slots: number of trials of a batch.
        lines_of: returns the overrides that Hydra gives a trial.
        on_start: called with each trial that is about to run.
    """

    def __init__(
        self,
        launcher: Launcher,
        *,
        slots: int,
        lines_of: Callable[[Trial], Sequence[str]],
        on_start: Callable[[Trial], None],
    ):
        self.slots = slots
        self._launcher, self._lines_of, self._on_start = launcher, lines_of, on_start
        self._queue: list[Trial] = []
        self._outcomes: collections.deque[TrialOutcome] = collections.deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, trial: Trial) -> None:
        """Queues a trial for the next batch."""
        self._queue.append(trial)

    def next_outcome(self) -> TrialOutcome:
        """Returns an outcome of the last batch, or runs the queued trials as one.

        Raises:
            LookupError: no trial is queued.
        """
        if not self._outcomes:
            if not self._queue:
                raise LookupError("no trial is queued")
            batch, self._queue = self._queue, []
            started = time.monotonic()
            for trial in batch:
                self._on_start(trial)
            lines = [list(self._lines_of(trial)) for trial in batch]
            returned = self._launcher.launch(lines, batch[0].number)
            seconds = time.monotonic() - started
            self._outcomes += [
                _outcome(trial, one.return_value, seconds)
                for trial, one in zip(batch, returned, strict=True)
            ]
        return self._outcomes.popleft()


def _outcome(trial: Trial, returned: Any, seconds: float) -> TrialOutcome:
    """Returns the outcome of a `SweepJob` as that of a pool."""
    failed = returned.result is None
    return TrialOutcome(
        number=trial.number,
        status=TrialStatus.FAILED if failed else TrialStatus.COMPLETE,
        result=returned.result,
        error=returned.error,
        failure=returned.failure,
        seconds=seconds,
    )
