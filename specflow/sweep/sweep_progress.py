"""Progress of a sweep: a live table on a terminal, else a line for each trial."""

import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from specflow.runtime.standard_streams import is_terminal
from specflow.sweep.pool.trial import TrialOutcome, TrialReport, TrialStatus

__all__ = ["SweepProgress"]

_MOST_ROWS = 20
"""Rows of the live table: the newest trials."""


class SweepProgress:
    """Shows which trials run, and how the others ended.

    Args:
        total: number of trials; None: unknown.
        stream: standard error if None.

    >>> progress = SweepProgress(2, sys.stdout)
    >>> progress.start(0, {"seed": "1"})
    >>> progress.end(TrialOutcome(number=0, status=TrialStatus.COMPLETE, seconds=1.25,
    ...                           result={"step": 9, "eval": {"loss": 0.5}}))
    trial 0 of 2: seed=1: complete, step 9, loss 0.5 (1.2 s)
    >>> progress.close()
    """

    def __init__(self, total: int | None, stream: TextIO | None = None):
        self._stream = sys.stderr if stream is None else stream
        self._total, self._ended = total, 0
        self._trials: dict[int, _Row] = {}
        self._notes: set[str] = set()
        self._live: Any = None
        if is_terminal(self._stream):
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self._stream)
            self._live = Live(
                get_renderable=self._table,
                console=console,
                refresh_per_second=4,
                transient=True,
            )
            self._live.start()

    def start(self, number: int, settings: Mapping[str, str]) -> None:
        """Shows a trial that starts, with what differs from the others."""
        self._trials[number] = _Row(settings)

    def report(self, report: TrialReport) -> None:
        """Shows the metrics of a running trial."""
        row = self._trials.get(report.number)
        if row is not None:
            row.step, row.metrics = report.step, report.metrics

    def retry(self, outcome: TrialOutcome) -> None:
        """Shows why a trial starts again."""
        kind, error = outcome.failure, outcome.error
        self._print(f"trial {outcome.number} starts again ({kind}): {error}")

    def note(self, text: str) -> None:
        """Shows what a user should know about the workers, once."""
        if text not in self._notes:
            self._notes.add(text)
            self._print(f"note: {text}")

    def _print(self, text: str) -> None:
        if self._live is None:
            print(text, file=self._stream, flush=True)
        else:
            self._live.console.print(text, markup=False, highlight=False)

    def end(self, outcome: TrialOutcome) -> None:
        """Shows how a trial ended."""
        self._ended += 1
        row = self._trials.setdefault(outcome.number, _Row({}))
        row.end(outcome)
        if self._live is None:
            of = "" if self._total is None else f" of {self._total}"
            settings = " ".join(f"{key}={text}" for key, text in row.settings.items())
            about = f"{settings}: " if settings else ""
            print(
                f"trial {outcome.number}{of}: {about}{', '.join(row.facts())} "
                f"({outcome.seconds:.1f} s)",
                file=self._stream,
                flush=True,
            )

    def close(self) -> None:
        """Removes the live table."""
        if self._live is not None:
            self._live.stop()

    def _table(self) -> Any:
        from rich import box
        from rich.table import Table

        of = "" if self._total is None else f" of {self._total}"
        table = Table(box=box.SIMPLE_HEAD, title=f"{self._ended}{of} trials ended")
        keys = dict.fromkeys(
            key for row in self._trials.values() for key in row.settings
        )
        for name in ("trial", *keys, "status", "s"):
            table.add_column(name, overflow="ellipsis", no_wrap=True)
        for number, row in list(self._trials.items())[-_MOST_ROWS:]:
            settings = (row.settings.get(key, "") for key in keys)
            facts = ", ".join(row.facts())
            table.add_row(str(number), *settings, facts, f"{row.seconds():.0f}")
        return table


class _Row:
    """One trial."""

    def __init__(self, settings: Mapping[str, str]):
        self.settings, self.status = settings, TrialStatus.RUNNING
        self.step: int | None = None
        self.metrics: Mapping[str, Any] = {}
        self.error = self.failure = ""
        self._started_s = time.monotonic()
        self._seconds: float | None = None

    def end(self, outcome: TrialOutcome) -> None:
        result = outcome.result or {}
        self.status, self.error = outcome.status, outcome.error
        self.failure = outcome.failure
        self.step = result.get("step", self.step)
        # The metric that judges it comes first.
        metrics = result.get("eval", {})
        judging = {outcome.metric: metrics.get(outcome.metric)}
        self.metrics = {**judging, **metrics} if metrics else self.metrics
        self._seconds = outcome.seconds

    def seconds(self) -> float:
        if self._seconds is None:
            return time.monotonic() - self._started_s
        return self._seconds

    def facts(self) -> list[str]:
        """Status, step and the first scalar metric; the error of a failed trial."""
        if self.status is TrialStatus.FAILED:
            lines = self.error.splitlines() or ["no reason given"]
            kind = f" ({self.failure})" if self.failure else ""
            return [f"{self.status}{kind}: {lines[0]}"]
        facts = [str(self.status)]
        if self.step is not None:
            facts.append(f"step {self.step:,}")
        facts += [
            f"{name} {value:.4g}"
            for name, value in self.metrics.items()
            if isinstance(value, int | float)
        ][:1]
        return facts
