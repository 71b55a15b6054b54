"""Reports, log lines, summaries and progress of training and evaluation."""

import bisect
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specflow import loop
from specflow.config.epochs import EpochLength
from specflow.config.run_config import RunConfig
from specflow.data import Batch
from specflow.distributed import collectives
from specflow.lifecycle import History
from specflow.loop import every_steps
from specflow.output import AsyncReporters, Progress, TensorBoard, is_watched

__all__ = ["Watcher", "batches_shown", "record", "shows_progress", "summaries"]

_LOG = logging.getLogger("specflow")


def shows_progress(config: RunConfig) -> bool:
    """Returns True on process 0 of a terminal or notebook, if progress is on."""
    return config.progress and collectives.is_process_zero() and is_watched()


def batches_shown(
    batches: Iterable[Batch], total: int | None, *, gives_way: bool
) -> Generator[Batch, None, None]:
    """Yields batches, with a progress bar of those that were dispatched.

    Args:
        batches: batches of an evaluation or of predictions.
        total: number of batches; None: unknown.
        gives_way: argument of `Progress`.
    """
    bar = Progress(total, unit="batch", is_transient=True, gives_way=gives_way)
    with contextlib.closing(bar):
        for done, batch in enumerate(batches, start=1):
            yield batch
            bar.update(done)


class Watcher:
    """Averages the losses of all steps, and reports them at intervals.

    Reports and log lines are at every multiple of `log_step_count_steps`; summaries, as
    in TensorFlow, at steps 1, 1 + n, 1 + 2n, ... for `save_summary_steps` n. The loss
    of a report is the mean over the steps since the previous report; its gradient norm
    and learning rates are those of its own step.

    Args:
        config: intervals of reports and summaries.
        rows: rows of a batch, for the examples per second of the log.
        length: of an epoch, which reports have then; None: it is not known.
        part_rows: step -> rows of each part of a mixture, which reports have.
        report: takes (step, "train", {"loss": ...}).
        summarize: takes the same, for TensorBoard.
        clock: returns the time in seconds; replaced in tests.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        rows: int,
        length: EpochLength | None = None,
        part_rows: Callable[[int], Mapping[str, int]] = lambda _: {},
        report: loop.MetricsCallback | None = None,
        summarize: loop.MetricsCallback | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ):
        is_dynamic = config.tpu_config.loss_scale == "dynamic"
        every = config.log_step_count_steps or 0
        self._log_trigger = every_steps(
            every, where="log_step_count_steps", length=length
        )
        self._summary_every = config.save_summary_steps
        self._rows, self._length, self._clock = rows, length, clock
        self._part_rows = part_rows
        self._report, self._summarize = report, summarize
        self.skipped: list[int] | None = [] if is_dynamic else None
        """Numbers of the steps that this call skipped; None: the scale is static."""
        self._skipped_before = 0
        self._last: tuple[int, float] | None = None
        self._step: int | None = None
        self._reported, self._summarized = _Mean(), _Mean()

    def __call__(
        self,
        steps: NDArray[np.integer],
        losses: NDArray[Any],
        step_metrics: loop.StepMetricsFn = lambda _: {},
    ) -> None:
        """Adds the finite losses of consecutive steps, and reports those that are due.

        Args:
            steps: int[n], counted from 1.
            losses: float[n].
            step_metrics: returns the other metrics of a step; called for logged steps.
        """
        errors: list[Exception] = []
        if self._last is None and len(steps):
            self._last = int(steps[0]) - 1, self._clock()
        if len(steps):
            self._step = int(steps[-1])
        if self._log_trigger.every:
            due = self._is_logged(steps)
            for step, loss in self._reported.at(steps, losses, due):
                if self._report is not None:
                    others = step_metrics(step) | self._skips(step)
                    metrics = {"loss": loss, **others, **self._progress(step)}
                    try:
                        self._report(step, "train", metrics)
                    except Exception as error:
                        # The steps are taken: their other rows are reported first.
                        errors.append(error)
                self._log(step, loss)
        if self._summary_every:
            # On all processes, of which one writes: partial means are equal everywhere.
            due = self._is_summarized(steps)
            for step, loss in self._summarized.at(steps, losses, due):
                if self._summarize is not None:
                    self._summarize(step, "train", {"loss": loss, **step_metrics(step)})
        if errors:
            raise errors[0]

    def log_mask(self, steps: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Returns a mask of the steps with a report or summary, on any process."""
        return self._is_logged(steps) | self._is_summarized(steps)

    def _is_logged(self, steps: NDArray[np.integer]) -> NDArray[np.bool_]:
        trigger = self._log_trigger
        if not isinstance(trigger.every, int):
            return np.array([trigger.is_due(step) for step in steps.tolist()], bool)
        if not trigger.every:
            return np.zeros(len(steps), bool)
        return steps % trigger.every == 0

    def _is_summarized(self, steps: NDArray[np.integer]) -> NDArray[np.bool_]:
        every = self._summary_every
        return (steps - 1) % every == 0 if every else np.zeros(len(steps), bool)

    def state(self, step: int) -> dict[str, Any] | None:
        """Returns sums and counts of losses since the last report, and skipped steps.

        Args:
            step: step of the checkpoint that stores them.

        Returns:
            None for any step but the last one added: an error can end training before
            the last losses are read.
        """
        if step != self._step:
            return None
        means = {"report": self._reported, "summary": self._summarized}
        return {
            "step": step,
            **{name: [mean.total, mean.count] for name, mean in means.items()},
            **self._skips(step),
        }

    def restore(self, value: Mapping[str, Any]) -> None:
        """Continues the means and the count of skipped steps of an earlier process."""
        self._step = value["step"]
        self._reported = _Mean(*value["report"])
        self._summarized = _Mean(*value["summary"])
        self._skipped_before = value.get("skipped_steps", 0)

    def skip(self, steps: NDArray[np.integer]) -> None:
        """Adds the numbers of steps that a dynamic loss scale skipped."""
        self.skipped = [*(self.skipped or ()), *steps.tolist()]

    def _log(self, step: int, loss: float) -> None:
        if self._last is None or not _LOG.isEnabledFor(logging.INFO):
            return
        now = self._clock()
        before, then = self._last
        self._last = step, now
        rate = (step - before) / max(now - then, 1e-9)
        _LOG.info(
            "step %d: loss = %.6g (%.4g steps/s, %.4g examples/s)",
            step, loss, rate, rate * self._rows,
        )  # fmt: skip
        if count := self._skips(step).get("skipped_steps"):
            _LOG.info("step %d: %d steps skipped so far", step, count)

    def _progress(self, step: int) -> dict[str, float]:
        """Returns the epochs seen after a step, if their length is known, and rows."""
        epochs: dict[str, float] = {}
        if self._length is not None:
            epochs["epoch"] = self._length.seen_after(step)
        parts = self._part_rows(step)
        return epochs | {f"rows/{name}": rows for name, rows in parts.items()}

    def _skips(self, step: int) -> dict[str, int]:
        """Returns the number of steps skipped so far, if the loss scale is dynamic."""
        if self.skipped is None:
            return {}
        skipped = self._skipped_before + bisect.bisect_right(self.skipped, step)
        return {"skipped_steps": skipped}


