"""What is shown on the way: losses in reports, log lines, summaries; progress."""

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
from specflow.config.run_config import RunConfig
from specflow.data import Batch
from specflow.distributed import collectives
from specflow.lifecycle import History
from specflow.output import AsyncReporters, Progress, TensorBoard, is_watched

__all__ = ["Watcher", "batches_shown", "record", "shows_progress", "summaries"]

_LOG = logging.getLogger("specflow")


def shows_progress(config: RunConfig) -> bool:
    """Whether this process shows how far it is: process 0, where a person sees it."""
    return config.progress and collectives.is_process_zero() and is_watched()


def batches_shown(
    batches: Iterable[Batch], total: int | None, *, gives_way: bool
) -> Generator[Batch, None, None]:
    """Batches as they come, with a bar that shows how many were dispatched.

    Args:
        batches: of an evaluation or of predictions.
        total: how many there are; None: nobody knows.
        gives_way: as `Progress` takes it.
    """
    bar = Progress(total, unit="batch", is_transient=True, gives_way=gives_way)
    with contextlib.closing(bar):
        for done, batch in enumerate(batches, start=1):
            yield batch
            bar.update(done)


class Watcher:
    """Takes the losses of all steps, and passes on those that were asked for.

    Reports and log lines come at every multiple of `log_step_count_steps`; summaries,
    as the reference wrote them, at steps 1, 1 + n, 1 + 2n, ... for `save_summary_steps`
    n. The loss of each is the mean over the steps since the one before it; its gradient
    norm and learning rates are those of its own step.

    Args:
        config: says how often.
        rows: rows of a batch, for the examples a second of the log.
        report: takes (step, "train", {"loss": ...}).
        summarize: likewise.
        partial: of the checkpoint from which training resumes, what `partial` returned
            for it; None: each mean begins with the first step that is seen.
        clock: gives seconds; another one for tests.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        rows: int,
        report: loop.Report | None = None,
        summarize: loop.Report | None = None,
        partial: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ):
        is_dynamic = config.tpu_config.loss_scale == "dynamic"
        self._log_every = config.log_step_count_steps
        self._summary_every = config.save_summary_steps
        self._rows, self._clock = rows, clock
        self._report, self._summarize = report, summarize
        self.skipped: list[int] | None = [] if is_dynamic else None
        """Numbers of the steps skipped so far, where the loss scale is dynamic."""
        self._last: tuple[int, float] | None = None
        self._step = partial["step"] if partial else None
        self._reported = _Mean(*(partial["report"] if partial else ()))
        self._summarized = _Mean(*(partial["summary"] if partial else ()))

    def __call__(
        self,
        steps: NDArray[np.integer],
        losses: NDArray[Any],
        measured: loop.Measured = lambda _: {},
    ) -> None:
        """Takes consecutive steps, counted from 1, and their losses, all finite.

        Args:
            steps: their numbers.
            losses: of each.
            measured: gives the other numbers of one of them; asked for rows alone.
        """
        if self._last is None and len(steps):
            self._last = int(steps[0]) - 1, self._clock()
        if len(steps):
            self._step = int(steps[-1])
        if self._log_every:
            due = self._is_logged(steps)
            for step, loss in self._reported.at(steps, losses, due):
                if self._report is not None:
                    others = measured(step) | self._skips(step)
                    self._report(step, "train", {"loss": loss, **others})
                self._log(step, loss)
        if self._summary_every:
            # Also where another process writes them: partial means are equal in all.
            due = self._is_summarized(steps)
            for step, loss in self._summarized.at(steps, losses, due):
                if self._summarize is not None:
                    self._summarize(step, "train", {"loss": loss, **measured(step)})

    def reported(self, steps: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which steps have a row, whoever writes it."""
        return self._is_logged(steps) | self._is_summarized(steps)

    def _is_logged(self, steps: NDArray[np.integer]) -> NDArray[np.bool_]:
        every = self._log_every
        return steps % every == 0 if every else np.zeros(len(steps), bool)

    def _is_summarized(self, steps: NDArray[np.integer]) -> NDArray[np.bool_]:
        every = self._summary_every
        return (steps - 1) % every == 0 if every else np.zeros(len(steps), bool)

    def partial(self, step: int) -> dict[str, Any] | None:
        """Sums and counts of the losses since the last row, for the checkpoint.

        Args:
            step: of the checkpoint. None is returned for another step than the last one
                seen: an error can end training before the last losses are read.
        """
        if step != self._step:
            return None
        means = {"report": self._reported, "summary": self._summarized}
        return {"step": step} | {
            name: [mean.total, mean.count] for name, mean in means.items()
        }

    def skip(self, steps: NDArray[np.integer]) -> None:
        """Takes the numbers of steps that a dynamic loss scale has skipped."""
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

    def _skips(self, step: int) -> dict[str, int]:
        """How many steps were skipped up to this one, where that can be."""
        if self.skipped is None:
            return {}
        return {"skipped_steps": bisect.bisect_right(self.skipped, step)}


@contextlib.contextmanager
def summaries(config: RunConfig, folder: Path) -> Iterator[loop.Report | None]:
    """What takes rows for TensorBoard, if any are wanted."""
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
    """Writes down what an evaluation found: for rules, and for TensorBoard.

    Args:
        config: says whether there are summaries.
        history: of the evaluations of this name; summaries lie beside it.
        step: of the state that was evaluated.
        metrics: what was found.
    """
    found = {name: value for name, value in metrics.items() if name != "global_step"}
    history.add(step, found)
    with summaries(config, history.path.parent) as summarize:
        if summarize is not None:
            summarize(step, "eval", found)


@dataclasses.dataclass(slots=True)
class _Mean:
    """The mean of the losses since the last row, summed step by step in float64.

    The order of the sum is that of the steps, so that no stretch and no resume shows in
    its value.
    """

    total: float = 0.0
    count: int = 0

    def at(
        self, steps: NDArray[Any], losses: NDArray[Any], due: NDArray[np.bool_]
    ) -> list[tuple[int, float]]:
        """Takes consecutive losses; returns (step, mean) of the rows that are due."""
        rows, start = [], 0
        for last in np.flatnonzero(due).tolist():
            self._add(losses[start : last + 1])
            rows.append((int(steps[last]), self.total / self.count))
            self.total, self.count, start = 0.0, 0, last + 1
        self._add(losses[start:])
        return rows

    def _add(self, losses: NDArray[Any]) -> None:
        # `sum` adds pairwise: its rounding would depend on where the losses are cut.
        summed = np.add.accumulate([self.total, *losses], dtype=np.float64)
        self.total, self.count = float(summed[-1]), self.count + len(losses)
