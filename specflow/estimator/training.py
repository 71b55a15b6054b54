"""One call to train: from the restored state to the last step, with recovery."""

import contextlib
import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from specflow import loop
from specflow.columns import FittedColumns
from specflow.config.epochs import EpochLength
from specflow.config.run_config import RunConfig
from specflow.contract import Mode
from specflow.data import Share, TrainInput, as_source, track_iterator
from specflow.diagnostics.errors import (
    ConfigError,
    DataError,
    Diagnostic,
    SpecflowWarning,
)
from specflow.diagnostics.rendering import is_of_device
from specflow.distributed import collectives
from specflow.estimator.columns_state import ColumnsState
from specflow.estimator.input_functions import BatchForm
from specflow.estimator.loss_reports import Watcher, shows_progress, summaries
from specflow.estimator.recovery import Recovery
from specflow.estimator.run_state import RunState, Stateful
from specflow.estimator.state_source import SavedSeed, States
from specflow.estimator.step_evaluations import Evaluations
from specflow.estimator.synchronized_inputs import agree_on_form
from specflow.estimator.train_actions import TrainActions
from specflow.estimator.train_recorder import TrainRecorder
from specflow.estimator.training_input import epoch_from, stacked_steps, training_input
from specflow.executor import Program, TrainState, to_tree
from specflow.executor.device_loops import DeviceLoops
from specflow.loop import EvaluationStopped, LoopLengthEstimator, Profile, StopTraining
from specflow.output import Checkpointer, Progress
from specflow.output.checkpoint.disk_space import bytes_of
from specflow.output.checkpoint.params_snapshots import ParamsSnapshots
from specflow.runtime.closing import closing

