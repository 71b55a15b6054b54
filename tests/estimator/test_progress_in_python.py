"""Output of training in Python: a progress bar on a terminal, and log lines."""

import io
import itertools
import logging
import re
import sys
import types

import pytest

import specflow as sf
from specflow.distributed import collectives
from tests.estimator.conftest import arrays


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "config", "shown"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"progress": False}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_a_terminal_sees_how_far_training_is(
    line, rows, tmp_path, monkeypatch, stream, config, shown
):
    monkeypatch.setattr(sys, "stderr", stream)
    settings = sf.RunConfig(save_checkpoints_steps=None, seed=0, **config)
    made = line(config=settings, model_dir=tmp_path)
    made.train(rows, steps=4)
    assert ("4/4" in stream.getvalue()) == shown
    assert bool(stream.getvalue()) == shown
    made.train_and_evaluate(
        sf.TrainSpec(rows, 8), sf.EvalSpec(rows, every_steps=4, start_delay_secs=0)
    )
    assert ("8/8" in stream.getvalue()) == shown


@pytest.fixture
def notebook(monkeypatch):
    """The kernel of a notebook: standard error is no terminal, yet it is seen."""
    kernel = type("ZMQInteractiveShell", (), {})()
    ipython = types.SimpleNamespace(get_ipython=lambda: kernel)
    monkeypatch.setitem(sys.modules, "IPython", ipython)


def test_a_notebook_sees_it_too(line, rows, notebook, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    line().train(rows, steps=4)
    assert "step 4/4" in sys.stderr.getvalue()


@pytest.fixture
def slow(monkeypatch):
    """A clock that is ten seconds later whenever it is read."""
    seconds = itertools.count(0, 10)
    monkeypatch.setattr("time.perf_counter", lambda: float(next(seconds)))


def batches():
    """24 rows in three batches, a number that is unknown before the end."""
    (features, labels) = arrays()
    for first in (0, 8, 16):
        rows = slice(first, first + 8)
        yield {"x": features["x"][rows]}, labels[rows]


def test_training_to_the_end_of_its_data_counts_steps(line, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    line().train(batches)
    assert "3/3" in sys.stderr.getvalue()


@pytest.mark.parametrize(
    ("ask", "shown"),
    [
        (lambda made: made.evaluate(arrays), "3/3"),
        (lambda made: made.evaluate(arrays, steps=2), "2/2"),
        (lambda made: made.evaluate(batches), "3/?"),
        (lambda made: list(made.predict(arrays)), "3/3"),
        (lambda made: list(made.predict(batches)), "3/?"),
    ],
)
def test_evaluation_and_prediction_count_batches(line, slow, monkeypatch, ask, shown):
    made = line()
    monkeypatch.setattr(sys, "stderr", Terminal())
    ask(made)
    assert shown in sys.stderr.getvalue()


@pytest.mark.parametrize("hidden", ["pipe", "process 1", "RunConfig", "argument"])
def test_without_a_terminal_no_progress_is_shown(line, slow, monkeypatch, hidden):
    made = line(config=sf.RunConfig(progress=hidden != "RunConfig"))
    stream = io.StringIO() if hidden == "pipe" else Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(collectives, "is_process_zero", lambda: hidden != "process 1")
    if hidden == "argument":
        list(made.predict(arrays, progress=False))
    else:
        made.evaluate(arrays, record=False)
        list(made.predict(arrays))
    assert stream.getvalue() == ""


def test_a_notebook_sees_batches_line_by_line(line, slow, notebook, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    line().evaluate(arrays, record=False)
    shown = re.findall(r"^batch (\d/\d)  ", sys.stderr.getvalue(), re.MULTILINE)
    assert shown == ["2/3", "3/3"]


def test_an_evaluation_inside_of_training_leaves_its_bar_alone(line, slow, monkeypatch):
    class Evaluates:
        def after_step(self, step, loss=None):
            made.evaluate(batches, record=False)

    made = line(config=sf.RunConfig(save_checkpoints_steps=1))
    monkeypatch.setattr(sys, "stderr", Terminal())
    made.train(arrays, steps=4, hooks=[Evaluates()])
    assert "4/4" in sys.stderr.getvalue()
    assert "batch" not in sys.stderr.getvalue()


class Kept(logging.Handler):
    def __init__(self):
        super().__init__(logging.DEBUG)
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def root(monkeypatch):
    """As after `logging.basicConfig(level=logging.INFO)`."""
    handler, logger = Kept(), logging.getLogger()
    former = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(former)


def test_at_info_there_are_lines_of_specflow_alone(line, rows, tmp_path, root):
    config = sf.RunConfig(save_checkpoints_steps=2, log_step_count_steps=2)
    made = line(config=config, model_dir=tmp_path)
    made.train(rows, steps=4).evaluate(rows)
    made.close()
    assert {record.name.partition(".")[0] for record in root.records} == {"specflow"}


def test_log_lines_of_the_user_are_shown(line, rows, tmp_path, root):
    absl = logging.getLogger("absl")
    line(model_dir=tmp_path / "a").train(rows, steps=1).close()
    absl.info("the user's own")
    assert "the user's own" in [record.getMessage() for record in root.records]
