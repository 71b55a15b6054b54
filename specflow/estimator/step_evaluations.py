"""Evaluations while training: when they happen, what follows, what came last."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from specflow import loop
from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest
from specflow.distributed import collectives
from specflow.estimator.loss_reports import record
from specflow.estimator.train_eval_specs import EvalSpec, TrainSpec
from specflow.executor import TrainState
from specflow.lifecycle import Exporter, History, newest_export
from specflow.loop import Action, EverySeconds, EverySteps, StopTraining, Trigger

__all__ = ["Evaluations"]


class Evaluations:
    """Evaluates states of one call to `train_and_evaluate`, and asks the exporters.

    Args:
        evaluate: (step, state) -> metrics.
        estimator: handed to the exporters.
        train_spec: says when training is over.
        eval_spec: says what follows an evaluation.
        report: takes (step, "eval", metrics).
    """

    def __init__(
        self,
        evaluate: Callable[[int, TrainState], dict[str, Any]],
        estimator: Any,
        train_spec: TrainSpec,
        eval_spec: EvalSpec,
        *,
        report: loop.Report | None = None,
    ):
        self._evaluate, self._estimator = evaluate, estimator
        self._max_steps = train_spec.max_steps
        self._spec = eval_spec
        self._report = report
        self._history = History(estimator.model_dir, eval_spec.name)
        self._started_s: float | None = None
        self._goes_on = False
        self._was_final = False
        self.step: int | None = None
        """Step of the last evaluation."""
        self.metrics: dict[str, Any] = {}
        """What it found, with `global_step`."""
        self.exports: list[Path | None] = []
        """What each exporter made of it; None where it was not wanted."""
        self.is_unfinished = False
        """Whether the last evaluation, or what follows one, failed."""
        self.stopped_early: str | None = None
        """Why training ends before its time; None if it does not."""

    def begin(self, step: int) -> bool:
        """Whether training goes on from a step, or ended there early before.

        A rule that ended training says so again when the same call is made again: who
        wants to go on changes the rule.
        """
        self._history.cut(step)
        rule = self._spec.early_stopping
        if rule is not None and self._history.knows(rule.metric):
            self.stopped_early = rule.reason(self._history.values(rule.metric))
        self._goes_on = self.stopped_early is None
        return self._goes_on

    def triggers(self, action: Action) -> list[Trigger]:
        """When states are evaluated; none if that goes by checkpoints.

        Args:
            action: evaluates a state.
        """
        steps, seconds = self._spec.every_steps, self._spec.every_secs
        if seconds is not None:
            return [EverySeconds(seconds, action)]
        return [EverySteps(steps, action)] if steps else []

    def __call__(self, step: int, state: TrainState) -> None:
        """Evaluates a state.

        Raises:
            StopTraining: what evaluations have found is reason enough to end training.
        """
        self.is_unfinished = True
        is_final = self._is_reached(step)
        self._run(step, state, is_final=is_final)
        rule = self._spec.early_stopping
        if rule is not None and not is_final:
            self.stopped_early = rule.reason(self._history.values(rule.metric))
        self.is_unfinished = False
        if self.stopped_early is not None:
            raise StopTraining

    def at_checkpoint(self, step: int, state: TrainState) -> None:
        """Evaluates a state that is being saved, unless one was evaluated just now."""
        if not self._spec.goes_by_checkpoints:
            return
        now = time.monotonic()
        since = None if self._started_s is None else now - self._started_s
        if collectives.on_process_zero(
            lambda: since is None or since >= self._spec.throttle_secs
        ):
            self(step, state)

    def finish(self, step: int, state: TrainState) -> None:
        """Evaluates the last state, if it is not yet; training is over."""
        if self.step != step:
            self._run(step, state, is_final=True)
        elif not self._was_final:
            # The data ended at a step that was evaluated as any other: what waits for
            # the end is still to be exported.
            self._was_final = True
            with self._estimator.live(step, state):
                for place, exporter in enumerate(self._spec.all_exporters()):
                    if self.exports[place] is None:
                        self.exports[place] = self._ask(exporter, is_final=True)

    def _run(self, step: int, state: TrainState, *, is_final: bool) -> None:
        self._started_s = time.monotonic()
        self.metrics = self._evaluate(step, state)
        self._check_judges()
        self.step, self._was_final = step, is_final
        found = {k: v for k, v in self.metrics.items() if k != "global_step"}
        with (
            collectives.raise_on_all()
        ):  # Process 0 alone writes: all raise what it meets.
            record(self._estimator.config, self._history, step, self.metrics)
            if self._report is not None:
                self._report(step, "eval", found)
        with self._estimator.live(step, state):
            self.exports = [
                self._ask(exporter, is_final=is_final)
                for exporter in self._spec.all_exporters()
            ]

    def _check_judges(self) -> None:
        """Looks whether what judges states by a metric finds it; at every evaluation.

        Raises:
            ConfigError: a metric is not measured, or is no single number.
        """
        judges: dict[str, Any] = {
            "early stopping": self._spec.early_stopping,
            "the best checkpoint": self._estimator.config.keep_best,
        }
        for exporter in self._spec.all_exporters():
            judges[f"exporter '{exporter.name}'"] = getattr(exporter, "compare", None)
        numbers = [name for name in self.metrics if name != "global_step"]
        numbers = [
            name for name in numbers if getattr(self.metrics[name], "ndim", 0) == 0
        ]
        diagnostics = [
            Diagnostic(
                where,
                f"goes by '{metric}', which "
                + (
                    "is no single number"
                    if metric in self.metrics
                    else "is not measured"
                ),
                expected=f"one of {', '.join(sorted(numbers))}",
                hint=did_you_mean(nearest(metric, numbers)),
                code="metric-missing",
            )
            for where, judge in judges.items()
            if (metric := getattr(judge, "metric", None)) is not None
            and metric not in numbers
        ]
        if diagnostics:
            raise ConfigError(*diagnostics)

    def _ask(self, exporter: Exporter, *, is_final: bool) -> Path | None:
        folder, metrics = self._folder(exporter), self.metrics
        if not self._goes_on:
            if collectives.on_process_zero(lambda: _newest_step(folder)) == self.step:
                return None  # Nothing was trained since: it would be the same again.
        with self._estimator.timing("export"):
            return exporter.export(self._estimator, folder, metrics, is_final=is_final)

    def _folder(self, exporter: Exporter) -> Path:
        return Path(self._estimator.model_dir) / "export" / exporter.name

    def _is_reached(self, step: int) -> bool:
        return self._max_steps is not None and step >= self._max_steps


def _newest_step(folder: Path) -> int | None:
    there = newest_export(folder)
    return None if there is None else there.step
