"""Progress of training, evaluation and prediction: a bar on a terminal, else lines."""

import atexit
import sys
import time
from typing import Any, ClassVar, Protocol, TextIO

from specflow.runtime.standard_streams import is_terminal

__all__ = ["Progress", "is_watched"]

_BAR_INTERVAL_S = 0.2
_LINE_INTERVAL_S = 5.0


def is_watched() -> bool:
    """Returns whether standard error is visible: on a terminal or in a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    # The shell class of a notebook kernel, whose streams are not terminals.
    in_notebook = type(shell).__name__ == "ZMQInteractiveShell"
    return in_notebook or is_terminal(sys.stderr)


class _Display(Protocol):
    interval_s: float

    def show(
        self, step: int, loss: float | None, rate: float, left_s: float
    ) -> None: ...

    def note(self, text: str) -> None: ...

    def close(self) -> None: ...


class Progress:
    """Shows the progress of a loop: steps per second, loss, time left.

    `update` may be called after every step: between two refreshes it only reads the
    clock, and `loss`, which may still be on a device, is not transferred.

    A terminal shows one bar at a time: while one is active, others (such as that of an
    evaluation during training) show nothing.

    Args:
        total: last step; None: unknown.
        start: step that the loop starts or resumes from.
        stream: output stream; standard error if None.
        unit: `step`, or `batch` of an evaluation or of predictions.
        is_transient: show nothing during the first interval, and remove the bar at the
            end: for loops that are often short.
        gives_way: remove the bar if another one starts. Predictions are yielded while
            they are computed, and the user may train between two of them.
        interval_s: shortest time between refreshes; 0.2 s for a bar and 5 s for plain
            lines if None.
    """

    def __init__(
        self,
        total: int | None,
        start: int = 0,
        stream: TextIO | None = None,
        *,
        unit: str = "step",
        is_transient: bool = False,
        gives_way: bool = False,
        interval_s: float | None = None,
    ):
        out = sys.stderr if stream is None else stream
        self._total, self._is_transient = total, is_transient
        self._display: _Display = (
            _Bar(
                out,
                total=total,
                start=start,
                unit=unit,
                is_transient=is_transient,
                gives_way=gives_way,
            )
            if is_terminal(out)
            else _Lines(out, total=total, unit=unit)
        )
        self._interval_s = (
            self._display.interval_s if interval_s is None else interval_s
        )
        self._next_s = 0.0
        self._first: tuple[float, int] | None = None
        self._shown = start
        self._last: tuple[int, Any] = (start, None)

    def update(self, step: int, loss: Any = None) -> None:
        """Records that `step` steps are done; `loss` is a number or a scalar array."""
        now = time.perf_counter()
        if self._first is None:
            # The rate counts from here: the time before is mostly compilation.
            self._first = (now, step)
            if self._is_transient:
                self._next_s = now + self._interval_s
        self._last = step, loss
        ends = step == self._total and not self._is_transient
        if now < self._next_s and not ends:
            return
        self._next_s = now + self._interval_s
        self._show(step, loss)

    def note(self, text: str) -> None:
        """Writes a permanent line above the bar."""
        self._display.note(text)

    def close(self) -> None:
        """Ends the bar and restores the terminal."""
        try:
            if self._total is None and not self._is_transient:
                self._show(*self._last)  # No update was known to be the last.
        finally:
            self._display.close()

    def _show(self, step: int, loss: Any) -> None:
        if step <= self._shown:
            return
        self._shown = step
        # Reading the loss may wait for the device, so the clock is read afterwards.
        value = None if loss is None else float(loss)
        assert self._first is not None
        since_s, done = time.perf_counter() - self._first[0], step - self._first[1]
        rate = done / since_s if done > 0 and since_s > 0 else float("nan")
        left = float("nan") if self._total is None else self._total - step
        self._display.show(step, value, rate, left / rate)


class _Lines:
    """Prints a line at each refresh: for logs, pipes and notebooks."""

    interval_s = _LINE_INTERVAL_S

    def __init__(self, stream: TextIO, *, total: int | None, unit: str):
        self._stream, self._unit = stream, unit
        self._of = "" if total is None else f"/{total}"

    def show(self, step: int, loss: float | None, rate: float, left_s: float) -> None:
        parts = [f"{self._unit} {step}{self._of}"]
        if loss is not None:
            parts.append(f"loss {loss:.4g}")
        parts += filter(None, (_rate(rate, self._unit), _left(left_s)))
        self.note("  ".join(parts))

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        pass


class _Bar:
    """Draws a progress bar: for terminals."""

    interval_s = _BAR_INTERVAL_S
    shown: ClassVar["_Bar | None"] = None
    """The active bar of this process."""

    def __init__(
        self,
        stream: TextIO,
        *,
        total: int | None,
        start: int,
        unit: str,
        is_transient: bool,
        gives_way: bool,
    ):
        self._stream, self._unit = stream, unit
        self._total, self._step = total, start
        self._is_transient, self._gives_way = is_transient, gives_way
        self._bar: Any = None
        self._task: Any = None

    def show(self, step: int, loss: float | None, rate: float, left_s: float) -> None:
        self._step = step
        if (bar := self._started()) is None:
            return
        bar.update(
            self._task,
            completed=step,
            loss="" if loss is None else f"loss {loss:.4g}",
            rate=_rate(rate, self._unit),
            left=_left(left_s),
        )
        bar.refresh()

    def note(self, text: str) -> None:
        if (bar := self._started()) is None:
            print(text, file=self._stream, flush=True)
        else:
            bar.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        if self._bar is None:
            return
        if self._total is None:
            self._bar.update(self._task, total=self._step)
        self._bar.stop()
        self._bar = _Bar.shown = None
        atexit.unregister(self.close)

    def _started(self) -> Any:
        """Starts the bar; returns None while another one is active."""
        if _Bar.shown not in (None, self):
            if not _Bar.shown._gives_way:
                return None
            _Bar.shown.close()
        if self._bar is None:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
            )

            self._bar = Progress(
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TextColumn("{task.fields[loss]}", style="bold"),
                TextColumn("{task.fields[rate]}", style="dim"),
                TextColumn("{task.fields[left]}", style="dim"),
                console=Console(file=self._stream),
                auto_refresh=False,  # No thread during training; `show` refreshes.
                transient=self._is_transient,
                # Output to a file or a pipe must not appear on the terminal.
                redirect_stdout=is_terminal(sys.stdout),
            )
            self._task = self._bar.add_task(
                self._unit,
                total=self._total,
                completed=self._step,
                loss="",
                rate="",
                left="",
            )
            self._bar.start()
            _Bar.shown = self
            # An iterator of predictions that is not exhausted leaves its bar.
            atexit.register(self.close)
        return self._bar


def _rate(per_s: float, unit: str) -> str:
    """Formats a rate with its unit; empty if it is unknown.

    >>> _rate(1234.5, "step"), _rate(0.12345, "batch"), _rate(float("nan"), "step")
    ('1,234 steps/s', '0.123 batches/s', '')
    """
    if per_s != per_s:
        return ""
    number = f"{per_s:,.0f}" if per_s >= 100 else f"{per_s:.3g}"
    return f"{number} {'batches' if unit == 'batch' else f'{unit}s'}/s"


def _left(seconds: float) -> str:
    return "" if seconds != seconds else f"{_clock(seconds)} left"


def _clock(seconds: float) -> str:
    """Formats a duration as (hours:)minutes:seconds.

    >>> _clock(75.2), _clock(3_700)
    ('1:15', '1:01:40')
    """
    minutes, seconds_left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{seconds_left:02}"
    return f"{minutes}:{seconds_left:02}"
