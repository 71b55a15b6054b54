"""The part of `resume-check` inside `specflow train`: records a run, or interrupts it.

An environment variable holds its settings, so that what is checked is the same command
that the user runs, also as one of several processes.
"""

import dataclasses
import json
import os
import signal
import time
from pathlib import Path
from typing import Self

from specflow.estimator import Estimator, EvalSpec, TrainRecorder, TrainSpec

__all__ = ["VARIABLE", "RunProbe"]

VARIABLE = "SPECFLOW_RESUME_CHECK"
"""Environment variable with the settings as JSON."""
_LIMIT_S = 300.0
"""Time to wait for a checkpoint that is being written, in seconds."""


@dataclasses.dataclass(kw_only=True, eq=False)
class RunProbe:
    """Records a run, ends it at a step, and may interrupt it before."""

    folder: str
    """Folder of the records."""
    steps: int
    """Step at which the run ends."""
    interrupt_after: int | None = None
    """Step whose checkpoint must be on disk, and after which some step has run, when
    the process sends itself the signal; None: never."""
    signal: str = "SIGKILL"
    """Name of the signal."""

    def __post_init__(self) -> None:
        self._recorder = TrainRecorder(Path(self.folder))
        self._is_sent = False

    @classmethod
    def of_environment(cls) -> Self | None:
        """The probe of this process; None if nothing is checked."""
        settings = os.environ.get(VARIABLE)
        return None if settings is None else cls(**json.loads(settings))

    def to_environment(self) -> dict[str, str]:
        """The environment variable of a process with this probe."""
        return {VARIABLE: json.dumps(dataclasses.asdict(self))}

    def attach(
        self, estimator: Estimator, train_spec: TrainSpec, eval_spec: EvalSpec
    ) -> tuple[TrainSpec, EvalSpec]:
        """Records the training of an estimator.

        Args:
            estimator: of the run.
            train_spec: of the experiment.
            eval_spec: of the experiment.

        Returns:
            The specs of the run, which ends earlier: the experiment keeps its
            `train_steps`, on which schedules depend.
        """
        estimator.record_training(self._recorder)
        return dataclasses.replace(train_spec, max_steps=self.steps), eval_spec

    def after(self, step: int, checkpoints: Path) -> None:
        """Interrupts the process if it is time.

        Args:
            step: steps taken.
            checkpoints: `checkpoints/` of the run.
        """
        if self.interrupt_after is None or step <= self.interrupt_after:
            return
        if self._is_sent:
            return  # The run is about to end by the signal.
        limit = time.monotonic() + _LIMIT_S
        saved = checkpoints / str(self.interrupt_after)
        while not saved.is_dir() and time.monotonic() < limit:
            time.sleep(0.01)
        self._is_sent = True
        os.kill(os.getpid(), signal.Signals[self.signal])

    def finish(self) -> None:
        """Records the user's objects after training."""
        self._recorder.finish()
