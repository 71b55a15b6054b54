"""Evaluations while training: when they happen, and the exports that follow them."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from specflow import loop
from specflow.config.epochs import EpochLength
from specflow.config.run_config import RunConfig
from specflow.diagnostics.errors import DataError
from specflow.distributed import collectives
from specflow.estimator.judged_metrics import check_judged_metrics
from specflow.estimator.loss_reports import record
from specflow.estimator.train_eval_specs import EvalSpec
from specflow.executor import TrainState
from specflow.lifecycle import Exporter, Histories, newest_export
from specflow.loop import (
    EvalProgress,
    EvaluationStopped,
    EverySeconds,
    OutdatedProgressError,
    StopTraining,
    Trigger,
    decoded,
    encoded,
    every_steps,
)
from specflow.output import to_plain

__all__ = ["Evaluations", "RunExporter"]

_LOG = logging.getLogger("specflow")
_OWN = ""
"""Key of the input of the spec, which is no set."""
_BySet: TypeAlias = dict[str, dict[str, Any]]
"""Set -> its metrics, with `global_step`."""


class RunExporter(Protocol):
    """Calls an exporter with the estimator whose state was evaluated."""

    def __call__(
        self,
        exporter: Exporter,
        directory: Path,
        metrics: Mapping[str, Any],
        *,
        is_final: bool,
    ) -> Path | None:
        """Returns the new export; None if the exporter did not want the state."""
        ...


class Evaluations:
    """Evaluates states of one call to `train_and_evaluate`, and runs the exporters.

    Args:
        evaluate: (set, None for the input of the spec; step, state, progress, function
            that takes the evaluation hooks of the spec before they are called) ->
            metrics.
        run_exporter: calls an exporter with the state made visible by `live`.
        live: (step, state) -> context in which exports use that state.
        config: names the metric of the best checkpoint, and how often summaries are
            written.
        model_dir: parent of the history and of the exports.
        spec: when to evaluate, and what follows an evaluation.
        report: takes (step, "eval" or `eval_<set>`, metrics); the sets come first.
    """

    def __init__(
        self,
        evaluate: Callable[
            [
                str | None,
                int,
                TrainState,
                EvalProgress,
                Callable[[Sequence[Any]], None],
            ],
            dict[str, Any],
        ],
        run_exporter: RunExporter,
        live: Callable[[int, TrainState], AbstractContextManager[None]],
        *,
        config: RunConfig,
        model_dir: Path,
        spec: EvalSpec,
        report: loop.MetricsCallback | None = None,
    ):
        self._evaluate, self._run_exporter, self._live = evaluate, run_exporter, live
        self._config, self._model_dir = config, model_dir
        self._max_steps: int | None = None
        self._spec = spec
        self._report = report
        self._history = Histories(model_dir, spec.name, spec.sets)
        self._trigger: Trigger | None = None
        self._started_s: float | None = None
        self._is_to_repeat = False
        self._progress: tuple[int, EvalProgress, _BySet] | None = None
        self._trains = False
        self._was_final = False
        self.step: int | None = None
        """Step of the last evaluation."""
        self.metrics: dict[str, Any] = {}
        """Metrics of the last evaluation, with `global_step`; those of a set as
        `<set>/<metric>`."""
        self.exports: list[Path | None] = []
        """Export of each exporter after it; None where it did not want the state."""
        self.is_unfinished = False
        """True if the evaluation that is due, or an export after it, has not begun, or
        failed or was stopped."""
        self.on_spec_hooks: Callable[[Sequence[Any]], None] | None = None
        """Called once with the evaluation hooks of the spec, before they are called."""
        self.stopped_early: str | None = None
        """Reason of the rule that ended training; None if no rule did."""

    def begin(self, step: int, stop: int | None) -> bool:
        """Returns whether training continues from a step, or had ended there early.

        A rule that ended training ends the same call again, until the rule is changed.

        Args:
            step: the step at which training resumes.
            stop: step at which training is over; None: at the end of the data.
        """
        self._max_steps = stop
        self.is_unfinished, self._is_to_repeat = self._is_to_repeat, False
        self._history.cut(step)
        rule = self._spec.early_stopping
        if rule is not None and self._history.knows(rule.metric):
            self.stopped_early = rule.reason(self._history.values(rule.metric))
        self._trains = self.stopped_early is None
        return self._trains

    def new_trigger(self, length: EpochLength | None) -> Trigger | None:
        """Returns a trigger of evaluations; None if checkpoints or the end are that.

        Args:
            length: of an epoch; None: it is not known.
        """
        steps, seconds = self._spec.every_steps, self._spec.every_secs
        self._trigger = (
            every_steps(steps, where="every_steps", length=length) if steps else None
        )
        if seconds is not None:
            started_s, now_s = self._started_s, time.monotonic()
            elapsed_s = 0.0 if started_s is None else now_s - started_s
            self._trigger = EverySeconds(seconds, elapsed_s=elapsed_s)
        return self._trigger

    def state(self, step: int) -> dict[str, Any]:
        """Returns what a run that resumes needs of its evaluations, as JSON values.

        `unfinished`: the evaluation of this step is to be repeated, or to be continued
        from `progress`, if it was stopped: the set that it was in, and the metrics of
        those before it; `elapsed_s`: seconds since the last one,
        where time decides; `values`: steps and values of the metric of the early
        stopping rule.
        """
        saved: dict[str, Any] = {"unfinished": self.is_unfinished}
        if self._progress is not None and self._progress[0] == step:
            _, progress, finished = self._progress
            saved |= _stored(step, progress, finished)
        elapsed_s = self._elapsed_s()
        if elapsed_s is not None:
            saved["elapsed_s"] = elapsed_s
        rule = self._spec.early_stopping
        if rule is not None and self._history.knows(rule.metric):
            values = self._history.values(rule.metric)
            saved["values"] = to_plain(list(values.items()))
        return saved

    def restore(self, value: Mapping[str, Any]) -> None:
        """Continues from the result of `state`, before `begin`."""
        self._is_to_repeat = value["unfinished"]
        if "progress" in value:
            step, progress, *finished = value["progress"]
            if progress is None:
                progress = EvalProgress()
            else:
                progress = EvalProgress.from_json(progress)
            self._progress = step, progress, decoded(finished[0]) if finished else {}
        if "elapsed_s" in value:
            self._started_s = time.monotonic() - value["elapsed_s"]
        rule = self._spec.early_stopping
        if rule is not None:
            values = {
                step: math.nan if number is None else number
                for step, number in value.get("values", ())
            }
            self._history.put_back(rule.metric, values)

    def user_parts(self) -> dict[str, list[Any]]:
        """Returns the objects of the user that may have a state, by their kind."""
        spec = self._spec
        return {
            "evaluation hook": list(spec.hooks or ()),
            "early stopping": [spec.early_stopping],
            "exporter": spec.all_exporters(),
        }

    def _elapsed_s(self) -> float | None:
        """Returns the seconds since the last evaluation; None if they do not matter."""
        if isinstance(self._trigger, EverySeconds):
            return self._trigger.elapsed_s
        if self._started_s is None or not self._spec.evaluates_at_checkpoints:
            return None
        return time.monotonic() - self._started_s

    def is_due_at_start(self, step: int) -> bool:
        """Returns whether the state before the first step is evaluated now."""
        return self._spec.at_start and step == 0 and self.step != step

    def evaluate(self, step: int, state: TrainState) -> None:
        """Evaluates a state and runs the exporters.

        Raises:
            StopTraining: the early stopping rule ends training, or the evaluation is
                requested to stop.
        """
        self.is_unfinished = True
        is_final = self._max_steps is not None and step >= self._max_steps
        self._evaluate_and_export(step, state, is_final=is_final)
        rule = self._spec.early_stopping
        if rule is not None and not is_final:
            self.stopped_early = rule.reason(self._history.values(rule.metric))
        self.is_unfinished = False
        if self.stopped_early is not None:
            raise StopTraining

    def is_due_at_checkpoint(self) -> bool:
        """Returns whether a state is evaluated before its save (`throttle_secs`)."""
        if not self._spec.evaluates_at_checkpoints:
            return False
        now_s = time.monotonic()
        elapsed_s = None if self._started_s is None else now_s - self._started_s
        return collectives.on_process_zero(
            lambda: elapsed_s is None or elapsed_s >= self._spec.throttle_secs
        )

    def finish(self, step: int, state: TrainState) -> None:
        """Evaluates the last state after training, unless it was evaluated already.

        Raises:
            EvaluationStopped: it is requested to stop.
        """
        if self.step != step:
            self._evaluate_and_export(step, state, is_final=True)
            self.is_unfinished = False
        elif not self._was_final:
            # The data ended at a step that was evaluated as any other: exporters that
            # wait for the end of training have not exported it.
            self._was_final = True
            with self._live(step, state):
                for index, exporter in enumerate(self._spec.all_exporters()):
                    if self.exports[index] is None:
                        self.exports[index] = self._export(exporter, is_final=True)

    def _evaluate_and_export(
        self, step: int, state: TrainState, *, is_final: bool
    ) -> None:
        self._started_s = time.monotonic()
        measured = self._measured(step, state)
        own = measured.pop(_OWN)
        self.metrics = own | _of_sets(measured)
        check_judged_metrics(self.metrics, self._spec, self._config)
        self.step, self._was_final = step, is_final
        with collectives.raise_on_all():  # Only process 0 writes.
            for name, metrics in measured.items():
                self._record(step, name, f"eval_{name}", metrics)
            self._record(step, None, "eval", own)
        with self._live(step, state):
            self.exports = [
                self._export(exporter, is_final=is_final)
                for exporter in self._spec.all_exporters()
            ]

    def _record(
        self, step: int, of_set: str | None, split: str, metrics: Mapping[str, Any]
    ) -> None:
        """Writes the metrics of a set; None: those of the input of the spec."""
        record(self._config, self._history.of(of_set), step, metrics)
        if self._report is not None:
            metrics = {k: v for k, v in metrics.items() if k != "global_step"}
            self._report(step, split, metrics)

    def _measured(self, step: int, state: TrainState) -> _BySet:
        """Returns the metrics of a state; a stopped evaluation of it continues.

        Raises:
            EvaluationStopped: it is requested to stop.
        """
        at, progress, finished = self._progress or (step, EvalProgress(), {})
        self._progress = None
        if at != step:
            progress, finished = EvalProgress(), {}
        parts = _parts_of(self._spec, self._config)
        of_parts: list[EvalProgress] = []
        for name in dict.fromkeys([*parts, _OWN, *self._spec.sets]):
            if name in finished:
                continue
            if name == _OWN and parts and _can_merge(parts, of_parts):
                finished[name] = loop.merged(of_parts).metrics | {"global_step": step}
                continue
            measured = self._measured_set(name, step, state, progress, finished)
            finished[name], progress = measured
            of_parts += [progress] if name in parts else []
            progress = EvalProgress()
        return {name: finished[name] for name in (_OWN, *self._spec.sets)}

    def _measured_set(
        self,
        name: str,
        step: int,
        state: TrainState,
        progress: EvalProgress,
        finished: _BySet,
    ) -> tuple[dict[str, Any], EvalProgress]:
        """Returns the metrics of one set, and what they were computed of.

        Raises:
            EvaluationStopped: it is requested to stop.
        """
        while True:
            try:
                found = self._spec_hooks_found
                metrics = self._evaluate(name or None, step, state, progress, found)
                return metrics, progress
            except OutdatedProgressError as error:
                _LOG.warning("the evaluation of step %d begins anew: %s", step, error)
                progress = EvalProgress()
            except EvaluationStopped:
                self.is_unfinished = True
                self._progress = step, progress, finished
                raise

    def _spec_hooks_found(self, hooks: Sequence[Any]) -> None:
        """Registers the evaluation hooks of the spec at the first evaluation."""
        if self.on_spec_hooks is not None:
            register, self.on_spec_hooks = self.on_spec_hooks, None
            register(hooks)

    def _export(self, exporter: Exporter, *, is_final: bool) -> Path | None:
        directory = self._model_dir / "export" / exporter.name
        if not self._trains:
            newest = collectives.on_process_zero(lambda: _newest_step(directory))
            if newest == self.step:
                return None  # Nothing was trained since: the export would be the same.
        return self._run_exporter(exporter, directory, self.metrics, is_final=is_final)


def _parts_of(spec: EvalSpec, config: RunConfig) -> Sequence[str]:
    """Sets that are the parts of the input of a spec; empty: it is evaluated itself."""
    by_rows = spec.steps is None and config.eval_loss == "examples"
    return spec.parts if by_rows and not spec.hooks else ()


def _of_sets(measured: _BySet) -> dict[str, Any]:
    """Metrics of sets as `<set>/<metric>`."""
    return {
        f"{name}/{metric}": value
        for name, metrics in measured.items()
        for metric, value in metrics.items()
        if metric != "global_step"
    }


def _can_merge(names: Sequence[str], parts: Sequence[EvalProgress]) -> bool:
    """Whether all parts are known, as none was evaluated before a stop or for hooks."""
    return len(parts) == len(names) and not any(part.is_observed for part in parts)


def _stored(step: int, progress: EvalProgress, finished: _BySet) -> dict[str, Any]:
    """Returns where an evaluation was stopped, as JSON values; empty: it begins anew.

    Args:
        step: its step.
        progress: of the set that it was in.
        finished: metrics of the sets before that.
    """
    if not finished:
        return {"progress": [step, progress.to_json()]}
    try:
        return {"progress": [step, progress.to_json(), encoded(finished)]}
    except DataError as error:
        _LOG.warning("the evaluation will begin anew: %s", error)
        return {}


def _newest_step(directory: Path) -> int | None:
    newest = newest_export(directory)
    return None if newest is None else newest.step
