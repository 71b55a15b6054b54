"""Actions of the training loop: evaluate, save, export, log and profile."""

import contextlib
import dataclasses
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specflow.config.epochs import EpochLength
from specflow.config.run_config import RunConfig
from specflow.contract import TPUEstimatorSpec
from specflow.data import TrainInput
from specflow.diagnostics.errors import OutputError
from specflow.distributed import collectives
from specflow.estimator.label_hint import label_hint
from specflow.estimator.loss_reports import Watcher
from specflow.estimator.run_state import RunState
from specflow.estimator.step_evaluations import Evaluations
from specflow.estimator.step_saving import Saver
from specflow.estimator.synchronized_inputs import meet_after_error
from specflow.estimator.train_recorder import TrainRecorder
from specflow.executor import TrainState, to_tree
from specflow.loop import (
    Due,
    EvaluationStopped,
    EverySeconds,
    EverySteps,
    Profile,
    StepMetricsFn,
    Trigger,
    WhicheverFirst,
    every_steps,
)
from specflow.output import Checkpointer
from specflow.output.checkpoint.params_snapshots import ParamsSnapshots
from specflow.runtime.stopwatch import Stopwatch
from specflow.runtime.typing import Tree

__all__ = ["TrainActions", "is_stop_requested"]


@dataclasses.dataclass(kw_only=True, eq=False)
class TrainActions:
    """Implements `specflow.loop.Actions` for one call to train."""

    config: RunConfig
    model_dir: Path
    checkpoints: Checkpointer
    timing: Stopwatch
    spec: TPUEstimatorSpec
    """The spec of a training step, abstract."""
    run_state: RunState
    """All parts with a state on the host; they are registered."""
    snapshots: ParamsSnapshots | None
    """Writes the parameters beside each checkpoint; None: not wanted."""
    inference_state: Callable[[TrainState], TrainState]
    """Maps a training state to the one that is evaluated and exported."""
    batches: TrainInput
    watcher: Watcher
    profiler: Profile | None
    evaluations: Evaluations | None
    listeners: Sequence[Any]
    progress: Callable[[int, float], None] | None
    stop_request: Callable[[], bool] | None
    start_step: int
    length: EpochLength | None
    """Length of an epoch; None: it is not known."""
    ends_every_step: bool
    """True if every device loop has one step, for hooks that see each step."""
    recorder: TrainRecorder | None = None
    """Records the losses, for a comparison of two runs."""

    def __post_init__(self) -> None:
        self._saver = Saver(self._write, self.listeners)
        self._has_failed = False
        evaluations = self.evaluations
        self._evaluation_trigger = evaluations and evaluations.new_trigger(self.length)
        self._save_trigger = self._checkpoint_trigger()
        self._triggers: list[Trigger] = [
            trigger
            for trigger in (self._evaluation_trigger, self._save_trigger, self.profiler)
            if trigger is not None
        ]
        if self.ends_every_step:
            self._triggers.append(EverySteps(1))

    def _checkpoint_trigger(self) -> Trigger | None:
        if not self.config.saves:
            return None
        seconds = self.config.save_checkpoints_secs
        by_steps: list[Trigger] = [
            every_steps(
                self.config.save_checkpoints_steps or 0,
                where="save_checkpoints_steps",
                length=self.length,
                start=self.start_step,
            ),
            # Without a checkpoint of its own such a step could not be kept.
            EverySteps(self.config.keep_checkpoint_every_n_steps or 0),
        ]
        return WhicheverFirst(
            by_steps, None if seconds is None else EverySeconds(seconds)
        )

    def next_step(self, step: int) -> int | None:
        """Returns the next step at which an action is due, if that is known."""
        steps = (trigger.next_after(step) for trigger in self._triggers)
        return min((due for due in steps if due is not None), default=None)

    def due(self, step: int) -> Due:
        """Returns the actions that are due after a step."""
        # All processes ask in this order: a trigger by time is a collective call.
        evaluate = _is_due(self._evaluation_trigger, step)
        save = _is_due(self._save_trigger, step)
        if self.evaluations is not None:
            evaluate |= save and self.evaluations.is_due_at_checkpoint()
            self.evaluations.is_unfinished = evaluate
        return Due(evaluate, save, profile=_is_due(self.profiler, step))

    def evaluate(self, step: int, state: TrainState) -> None:
        """Evaluates and exports the state, and saves it if it is the best so far."""
        assert self.evaluations is not None
        self._check_directory()
        self.evaluations.evaluate(step, state)
        # Without a checkpoint of its own step the best state would be lost.
        if self.config.saves and self.checkpoints.is_new_best(self.evaluations.metrics):
            self._saver.save(step, state)

    def save(self, step: int, state: TrainState) -> None:
        """Saves the state."""
        self._check_directory()
        self._saver.save(step, state)

    def save_at_start(self, step: int, state: TrainState) -> None:
        """Saves the state before the first step."""
        self._saver.save(step, state)

    def profile(self, step: int) -> None:
        """Starts or stops the profiler."""
        assert self.profiler is not None
        self.profiler.start_or_stop(step)

    def log_mask(self, steps: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Returns a mask of the steps that are logged."""
        return self.watcher.log_mask(steps)

    def log(
        self,
        steps: NDArray[np.integer],
        losses: NDArray[Any],
        step_metrics: StepMetricsFn,
    ) -> None:
        """Reports losses, and the gradient norm and learning rates of their steps."""
        self.watcher(steps, losses, step_metrics)
        if self.recorder is not None:
            self.recorder.record_losses(steps, losses)

    def skip(self, steps: NDArray[np.integer]) -> None:
        """Records steps that a dynamic loss scale skipped."""
        self.watcher.skip(steps)

    def show_progress(self, step: int, loss: float) -> None:
        """Shows the last step and its loss."""
        if self.progress is not None:
            self.progress(step, loss)

    def should_stop(self) -> bool:
        """Returns whether training was requested to stop, in any process."""
        return is_stop_requested(self.stop_request)

    def finish(self, step: int, state: TrainState) -> None:
        """Evaluates, exports and saves the last state.

        A call that was requested to stop skips the evaluation.
        """
        evaluations = self.evaluations
        self._check_directory()
        if evaluations is not None and not self.should_stop():
            with contextlib.suppress(EvaluationStopped):
                evaluations.finish(step, state)
        if not self.config.saves:
            return
        was_saved = self._saver.is_saved(step)
        self._saver.end(step, state)
        if self.snapshots is not None:
            self.snapshots.wait()
        if was_saved and evaluations is not None:
            if evaluations.step == step:
                self.checkpoints.add_metrics(step, evaluations.metrics)
            if evaluations.is_unfinished:  # It was stopped after the save.
                state_of_it = evaluations.state(step)
                self.checkpoints.update_data(step, evaluation=state_of_it)

    def save_on_error(self, step: int, state: TrainState, error: Exception) -> None:
        """Saves the state of the last step, and notes it on the error."""
        self._has_failed = True
        self.batches.give_back(step)
        if not self.config.saves:
            return
        meet_after_error()
        try:
            self._saver.save_on_error(step, state)
            self.checkpoints.wait()
        except OutputError as save_error:
            if isinstance(error, OutputError) and _codes(error) == _codes(save_error):
                return  # The same save failed before.
            raise
        error.add_note(f"The state of step {step} is saved: training resumes there.")

    def nan_hint(self, step: int, labels: Tree, index: int) -> str:
        """Names the newest checkpoint, the rows of the step, and wrong labels."""
        write_error, labels_hint = "", label_hint(labels, index, self.spec)
        try:
            self.checkpoints.wait()
        except OutputError as error:
            write_error = f" {error}"
        newest = self.checkpoints.latest_step()
        saved = "There is none of an earlier step either."
        if newest is not None:
            saved = f"The newest one is of step {newest}."
        saved += write_error
        if (self.model_dir / "config.yaml").exists():  # A run of the command line.
            run = shlex.quote(f"run={self.model_dir}")
            command = f"specflow predict {run} --rows-of {step}"
        else:
            command = f"estimator.rows_of_step(source, {step})"
        return f"{saved} Those rows: {command}. {labels_hint}".rstrip()

    def _check_directory(self) -> None:
        """Checks that the model directory is still there, before files are written."""
        collectives.on_process_zero(self.checkpoints.space.check_directory)

    def _write(self, step: int, state: TrainState) -> None:
        """Writes a checkpoint, with the state of every part of the run."""
        evaluations = self.evaluations
        is_evaluated = evaluations is not None and evaluations.step == step
        with self.timing("checkpoint"):
            if self.snapshots is not None:
                # First: the checkpoint is complete only when they are. Snapshots
                # without a checkpoint are removed, so the previous one is awaited.
                self.checkpoints.wait()
                tree = to_tree(self.inference_state(state))
                parts = {part: tree[part] for part in ("params", "state")}
                self.snapshots.save(step, parts)
            self.checkpoints.save(
                step,
                to_tree(state),
                data=self.run_state.state(step, after_error=self._has_failed),
                metrics=evaluations.metrics if evaluations and is_evaluated else None,
            )


def is_stop_requested(should_stop: Callable[[], bool] | None) -> bool:
    """Returns whether training is requested to stop, in any process."""
    return should_stop is not None and collectives.any_process(should_stop())


def _is_due(trigger: Trigger | None, step: int) -> bool:
    return trigger is not None and trigger.is_due(step)


def _codes(error: OutputError) -> list[str]:
    return [diagnostic.code for diagnostic in error.diagnostics]
