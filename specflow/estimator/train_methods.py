"""`Estimator.train` and `Estimator.train_and_evaluate`."""

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from specflow import loop
from specflow.config.base import MOST_STEPS
from specflow.config.epochs import EpochLength
from specflow.config.run_config import RunConfig
from specflow.contract import Mode
from specflow.data import repeated_batches, track_iterator
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.estimator.end_of_training import stop_of
from specflow.estimator.estimator_arguments import (
    checked_hooks,
    checked_listeners,
    step_count,
)
from specflow.estimator.evaluate_methods import EvaluateMethods
from specflow.estimator.export_methods import ExportMethods
from specflow.estimator.input_functions import BatchForm, InputFn, train_form
from specflow.estimator.recovery import skip_repeated_steps
from specflow.estimator.run_state import Stateful
from specflow.estimator.step_evaluations import Evaluations
from specflow.estimator.synchronized_inputs import agree_on_batches
from specflow.estimator.train_actions import is_stop_requested
from specflow.estimator.train_eval_specs import EvalSpec, TrainSpec, check_specs
from specflow.estimator.train_recorder import TrainRecorder
from specflow.estimator.training import TrainCall, Training
from specflow.executor import TrainState
from specflow.executor.device_loops import DeviceLoops, run_alone
from specflow.lifecycle import Exporter
from specflow.loop import EvalProgress, EvaluationStopped

__all__ = ["TrainMethods"]