@contextlib.contextmanager
def summaries(config: RunConfig, folder: Path) -> Iterator[loop.MetricsCallback | None]:
    """Opens a writer of TensorBoard summaries; yields None without summaries."""
    if not config.save_summary_steps or not collectives.is_process_zero():
        yield None
        return
    reporters = AsyncReporters([TensorBoard(folder)])
    try:
        yield reporters.write
    finally:
        reporters.close()


def record(
    config: RunConfig, history: History, step: int, metrics: Mapping[str, Any]
) -> None:
    """Writes the metrics of an evaluation, for rules and for TensorBoard.

    Args:
        config: decides whether there are summaries.
        history: evaluations of this name; summaries are written beside it.
        step: step of the evaluated state.
        metrics: metrics of the evaluation.
    """
    values = {name: value for name, value in metrics.items() if name != "global_step"}
    history.add(step, values)
    with summaries(config, history.path.parent) as summarize:
        if summarize is not None:
            summarize(step, "eval", values)


@dataclasses.dataclass(slots=True)
class _Mean:
    """Mean of the losses since the last report, summed step by step in float64.

    The sum follows the order of the steps, so that its value depends neither on device
    loops nor on resuming.
    """

    total: float = 0.0
    count: int = 0

    def at(
        self, steps: NDArray[Any], losses: NDArray[Any], due: NDArray[np.bool_]
    ) -> list[tuple[int, float]]:
        """Adds consecutive losses; returns (step, mean) for each report that is due."""
        rows, start = [], 0
        for last in np.flatnonzero(due).tolist():
            self._add(losses[start : last + 1])
            rows.append((int(steps[last]), self.total / self.count))
            self.total, self.count, start = 0.0, 0, last + 1
        self._add(losses[start:])
        return rows

    def _add(self, losses: NDArray[Any]) -> None:
        # `sum` adds pairwise: its rounding would depend on the device loops.
        summed = np.add.accumulate([self.total, *losses], dtype=np.float64)
        self.total, self.count = float(summed[-1]), self.count + len(losses)
