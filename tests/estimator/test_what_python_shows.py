"""What a training in Python shows: a bar to whom it may concern, and own log lines."""

import io
import logging
import sys
import types

import pytest

import specflow as sf


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


def test_a_notebook_sees_it_too(line, rows, monkeypatch):
    kernel = type("ZMQInteractiveShell", (), {})()
    ipython = types.SimpleNamespace(get_ipython=lambda: kernel)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    line().train(rows, steps=4)
    assert "step 4/4" in sys.stderr.getvalue()


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


def test_what_users_write_and_ask_for_is_shown(line, rows, tmp_path, root, monkeypatch):
    absl = logging.getLogger("absl")
    line(model_dir=tmp_path / "a").train(rows, steps=1).close()
    absl.info("the user's own")
    assert "the user's own" in [record.getMessage() for record in root.records]
    monkeypatch.setattr(absl, "level", logging.INFO)
    absl.manager._clear_cache()
    line(model_dir=tmp_path / "b", config=sf.RunConfig(save_checkpoints_steps=1)).train(
        rows, steps=1
    ).close()
    assert any("/orbax/" in record.pathname for record in root.records)
