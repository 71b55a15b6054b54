import contextlib
import logging
import os
import random
import signal
import sys
import warnings

import jax
import numpy as np
import pytest

from specflow.cli import trial_lanes
from specflow.cli.trial_lanes import Lane, Lanes
from specflow.runtime.signal_handlers import signal_handlers
from specflow.sweep.pool.process_state import ProcessState


def _environment():
    os.environ["SPECFLOW_TEST_ADDED"] = "1"
    os.environ.pop("HOME", None)
    os.environ["PATH"] = "elsewhere"


def _logging():
    logging.root.setLevel(logging.DEBUG)
    logging.root.addHandler(logging.NullHandler())
    own = logging.getLogger("specflow_test.made_inside")
    own.disabled, own.propagate = True, False


CHANGES = {
    "environment variables": (_environment, lambda: dict(os.environ)),
    "working directory": (lambda: os.chdir("/"), os.getcwd),
    "import path": (lambda: sys.path.insert(0, "x"), lambda: list(sys.path)),
    "random state of Python": (lambda: random.seed(3), random.getstate),
    "random state of NumPy": (
        lambda: np.random.seed(3),
        lambda: str(np.random.get_state()),
    ),
    "warning filters": (
        lambda: warnings.simplefilter("ignore"),
        lambda: list(warnings.filters),
    ),
    "loggers": (
        _logging,
        lambda: (
            logging.root.level,
            list(logging.root.handlers),
            logging.getLogger("specflow_test.made_inside").disabled,
        ),
    ),
    "signal handlers": (
        lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN),
        lambda: signal.getsignal(signal.SIGUSR1),
    ),
    "settings of JAX": (
        lambda: jax.config.update("jax_debug_nans", True),
        lambda: jax.config.values["jax_debug_nans"],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_code_changes_is_restored(name):
    change, read = CHANGES[name]
    before = read()
    state = ProcessState()
    with warnings.catch_warnings():
        change()
        assert read() != before
    state.restore()
    assert read() == before


@pytest.fixture
def lanes():
    return Lanes()


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("is_last", [False, True])
def test_trials_that_take_turns_do_not_see_what_others_change(lanes, name, is_last):
    change, read = CHANGES[name]
    before = read()

    def changing():
        yield None
        change()
        changed = read()
        yield "a device loop"
        assert read() == changed
        yield "another"
        assert read() == changed
        return {}

    def other():
        yield None
        assert read() == before
        yield "a device loop"
        assert read() == before
        return {}

    trials = [changing, other, other, changing]
    if is_last:
        trials = [other, changing, other]
    every = [Lane(n, each(), None, is_packed=True) for n, each in enumerate(trials)]
    for lane in every:
        assert lanes.begin(lane) is None
    while lanes.running:
        for lane in list(lanes.running.values()):
            lanes.resume(lane, "a result")
    assert read() == before


def test_a_signal_reaches_every_trial_once(lanes):
    arrived = []

    def trial(number):
        yield None
        former = signal.signal(signal.SIGTERM, lambda *_: arrived.append(number))
        while not arrived.count(number):
            yield "a device loop"
        signal.signal(signal.SIGTERM, former)
        return {}

    every = [Lane(n, trial(n), None, is_packed=True) for n in range(3)]
    for lane in every:
        lanes.begin(lane)
    os.kill(os.getpid(), signal.SIGTERM)
    assert arrived == [2]
    for lane in every:
        lanes.resume(lane, "a result")
    assert sorted(arrived) == [0, 1, 2]
    assert not lanes.running


@pytest.fixture
def interrupts():
    """SIGINT raises KeyboardInterrupt, as in a worker."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, former)


@pytest.mark.parametrize("handles", [True, False])
def test_at_every_line_of_a_change_of_turns_a_signal_reaches_every_trial_once(
    lanes, interrupts, handles
):
    counts = []

    def trial(number, turns):
        try:
            yield None
            handler = signal_handlers(lambda _: counts.append(number), signal.SIGINT)
            with handler if handles else contextlib.nullcontext():
                for _ in range(turns):
                    yield "a device loop"
        except KeyboardInterrupt:
            counts.append(number)
        return {}

    def sent_at(line):
        """Whether there is such a line."""
        counts.clear()
        lines = 0

        def trace(frame, event, _):
            nonlocal lines
            if frame.f_code.co_filename != trial_lanes.__file__:
                return None
            lines += event == "line"
            if event == "line" and lines == line:
                os.kill(os.getpid(), signal.SIGINT)
            return trace

        every = [
            Lane(n, trial(n, turns), None, is_packed=True)
            for n, turns in enumerate((3, 1, 3))
        ]
        for lane in every:
            lanes.begin(lane)
        former = sys.gettrace()
        sys.settrace(trace)
        try:
            for lane in (every[0], every[2], every[1], every[0], every[2]):
                if lane.number in lanes.running:
                    lanes.resume(lane, "a result")
        finally:
            sys.settrace(former)
        for lane in list(lanes.running.values()):
            lanes.resume(lane, "a result")
        assert not lanes.running
        return lines >= line

    line = 1
    while sent_at(line):
        assert (counts.count(0), counts.count(2)) == (1, 1), line
        assert counts.count(1) <= 1
        line += 1
    assert line > 100


def test_each_trial_has_a_log(lanes, tmp_path, capfd):
    def trial(number):
        yield None
        print("first of", number)
        yield "a device loop"
        os.write(2, f"second of {number}\n".encode())
        return {}

    every = [
        Lane(n, trial(n), str(tmp_path / f"logs/{n}.log"), is_packed=True)
        for n in range(2)
    ]
    with capfd.disabled():
        for lane in every:
            lanes.begin(lane)
        for lane in every:
            lanes.resume(lane, "a result")
    for number in range(2):
        text = (tmp_path / f"logs/{number}.log").read_text()
        assert text == f"first of {number}\nsecond of {number}\n"
