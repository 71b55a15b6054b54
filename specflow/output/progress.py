"""Progress of a training run: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from typing import Any, Protocol, TextIO

from specflow.streams import is_terminal

__all__ = ["Progress", "is_watched"]

_BAR_INTERVAL_S = 0.2
_LINE_INTERVAL_S = 5.0


def is_watched() -> bool:
    """Whether a person sees standard error: on a terminal or in a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    # The kernel of a notebook has a shell of this name; its streams are no terminals.
    in_notebook = type(shell).__name__ == "ZMQInteractiveShell"
    return in_notebook or is_terminal(sys.stderr)


class _Face(Protocol):
    interval_s: float

    def show(
        self, step: int, loss: float | None, rate: float, left_s: float
    ) -> None: ...

    def note(self, text: str) -> None: ...

    def close(self) -> None: ...


class Progress:
    """Says how far training is: steps a second, loss, time left.

    `update` may be called after every step: between two refreshes it only looks at
    the clock, and `loss`, which may still be on a device, is not read.

    Args:
        total: step at which training ends.
        start: step from which it goes on.
        stream: where to write; standard error if None.
        interval_s: shortest time between refreshes; 0.2 s for a bar and 5 s for plain
            lines if None.
    """

    def __init__(
        self,
        total: int,
        start: int = 0,
        stream: TextIO | None = None,
        *,
        interval_s: float | None = None,
    ):
        out = sys.stderr if stream is None else stream
        self._total = total
        self._face: _Face = (
            _Bar(out, total=total, start=start)
            if is_terminal(out)
            else _Lines(out, total=total)
        )
        self._interval_s = self._face.interval_s if interval_s is None else interval_s
        self._next_s = 0.0
        self._first: tuple[float, int] | None = None
        self._shown = start

    def update(self, step: int, loss: Any = None) -> None:
        """Notes that `step` steps are done; `loss` is a number or a scalar array."""
        now = time.perf_counter()
        if self._first is None:
            # The rate counts from here: what went before is mostly compilation.
            self._first = (now, step)
        if now < self._next_s and step < self._total:
            return
        self._next_s = now + self._interval_s
        self._show(step, loss)

    def note(self, text: str) -> None:
        """Writes a line that stays, above the bar."""
        self._face.note(text)

    def close(self) -> None:
        """Leaves the terminal as it was found."""
        self._face.close()

    def _show(self, step: int, loss: Any) -> None:
        if step <= self._shown:
            return
        self._shown = step
        # Reading the loss may wait for the device: the clock comes after it.
        value = None if loss is None else float(loss)
        assert self._first is not None
        since_s, done = time.perf_counter() - self._first[0], step - self._first[1]
        rate = done / since_s if done > 0 and since_s > 0 else float("nan")
        self._face.show(step, value, rate, (self._total - step) / rate)


class _Lines:
    """A line at each refresh: for logs and pipes."""

    interval_s = _LINE_INTERVAL_S

    def __init__(self, stream: TextIO, *, total: int):
        self._stream = stream
        self._total = total

    def show(self, step: int, loss: float | None, rate: float, left_s: float) -> None:
        parts = [f"step {step}/{self._total}"]
        if loss is not None:
            parts.append(f"loss {loss:.4g}")
        if rate == rate:
            parts += [f"{_rate(rate)} steps/s", f"{_clock(left_s)} left"]
        self.note("  ".join(parts))

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        pass


class _Bar:
    """One line that moves: for terminals."""

    interval_s = _BAR_INTERVAL_S

    def __init__(self, stream: TextIO, *, total: int, start: int):
        self._stream = stream
        self._total = total
        self._start = start
        self._bar: Any = None
        self._task: Any = None

    def show(self, step: int, loss: float | None, rate: float, left_s: float) -> None:
        bar = self._started()
        known = rate == rate
        bar.update(
            self._task,
            completed=step,
            loss="" if loss is None else f"loss {loss:.4g}",
            rate=f"{_rate(rate)} steps/s" if known else "",
            left=f"{_clock(left_s)} left" if known else "",
        )
        bar.refresh()

    def note(self, text: str) -> None:
        self._started().console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _started(self) -> Any:
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
                auto_refresh=False,  # No thread beside training; `show` refreshes.
            )
            self._task = self._bar.add_task(
                "train",
                total=self._total,
                completed=self._start,
                loss="",
                rate="",
                left="",
            )
            self._bar.start()
        return self._bar


def _rate(steps_per_s: float) -> str:
    return f"{steps_per_s:,.0f}" if steps_per_s >= 100 else f"{steps_per_s:.3g}"


def _clock(seconds: float) -> str:
    """A duration as a clock shows it.

    >>> _clock(75.2), _clock(3_700)
    ('1:15', '1:01:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