class TrainMethods(EvaluateMethods, ExportMethods):
    """Trains the model of an estimator, with evaluations and exports on the way."""

    _training: Training
    _batch: BatchForm | None
    """Shapes and dtypes of a training batch, once an input was read."""
    _check_declared: Callable[[], None]
    """Checks labels against what a config declares."""

    def train(
        self,
        input_fn: InputFn,
        *,
        steps: int | None = None,
        max_steps: int | None = None,
        epochs: float | None = None,
        max_epochs: float | None = None,
        hooks: Sequence[Any] | None = (),
        saving_listeners: Sequence[Any] | None = (),
    ) -> Self:
        """Trains, and saves the state at the end.

        Training resumes from the newest checkpoint in `model_dir`: parameters,
        optimizer state, random streams and data position. It continues after the
        rows that were read, also with another batch size. An input that was read to its
        end starts again in the next call, so that

            for _ in range(3):
                estimator.train(one_epoch)
                estimator.evaluate(held_out)

        trains three epochs. An iterator that is returned again continues from its
        position. A call warns if the input ends before its steps are taken.

        After a transient failure of a device, one process resumes from its newest
        checkpoint, up to `RunConfig(recover=...)` times without a newer one; `begin` of
        hooks and listeners is called again then. Ctrl-C raises KeyboardInterrupt at
        once and saves nothing: see `should_stop` of `train_and_evaluate`.

        Args:
            input_fn: returns the training input.
            steps: number of steps to take from the newest checkpoint on.
            max_steps: step at which to stop, counted over all calls.
            epochs: passes over the rows of the input to take from the newest checkpoint
                on, with their last step rounded up: `1`, `0.5`. The input has to have a
                length: arrays, a source, or an iterable of batches with a `len()`,
                which is repeated.
            max_epochs: likewise, counted over all calls. If none of the four is set,
                trains until the data ends; arrays and sources do not end.
            hooks: objects with any of begin, before_step, after_step, end.
            saving_listeners: objects with any of begin, before_save, after_save, end;
                `after_save` returns True to end training.

        Returns:
            The estimator.

        Raises:
            NanLossDuringTrainingError: A loss is not finite; that state is not saved.
            ConfigError: two of steps, max_steps, epochs and max_epochs are given, or
                one is not positive; listeners without checkpoints.
            DataError: the input cannot be used, has no batch, or has no length to count
                epochs by.
        """
        stop_at = stop_of(
            steps=steps, max_steps=max_steps, epochs=epochs, max_epochs=max_epochs
        )
        max_steps = step_count(max_steps, "max_steps", most=MOST_STEPS)
        total = max_epochs if epochs is None else epochs
        spec = TrainSpec(input_fn, None, hooks, saving_listeners, total)
        _check_saving(spec, self.config)
        self.check_labels()
        if not self._is_past(max_steps):
            run_alone(self._train(spec, stop_at))
        return self

    def train_and_evaluate(
        self,
        train_spec: TrainSpec,
        eval_spec: EvalSpec,
        *,
        on_start: Callable[[int], Mapping[str, Stateful] | None] | None = None,
        report: loop.MetricsCallback | None = None,
        progress: Callable[[int, float], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> tuple[dict[str, Any], list[Path | None]]:
        """Trains, and evaluates on the way and at the end.

        Args:
            train_spec: training input, and the step at which training ends.
            eval_spec: evaluation input, when to evaluate, and what to export then.
            on_start: takes the step at which training starts, once its state is
                restored: files of reports can be cut there. Called before the first
                report. May return parts with a `state` and `restore`, by name, which
                checkpoints then have.
            report: takes (step, split, metrics) of every report.
            progress: takes (step, loss) after every device loop.
            should_stop: called between device loops, and between the batches of an
                evaluation. If it returns true, training ends with a checkpoint and
                without a last evaluation. An evaluation that it stopped continues in
                the call that resumes.

        Returns:
            Metrics of the last evaluation, with `loss` and `global_step`, and the
            export of each exporter, None if it did not export the state. If nothing is
            left to train, the newest checkpoint is evaluated. If the run was requested
            to stop, the metrics are `global_step` alone unless the last step was
            evaluated.

        Raises:
            ConfigError: evaluation happens at checkpoints, and none are saved.
        """
        return run_alone(
            self.train_and_evaluate_loops(
                train_spec,
                eval_spec,
                on_start=on_start,
                report=report,
                progress=progress,
                should_stop=should_stop,
            )
        )

    def train_and_evaluate_loops(
        self,
        train_spec: TrainSpec,
        eval_spec: EvalSpec,
        *,
        on_start: Callable[[int], Mapping[str, Stateful] | None] | None = None,
        report: loop.MetricsCallback | None = None,
        progress: Callable[[int, float], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> DeviceLoops[tuple[dict[str, Any], list[Path | None]]]:
        """Yields the device loops of `train_and_evaluate`, and is sent their results.

        So that several trainings can run theirs in one call; arguments, result and
        errors are those of `train_and_evaluate`.
        """
        check_specs(train_spec, eval_spec)
        report = skip_repeated_steps(report)
        if eval_spec.evaluates_at_checkpoints and not self.config.saves:
            raise ConfigError(
                Diagnostic(
                    "EvalSpec.every_steps",
                    "is None, and the RunConfig saves no checkpoints",
                    expected="a number of steps, or a RunConfig that saves checkpoints",
                    code="steps",
                )
            )
        _check_saving(train_spec, self.config)
        self.check_labels()
        evaluations = self._evaluations(eval_spec, report, should_stop)
        step, state = yield from self._train(
            train_spec,
            stop_of(
                max_steps=step_count(
                    train_spec.max_steps, "TrainSpec.max_steps", most=MOST_STEPS
                ),
                max_epochs=train_spec.max_epochs,
            ),
            evaluations=evaluations,
            on_start=on_start,
            report=report,
            progress=progress,
            should_stop=should_stop,
        )
        self.stopped_early = evaluations.stopped_early
        if not is_stop_requested(should_stop):
            # If this evaluates the state, nothing was trained, and nothing is saved.
            already_evaluated = evaluations.step == step
            with contextlib.suppress(EvaluationStopped):
                evaluations.finish(step, state)
            if evaluations.step != step:
                stopped = evaluations.state(step)
                self.checkpoints.update_data(step, evaluation=stopped)
            elif not already_evaluated:
                self.checkpoints.add_metrics(step, evaluations.metrics)
        if evaluations.step != step:
            return {"global_step": step}, evaluations.exports
        return evaluations.metrics, evaluations.exports

    def check_labels(self) -> None:
        """Checks that the data suits the losses and metrics of a config, once.

        Raises:
            DataError: A label is out of range, or a metric cannot be computed.
        """
        self._check_declared()

    def record_training(self, recorder: TrainRecorder) -> None:
        """Records what the calls to train read from now on; `resume-check` does."""
        self._training.recorder = recorder

    @property
    def recoveries(self) -> int:
        """Number of times that training resumed after a failure of a device."""
        return self._training.recoveries

    @property
    def skipped_steps(self) -> int | None:
        """Steps of the last call to train that a dynamic loss scale skipped, as their
        gradients were not finite; None if the scale is not dynamic.
        """
        return self._training.skipped_steps

    def _evaluations(
        self,
        spec: EvalSpec,
        report: loop.MetricsCallback | None,
        should_stop: Callable[[], bool] | None,
    ) -> Evaluations:
        """Returns the evaluations of one call to `train_and_evaluate`."""
        steps = step_count(spec.steps, "EvalSpec.steps")
        if self._recorder is not None:
            self._recorder.evaluated(spec.input_fn, steps)

        def evaluate(
            of_set: str | None,
            step: int,
            state: TrainState,
            progress: EvalProgress,
            on_spec_hooks: Callable[[Sequence[Any]], None],
        ) -> dict[str, Any]:
            return self._evaluate(
                spec.input_fn if of_set is None else spec.sets[of_set],
                self._states.averaged(state),
                step,
                steps,
                hooks=checked_hooks(spec.hooks),
                progress=progress,
                should_stop=should_stop
                and functools.partial(is_stop_requested, should_stop),
                on_spec_hooks=on_spec_hooks,
            )

        return Evaluations(
            evaluate,
            self._run_exporter,
            self._states.live,
            config=self.config,
            model_dir=self.model_dir,
            spec=spec,
            report=report,
        )

    def _run_exporter(
        self,
        exporter: Exporter,
        directory: Path,
        metrics: Mapping[str, Any],
        *,
        is_final: bool,
    ) -> Path | None:
        with self.timing("export"):
            return exporter.export(self, directory, metrics, is_final=is_final)

    def _train(
        self,
        spec: TrainSpec,
        stop_at: Callable[[int, EpochLength | None], int | None],
        *,
        evaluations: Evaluations | None = None,
        on_start: Callable[[int], Mapping[str, Stateful] | None] | None = None,
        report: loop.MetricsCallback | None = None,
        progress: Callable[[int, float], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> DeviceLoops[tuple[int, TrainState]]:
        """Opens the training input and runs one call to train."""

        def open_input() -> Any:
            value = self._input(spec.input_fn, Mode.TRAIN)
            return value if spec.max_epochs is None else repeated_batches(value)

        hooks = checked_hooks(spec.hooks)
        listeners = checked_listeners(spec.saving_listeners)
        if self.config.saves:
            self._write_record()
        value = track_iterator(open_input())
        agree_on_batches(value)
        if self._batch is None:
            self._batch, value = train_form(
                value, self._batch_sizes[Mode.TRAIN], self._batch_share
            )
        call = TrainCall(
            open_input=open_input,
            form=self._batch,
            stop_at=stop_at,
            hooks=hooks,
            listeners=listeners,
            evaluations=evaluations,
            on_start=on_start,
            report=report,
            progress=progress,
            should_stop=should_stop,
        )
        return (yield from self._training.run(value, call))

    def _is_past(self, max_steps: int | None) -> bool:
        """Returns whether the newest checkpoint has all the steps."""
        latest = self.latest_step()
        return max_steps is not None and latest is not None and latest >= max_steps


def _check_saving(spec: TrainSpec, config: RunConfig) -> None:
    if spec.saving_listeners and not config.saves:
        raise ConfigError(
            Diagnostic(
                "saving_listeners",
                "are given, and nothing is saved",
                expected="a RunConfig with checkpoints",
                code="steps",
            )
        )
