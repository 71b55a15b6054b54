"""Progress: plain lines for logs, a bar for terminals, next to nothing per call."""

import io
import re
import sys

import pytest

from specflow.output import Progress
from specflow.output.report.progress import _clock


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self):
        return True


class Unread:
    """A loss on a device: reading it would block training."""

    def __float__(self):
        raise AssertionError("the loss was read between two refreshes")


@pytest.fixture
def clock(monkeypatch):
    """Seconds on the clock, set by the test."""
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    return now


def test_plain_lines_say_step_loss_rate_and_time_left(clock):
    stream = io.StringIO()
    progress = Progress(1_000, 0, stream, interval_s=10.0)
    for step in range(50, 1_001, 50):
        clock[0] = 5.0 + step / 10  # Ten steps a second after five of compilation.
        progress.update(step, 2.0 / step)
    progress.close()
    assert stream.getvalue() == (
        "step 50/1000  loss 0.04\n"
        "step 150/1000  loss 0.01333  10 steps/s  1:25 left\n"
        "step 250/1000  loss 0.008  10 steps/s  1:15 left\n"
        "step 350/1000  loss 0.005714  10 steps/s  1:05 left\n"
        "step 450/1000  loss 0.004444  10 steps/s  0:55 left\n"
        "step 550/1000  loss 0.003636  10 steps/s  0:45 left\n"
        "step 650/1000  loss 0.003077  10 steps/s  0:35 left\n"
        "step 750/1000  loss 0.002667  10 steps/s  0:25 left\n"
        "step 850/1000  loss 0.002353  10 steps/s  0:15 left\n"
        "step 950/1000  loss 0.002105  10 steps/s  0:05 left\n"
        "step 1000/1000  loss 0.002  10 steps/s  0:00 left\n"
    )


def test_between_two_refreshes_the_loss_is_not_read(clock):
    progress = Progress(100, 0, io.StringIO(), interval_s=10.0)
    progress.update(1, 0.5)
    for step in range(2, 100):
        progress.update(step, Unread())
    with pytest.raises(AssertionError):
        progress.update(100, Unread())  # The last step is always shown.


def test_a_note_is_a_line_of_its_own():
    stream = io.StringIO()
    progress = Progress(10, 0, stream)
    progress.note("checkpoint [10] is damaged")
    assert stream.getvalue() == "checkpoint [10] is damaged\n"


def test_a_terminal_gets_a_bar_and_the_notes_above_it(clock, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    stream = Terminal()
    progress = Progress(1_000, 500, stream)
    progress.update(500, 1.0)
    for step in range(600, 1_001, 100):
        clock[0] = step / 200
        progress.update(step, 0.5)
        progress.note(f"note [{step}]")
    progress.close()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "600/1000 loss 0.5" in text
    assert "note [600]" in text
    assert "1000/1000 loss 0.5" in text
    assert "0:00 left" in text
    assert stream.getvalue().endswith("\n\x1b[?25h")  # The cursor is shown again.


def test_the_loss_may_be_unknown(clock):
    stream = io.StringIO()
    Progress(10, 0, stream).update(10)
    assert stream.getvalue() == "step 10/10\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (90_061, "25:01:01")],
)
def test_durations_are_shown_as_a_clock_shows_them(seconds, text):
    assert _clock(seconds) == text


def test_without_a_known_end_the_steps_are_counted(clock):
    stream = io.StringIO()
    progress = Progress(None, 3, stream, interval_s=10.0)
    for step in range(4, 16):
        clock[0] = step / 2
        progress.update(step, 0.25)
    progress.close()
    # The last one is shown at the close: no update knew that it was the last.
    assert stream.getvalue() == "step 4  loss 0.25\nstep 15  loss 0.25  2 steps/s\n"


def test_a_transient_bar_of_a_short_loop_is_not_shown(clock):
    stream = io.StringIO()
    for seconds in (4.9, 5.1):
        progress = Progress(8, 0, stream, unit="batch", is_transient=True)
        for batch in range(1, 9):
            clock[0] = batch * seconds / 7
            progress.update(batch)
        progress.close()
    assert stream.getvalue() == "batch 8/8  1.37 batches/s  0:00 left\n"


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of a hundred columns."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return Terminal()


def test_a_bar_inside_of_another_one_is_not_shown(terminal):
    outer, inner = Progress(4, 0, terminal), Progress(70, 0, terminal)
    outer.update(1)
    inner.update(35)
    inner.note("a note is shown all the same")
    inner.close()
    outer.update(4)
    outer.close()
    shown = terminal.getvalue()
    assert "4/4" in shown
    assert "a note is shown all the same\n" in shown
    assert "35/70" not in shown


def test_the_bar_of_predictions_gives_way_and_comes_back(clock, terminal):
    predictions = Progress(9, 0, terminal, gives_way=True)
    predictions.update(1)
    training = Progress(30, 0, terminal)
    training.update(30)
    training.close()
    clock[0] = 1.0
    predictions.update(2)
    predictions.close()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    counts = dict.fromkeys(re.findall(r"\d+/\d+", text))
    assert list(counts) == ["1/9", "30/30", "2/9"]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_output_is_printed_above_the_bar_only_on_a_terminal(
    terminal, monkeypatch, is_terminal
):
    out = Terminal() if is_terminal else io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    progress = Progress(4, 0, terminal)
    progress.update(2)
    print("a row")
    progress.close()
    assert ("a row\n" in terminal.getvalue()) == is_terminal
    assert (out.getvalue() == "a row\n") != is_terminal