__all__ = ["TrainCall", "Training"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrainCall:
    """Arguments of one call to train."""

    open_input: Callable[[], Any]
    """Returns the input from its start: where it was read to its end, and where
    training resumes."""
    form: BatchForm
    stop_at: Callable[[int, EpochLength | None], int | None]
    """Step at which training starts and length of an epoch, None if that is unknown ->
    step at which to stop; None: at the end of the data."""
    hooks: Sequence[Any] = ()
    """Hooks of the caller; those of the spec follow."""
    listeners: Sequence[Any] = ()
    """Called around every save."""
    evaluations: Evaluations | None = None
    """Evaluations of the states on the way."""
    on_start: Callable[[int], Mapping[str, Stateful] | None] | None = None
    """Takes the step at which training starts, once its state is restored; called once,
    before the first report. May return parts whose state is in checkpoints, by name."""
    report: loop.MetricsCallback | None = None
    """Takes (step, "train", {"loss": ...}), a mean since the previous report."""
    progress: Callable[[int, float], None] | None = None
    """Takes (step, loss) after every device loop."""
    should_stop: Callable[[], bool] | None = None
    """Called between device loops; true ends training."""


class Training:
    """Trains a model, saves it, and evaluates it on the way.

    Args:
        program: the compiled steps.
        states: provides the state to start from, and keeps the last one.
        checkpoints: writes and reads checkpoints.
        config: intervals of actions, and what is reported.
        snapshots: writes the parameters beside each checkpoint; None: not wanted.
        model_dir: parent of summaries and profiles.
        rows: rows of a batch, over all processes.
        hooks_see_each_step: whether hooks are called around every step, as on the CPU
            path of TensorFlow, which has no device loops; else around device loops.
    """

    def __init__(
        self,
        program: Program,
        states: States,
        checkpoints: Checkpointer,
        config: RunConfig,
        *,
        snapshots: ParamsSnapshots | None,
        model_dir: Path,
        rows: int,
        hooks_see_each_step: bool,
    ):
        self._program, self._states = program, states
        self._checkpoints, self._config = checkpoints, config
        self._snapshots = snapshots
        self._model_dir, self._rows = model_dir, rows
        self._hooks_see_each_step = hooks_see_each_step
        self.recoveries = 0
        """Number of times that training resumed after a device failed."""
        self.skipped_steps: int | None = None
        """Steps of the last call that a dynamic loss scale skipped; None: the scale is
        not dynamic."""
        self.recorder: TrainRecorder | None = None
        """Records the batches and hooks, for a comparison of two runs."""
        self._started_parts: Mapping[str, Stateful] = {}
        """Of `TrainCall.on_start`; they outlive a recovery."""
        self.columns: FittedColumns | None = None
        """Fitted columns of the data, if it is a table."""
        self.refits_columns = False
        """The columns may differ from those of the checkpoint."""
        self._batch_share = Share(*program.partitioner.local_parts)

    def run(self, value: Any, call: TrainCall) -> DeviceLoops[tuple[int, TrainState]]:
        """Trains on an input, and resumes after a transient failure of a device.

        Args:
            value: the input, as an input function returns it.
            call: the arguments of the call.

        Returns:
            Step and state at which training ended.

        Raises:
            ConfigError: neither the arguments nor the data end training.
            DataError: the input has no batch.
            NanLossDuringTrainingError: A loss is not finite; that state is not saved.
        """
        config = self._config
        # With several processes, one cannot start again while the others wait for it.
        recovers = config.saves and collectives.process_count() == 1
        recovery = Recovery(config.recover if recovers else 0)
        call = dataclasses.replace(call, stop_at=_first_answer(call.stop_at))
        while True:
            try:
                return (yield from self._run(value, call))
            except Exception as error:
                if not recovery.takes(error, self._checkpoints.latest_step):
                    raise
            self.recoveries += 1
            call = dataclasses.replace(call, on_start=None)
            self._states.drop()
            value = track_iterator(call.open_input())

    def _run(self, value: Any, call: TrainCall) -> DeviceLoops[tuple[int, TrainState]]:
        """Trains on an input, without recovery."""
        features, labels = call.form
        agree_on_form("training", {"features": features, "labels": labels})
        if self._config.saves and self._checkpoints.latest_step() is None:
            # Before the program of the initial values is compiled.
            self._check_disk_space(features, labels)
        length_from = functools.partial(epoch_from, value, self._config, self._rows)

        def stacked() -> int:
            stop = call.stop_at(0, length_from(0, None))
            return stacked_steps(self._config, call.form, stop)

        with self._program.timing("checkpoint"):
            start, state, saved = self._states.to_train(features, labels, stacked)
        if call.on_start is not None:
            self._started_parts = call.on_start(start) or {}
        run_state = RunState(saved)
        for name, part in self._started_parts.items():
            run_state.add(name, part)
        run_state.add("seed", SavedSeed(self._states))
        if self.columns is not None:
            run_state.add("columns", ColumnsState(self.columns, self.refits_columns))
        if call.evaluations is not None:
            run_state.add("evaluation", call.evaluations)
            call.evaluations.on_spec_hooks = run_state.add_hooks_of_evaluations
            for kind, objects in call.evaluations.user_parts().items():
                run_state.add_user_parts(kind, objects)
        length = length_from(start, (saved or {}).get("input"))
        stop = call.stop_at(start, length)
        if stop is None and as_source(value) is not None:
            raise ConfigError(
                Diagnostic(
                    "train",
                    "neither steps nor max_steps is given, and arrays are "
                    "repeated without end",
                    expected="one of them",
                    code="steps",
                )
            )
        if stop is not None and start >= stop:
            if self._config.saves and saved:
                # There is no save, which would do so.
                collectives.on_process_zero(self._checkpoints.remove_unfinished)
            return start, state
        if not self._begin_evaluations(call.evaluations, start, stop, state):
            return start, state
        first = [state]
        del state  # Read in place, its arrays outlive their donation: it is let go.
        batches = run_state.make(
            "input",
            lambda place: training_input(
                value,
                call.form,
                call.open_input,
                config=self._config,
                rows=self._rows,
                seed=self._states.seed,
                start_step=start,
                stop_step=stop,
                place=place,
                share=self._batch_share,
            ),
        )
        if self.recorder is not None:
            batches = self.recorder.begin(start, value, batches)
        return (
            yield from self._loop(call, batches, start, stop, first, run_state, length)
        )

    def _begin_evaluations(
        self,
        evaluations: Evaluations | None,
        step: int,
        stop: int | None,
        state: TrainState,
    ) -> bool:
        """Makes up for an evaluation that failed; returns whether training continues.

        Args:
            evaluations: those of this call.
            step: the step at which training resumes.
            stop: the step at which it stops; None: at the end of the data.
            state: its state.
        """
        if evaluations is None:
            return True
        if not evaluations.begin(step, stop):
            return False
        if not evaluations.is_unfinished:
            return True
        try:
            evaluations.evaluate(step, state)
        except EvaluationStopped:
            progress = evaluations.state(step)
            self._checkpoints.update_data(step, evaluation=progress)
            return False
        except StopTraining:
            return False
        finally:
            self._checkpoints.add_metrics(step, evaluations.metrics)
        return True

    def _loop(
        self,
        call: TrainCall,
        batches: TrainInput,
        start: int,
        stop: int | None,
        first: list[TrainState],
        run_state: RunState,
        length: EpochLength | None,
    ) -> DeviceLoops[tuple[int, TrainState]]:
        """Runs the loop from the only reference to a state, and keeps the last one."""
        config, program = self._config, self._program
        spec = program.spec(Mode.TRAIN, *call.form)
        hooks = [*call.hooks, *spec.training_hooks]
        if self.recorder is not None:
            self.recorder.watch("a hook", hooks)
        profiler, progress = _profiler(config, self._model_dir), call.progress
        closers: list[Callable[[], None]] = [batches.close]
        if profiler is not None:
            closers.append(profiler.close)
        if progress is None and shows_progress(config):
            bar = Progress(stop, start)
            progress = bar.update
            closers.append(bar.close)
        closers.append(self._finish_writing)
        if config.saves:
            space, size = self._checkpoints.space, bytes_of(to_tree(first[0]))
            collectives.on_process_zero(lambda: space.begin(size))
            closers.append(space.end)
        with closing(*closers), self._giving_up():
            with (
                program.timing("train"),
                summaries(config, self._model_dir) as summarize,
            ):
                watcher = Watcher(
                    config,
                    rows=self._rows,
                    length=length,
                    part_rows=batches.part_rows,
                    report=call.report,
                    summarize=summarize,
                )
                run_state.add("losses", watcher)
                run_state.add_user_parts("hook", hooks)
                run_state.add_user_parts("listener", call.listeners)
                run_state.check(start)
                actions = TrainActions(
                    config=config,
                    model_dir=self._model_dir,
                    checkpoints=self._checkpoints,
                    timing=program.timing,
                    spec=spec,
                    run_state=run_state,
                    snapshots=self._snapshots,
                    inference_state=self._states.averaged,
                    batches=batches,
                    watcher=watcher,
                    profiler=profiler,
                    evaluations=call.evaluations,
                    listeners=call.listeners,
                    progress=progress,
                    stop_request=call.should_stop,
                    start_step=start,
                    length=length,
                    ends_every_step=bool(hooks) and self._hooks_see_each_step,
                    recorder=self.recorder,
                )
                if config.saves and config.save_at_start:
                    actions.save_at_start(start, first[0])
                if call.evaluations and call.evaluations.is_due_at_start(start):
                    try:
                        actions.evaluate(start, first[0])
                    except StopTraining:
                        stop = start
                self._states.drop()  # The loop donates it.
                result = yield from loop.train(
                    program,
                    first.pop(),
                    batches,
                    start_step=start,
                    stop_step=stop,
                    actions=actions,
                    hooks=hooks,
                    loop_length=_loop_length(config),
                    host_call=spec.host_call,
                    host_call_every=config.tpu_config.host_call_every_n_steps,
                )
            batches.give_back(result.step)
        skipped = watcher.skipped
        self.skipped_steps = None if skipped is None else len(skipped)
        _warn_of_skipped(skipped, result.step - start)
        if config.saves:
            self._states.keep(result.step, result.state)
        if result.data_ended:
            _check_steps(start, result.step, stop)
        return result.step, result.state

    def _check_disk_space(self, features: Any, labels: Any) -> None:
        """Checks that there is room for a checkpoint; warns if there is little."""
        state = to_tree(self._program.abstract_state(features, labels))
        space = self._checkpoints.space
        collectives.on_process_zero(lambda: space.check(bytes_of(state)))

    def _finish_writing(self) -> None:
        """Waits for checkpoints that are being written, after an error as well."""
        with self._program.timing("checkpoint"):
            self._checkpoints.wait()

    @contextlib.contextmanager
    def _giving_up(self) -> Iterator[None]:
        """Shortens the wait for a save if a device failed: a process may be lost."""
        try:
            yield
        except Exception as error:
            if is_of_device(error):
                if self._snapshots is not None:  # The checkpoint waits for it.
                    self._snapshots.abandon_pending_save()
                self._checkpoints.abandon_pending_save()
            raise


def _warn_of_skipped(skipped: list[int] | None, taken: int) -> None:
    """Warns if half of all steps were skipped."""
    if skipped and 2 * len(skipped) >= taken:
        diagnostic = Diagnostic(
            "loss_scale",
            f"{len(skipped)} of {taken} steps were skipped, the last one step "
            f"{skipped[-1]}: their gradients were not finite",
            hint="A dynamic scale needs a few steps to find its level.",
            code="steps-skipped",
        )
        warnings.warn(SpecflowWarning(diagnostic), stacklevel=2)


def _profiler(config: RunConfig, model_dir: Path) -> Profile | None:
    window = config.profile
    if window is None:
        return None
    return Profile(window.start, window.steps, model_dir / "profile")


def _loop_length(config: RunConfig) -> LoopLengthEstimator | None:
    seconds = config.tpu_config.loop_seconds()
    return None if seconds is None else LoopLengthEstimator(seconds)


def _first_answer(
    stop_at: Callable[[int, EpochLength | None], int | None],
) -> Callable[[int, EpochLength | None], int | None]:
    """Returns a function that keeps its first result, for all attempts of a call."""
    stops: list[int | None] = []

    def stop_of_call(step: int, length: EpochLength | None) -> int | None:
        if not stops:
            stops.append(stop_at(step, length))
        return stops[0]

    return stop_of_call


def _check_steps(start: int, end: int, stop: int | None) -> None:
    """Warns about a call to train that ended because its input did.

    Raises:
        DataError: it took no step.
    """
    if end == start:
        raise DataError(
            Diagnostic(
                "data",
                f"the training input gave no batch; training stays at step {start}",
                expected="at least one batch",
                hint="An iterator gives its batches once: let input_fn make a new one.",
                code="data-empty",
            )
        )
    if stop is not None and end < stop:
        warnings.warn(
            SpecflowWarning(
                Diagnostic(
                    "train",
                    f"the input ended after {end - start} of {stop - start} steps, at "
                    f"step {end}",
                    hint="The next call to train begins the input anew; "
                    "RunConfig(resume_input='restart') begins it anew in every call.",
                    code="input-ended",
                )
            ),
            stacklevel=2,
        )
