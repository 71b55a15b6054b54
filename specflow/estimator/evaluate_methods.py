"""`Estimator.evaluate` and `Estimator.predict`."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from specflow import loop
from specflow.contract import Mode
from specflow.data import as_source
from specflow.estimator.estimator_arguments import (
    check_functions,
    checked_hooks,
    step_count,
)
from specflow.estimator.estimator_parts import EstimatorParts
from specflow.estimator.input_functions import InputFn, is_empty
from specflow.estimator.loss_reports import record as record_in
from specflow.estimator.prediction_rows_iter import chosen, known_keys, rows_of
from specflow.estimator.state_source import CheckpointStep
from specflow.executor import TrainState, check_predictions
from specflow.lifecycle import History
from specflow.loop import EvalProgress

__all__ = ["EvaluateMethods"]


class EvaluateMethods(EstimatorParts):
    """Evaluates and predicts with the checkpoints of an estimator."""

    def evaluate(
        self,
        input_fn: InputFn,
        *,
        steps: int | None = None,
        checkpoint_path: str | Path | None = None,
        checkpoint_step: CheckpointStep = None,
        hooks: Sequence[Any] | None = (),
        name: str | None = None,
        record: bool = True,
    ) -> dict[str, Any]:
        """Computes the metrics of the newest checkpoint over an input.

        Args:
            input_fn: returns the evaluation input.
            steps: number of batches; None: to the end of the data.
            checkpoint_path: checkpoint to evaluate instead, such as
                `model_dir/checkpoints/100`. Without any checkpoint the initial values
                are evaluated.
            checkpoint_step: checkpoint of this step or tag instead; or `best` (by
                `RunConfig.keep_best`) or `latest`.
            hooks: objects with any of begin, before_step, after_step, end, called
                around every batch.
            name: name of the evaluation, where there are several.
            record: whether the metrics are added to `<model_dir>/eval` (or
                `eval_<name>`), which early stopping reads.

        Returns:
            `loss` (the mean over examples), `global_step`, and every metric by name.
        """
        steps = step_count(steps, "steps")
        hooks = checked_hooks(hooks)
        check_functions(input_fn=input_fn)
        value = self._learned_from(self._input(input_fn, Mode.EVAL), Mode.EVAL)
        self._report_untrained(checkpoint_path, "evaluate")
        step, state = self._states.to_evaluate(checkpoint_step, checkpoint_path)
        metrics = self._evaluate(
            lambda: value, state, step, steps, hooks=hooks, shown=True
        )
        if record:
            if self._recorder is not None:
                self._recorder.evaluated(input_fn, steps)
            if self.latest_step() is not None:
                self._write_record()
            record_in(self.config, History(self.model_dir, name), step, metrics)
        return metrics

    def evaluate_parts(
        self,
        parts: Mapping[str, InputFn],
        *,
        checkpoint_step: CheckpointStep = None,
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Computes the metrics of several inputs, and of all their rows together.

        Args:
            parts: name -> function that returns an input. Each row is evaluated once.
            checkpoint_step: see `evaluate`.

        Returns:
            The metrics of all rows, empty if hooks or host calls of the spec see the
            batches; and name -> metrics of a part. All with `global_step`.
        """
        check_functions(**dict(parts))
        self._report_untrained(None, "evaluate")
        values = {
            name: self._learned_from(self._input(input_fn, Mode.EVAL), Mode.EVAL)
            for name, input_fn in parts.items()
        }
        step, state = self._states.to_evaluate(checkpoint_step, None)
        results: dict[str, dict[str, Any]] = {}
        accumulated: list[EvalProgress] = []
        for name, value in values.items():
            progress = EvalProgress()
            results[name] = self._evaluate(
                lambda value=value: value,
                state,
                step,
                None,
                shown=True,
                progress=progress,
            )
            accumulated.append(progress)
        if any(progress.is_observed for progress in accumulated):
            return {}, results
        whole = loop.merged(accumulated, loss=self.config.eval_loss).metrics
        return whole | {"global_step": step}, results

    def _evaluate(
        self,
        input_fn: InputFn,
        state: TrainState,
        step: int,
        steps: int | None,
        *,
        hooks: Sequence[Any] = (),
        shown: bool = False,
        progress: EvalProgress | None = None,
        should_stop: Callable[[], bool] | None = None,
        on_spec_hooks: Callable[[Sequence[Any]], None] | None = None,
    ) -> dict[str, Any]:
        """Computes the metrics of a state, with `global_step`."""
        value = self._input(input_fn, Mode.EVAL)
        progress = EvalProgress() if progress is None else progress
        source = as_source(value)
        progress.begin(
            {
                "batch_size": self._batch_sizes[Mode.EVAL],
                "steps": steps,
                "rows": None if source is None else len(source),
                "averages": self._states.has_eval_params,
            }
        )
        batches = self._eval_batches(
            value, Mode.EVAL, steps, shown=shown, skip=progress.batches
        )
        with self.timing("eval"), contextlib.closing(batches):
            result = loop.evaluate(
                self.program,
                state,
                batches,
                hooks=hooks,
                loss=self.config.eval_loss,
                progress=progress,
                should_stop=should_stop,
                on_spec_hooks=on_spec_hooks,
            )
        return {**result.metrics, "global_step": step}

    def predict(
        self,
        input_fn: InputFn,
        *,
        predict_keys: str | Sequence[str] | None = None,
        hooks: Sequence[Any] | None = (),
        checkpoint_path: str | Path | None = None,
        yield_single_examples: bool = True,
        checkpoint_step: CheckpointStep = None,
        progress: bool = True,
    ) -> Iterator[Any]:
        """Yields the predictions for every row, once, in order; labels are ignored.

        Arguments are checked at the call, before the first row.

        Args:
            input_fn: returns the rows.
            predict_keys: names of the predictions; all of them by default.
            hooks: objects with any of begin, before_step, after_step, end, called
                around every batch.
            checkpoint_path: checkpoint to predict with instead of the newest.
            yield_single_examples: whether an item is a row; False: an item is a batch,
                and arrays need not be batch-major.
            checkpoint_step: checkpoint of this step or tag instead; or `best` or
                `latest`.
            progress: whether a terminal or notebook shows a progress bar, as
                `RunConfig.progress` says; False where the rows themselves are printed.

        Yields:
            A dict of NumPy values, or one array, as `predictions` is in the spec.
        """
        hooks = checked_hooks(hooks)
        check_functions(input_fn=input_fn)
        value = self._input(input_fn, Mode.PREDICT)
        if is_empty(value):
            return iter(())
        value = self._learned_from(value, Mode.PREDICT)
        self._report_untrained(checkpoint_path, "predict")
        _, state = self._states.to_evaluate(checkpoint_step, checkpoint_path)
        batches = self._eval_batches(value, Mode.PREDICT, None, shown=progress)
        first = next(batches, None)
        if first is None:
            return iter(())
        spec = self.program.spec(Mode.PREDICT, first.features)
        keys = known_keys(predict_keys, spec.predictions)
        if yield_single_examples:
            check_predictions(chosen(spec.predictions, keys), len(first.mask))
        predictions = loop.predict(
            self.program, state, itertools.chain([first], batches), hooks=hooks
        )
        return rows_of(predictions, keys, single=yield_single_examples, source=batches)
