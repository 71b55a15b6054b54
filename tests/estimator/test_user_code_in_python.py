"""Errors in functions that users hand to the estimator, at each place that calls them.

What is right is Python's own: the type of the error, and the line that raised it last.
"""

import ast
import collections
import re
import traceback
from pathlib import Path

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.contract import HOOK_METHODS
from specflow.diagnostics.rendering import report_error
from specflow.estimator.step_saving import LISTENER_METHODS

SOURCES = Path(sf.__file__).parent
MODES = {"train": sf.Mode.TRAIN, "evaluate": sf.Mode.EVAL, "predict": sf.Mode.PREDICT}


class Theirs(LookupError):
    """A type of the user's own."""


class Hook:
    def __init__(self, code, field):
        self.code, self.field = code, field

    def begin(self, step):
        self.code.may_fail(f"{self.field}.begin")

    def before_step(self, step):
        self.code.may_fail(f"{self.field}.before_step")

    def after_step(self, step, loss):
        self.code.may_fail(f"{self.field}.after_step")

    def end(self, step):
        self.code.may_fail(f"{self.field}.end")


class Listener:
    def __init__(self, code, field):
        self.code, self.field = code, field

    def begin(self):
        self.code.may_fail(f"{self.field}.begin")

    def before_save(self, step):
        self.code.may_fail(f"{self.field}.before_save")

    def after_save(self, step):
        self.code.may_fail(f"{self.field}.after_save")

    def end(self, step):
        self.code.may_fail(f"{self.field}.end")


class Code:
    """A model of a user, of which the named part fails."""

    def __init__(self, fails):
        self.fails, self.called = fails, collections.Counter()

    def may_fail(self, part, call=1):
        self.called[part] += 1
        if part == self.fails and self.called[part] >= call:
            raise Theirs(f"{part} is at fault")

    def model_fn(self, features, labels, mode, model):
        name = {mode: name for name, mode in MODES.items()}[mode]
        self.may_fail(f"model_fn ({name})")
        value = model(features["x"])
        predictions = {"value": value}
        if mode is sf.Mode.PREDICT:
            return sf.TPUEstimatorSpec(
                mode,
                predictions,
                prediction_hooks=self.hooks("prediction_hooks"),
                export_outputs={"serving_default": sf.PredictOutput(predictions)},
            )
        losses = (value - labels) ** 2
        return sf.TPUEstimatorSpec(
            mode,
            predictions,
            losses.mean(),
            self.train_op(),
            eval_metrics=(self.metric_fn, [losses]),
            host_call=(self.host_call, [losses]),
            training_hooks=self.hooks("training_hooks"),
            evaluation_hooks=self.hooks("evaluation_hooks"),
        )

    def train_op(self):
        if self.fails == "train_op":

            def step(loss, params, *model_state):
                self.may_fail("train_op")

            return step
        inner = optax.sgd(0.1)

        def init(params):
            self.may_fail("optimizer.init")
            return inner.init(params)

        def update(updates, state, params=None):
            self.may_fail("optimizer.update")
            return inner.update(updates, state, params)

        return optax.GradientTransformation(init, update)

    def metric_fn(self, losses):
        self.may_fail("metric_fn")
        return {"mean": sf.metrics.Mean.from_batch(losses)}

    def host_call(self, losses):
        self.may_fail("host_call")

    def hooks(self, field, kind=None):
        """A hook of which every method may fail."""
        return [(kind or Hook)(self, field)] if self.fails.startswith(field) else []

    def model(self, rngs):
        self.may_fail("model")
        code = self

        class Line(nnx.Module):
            def __init__(self):
                self.w = nnx.Param(jnp.zeros(2))

            def __call__(self, x):
                code.may_fail("model.__call__")
                return x @ self.w[...]

        return Line()

    def linen(self):
        code = self

        class Line(nn.Module):
            def setup(self):
                code.may_fail("model.setup")
                self.layer = nn.Dense(1)

            def __call__(self, x):
                return self.layer(x)[:, 0]

        return Line()

    def input_fn(self):
        self.may_fail("input_fn")
        if self.fails in ("input_fn", "none"):
            return {"x": np.ones((8, 2), np.float32)}, np.ones(8, np.float32)
        return self.batches()

    def batches(self):
        for _ in range(4):
            self.may_fail("input_fn, first batch")
            self.may_fail("input_fn, later batch", call=3)
            yield {"x": np.ones((4, 2), np.float32)}, np.ones(4, np.float32)

    def features(self):
        return {"x": np.ones((4, 2), np.float32)}

    def init_fn(self, params):
        self.may_fail("init_fn")
        return params

    def eval_params(self, params, state):
        self.may_fail("eval_params")
        return params

    def serving_fn(self, raw):
        self.may_fail("serving_fn")
        return raw

    def compare_fn(self, best_eval_result, current_eval_result):
        self.may_fail("compare_fn")
        return True

    def should_stop(self):
        self.may_fail("should_stop")
        return False

    def progress(self, step, loss):
        self.may_fail("progress")

    def report(self, step, split, metrics):
        self.may_fail("report")

    def estimator(self, folder, **settings):
        given = {"init_fn": self.init_fn, "eval_params": self.eval_params}
        model = self.linen() if self.fails == "model.setup" else self.model
        return sf.Estimator(
            self.model_fn, model=model, model_dir=folder, train_batch_size=4,
            eval_batch_size=4, use_tpu=False, **given, **settings,
        )  # fmt: skip


def train(code, estimator):
    listeners = code.hooks("saving_listeners", Listener)
    estimator.train(
        code.input_fn,
        steps=4,
        hooks=code.hooks("hooks"),
        saving_listeners=listeners,
    )


def stop(code, estimator):
    hook = sf.early_stopping.stop_if(
        code.should_stop, run_every_secs=None, run_every_steps=1
    )
    estimator.train(code.input_fn, steps=4, hooks=[hook])


def evaluate(code, estimator):
    Code("none").estimator(estimator.model_dir).train(Code("none").input_fn, steps=2)
    estimator.evaluate(code.input_fn, hooks=code.hooks("hooks"))


def predict(code, estimator):
    Code("none").estimator(estimator.model_dir).train(Code("none").input_fn, steps=2)
    found = estimator.predict(code.input_fn, hooks=code.hooks("hooks"))
    for _ in found:
        pass


def export(code, estimator):
    Code("none").estimator(estimator.model_dir).train(Code("none").input_fn, steps=2)
    estimator.export(
        estimator.model_dir / "export",
        input_fn=code.input_fn if code.fails == "input_fn" else code.features,
        serving_fn=code.serving_fn,
        platforms=["cpu"],
    )


def both(code, estimator):
    exporter = sf.BestExporter(compare_fn=code.compare_fn, features=code.features())
    estimator.train_and_evaluate(
        sf.TrainSpec(code.input_fn, max_steps=4),
        sf.EvalSpec(code.input_fn, every_steps=1, exporters=[exporter]),
        report=code.report,
        progress=code.progress,
        should_stop=code.should_stop,
    )


ROWS = {
    "model": [train],
    "model.__call__": [train],
    "model.setup": [train],
    "model_fn (train)": [train],
    "model_fn (evaluate)": [evaluate],
    "model_fn (predict)": [predict, export],
    "optimizer.init": [train],
    "optimizer.update": [train],
    "train_op": [train],
    "metric_fn": [evaluate],
    "host_call": [train, evaluate],
    "input_fn": [train, evaluate, predict, export],
    "input_fn, first batch": [train, evaluate, predict],
    "input_fn, later batch": [train, evaluate, predict],
    "init_fn": [train],
    "eval_params": [evaluate],
    "serving_fn": [export],
    "compare_fn": [both],
    "should_stop": [stop, both],
    "progress": [both],
    "report": [both],
    **{f"hooks.{name}": [train, evaluate, predict] for name in HOOK_METHODS},
    **{f"training_hooks.{name}": [train] for name in HOOK_METHODS},
    **{f"evaluation_hooks.{name}": [evaluate] for name in HOOK_METHODS},
    **{f"prediction_hooks.{name}": [predict] for name in HOOK_METHODS},
    **{f"saving_listeners.{name}": [train] for name in LISTENER_METHODS},
}
CASES = [(part, how) for part, hows in ROWS.items() for how in hows]
IDS = [f"{part}, {how.__name__}" for part, how in CASES]


@pytest.mark.parametrize(("part", "how"), CASES, ids=IDS)
def test_the_type_and_the_users_line_are_kept(tmp_path, capsys, part, how):
    code = Code(part)
    with pytest.raises(Theirs, match=re.escape(f"{part} is at fault")) as failed:
        how(code, code.estimator(tmp_path))
    assert type(failed.value) is Theirs
    last = traceback.extract_tb(failed.value.__traceback__)[-1]
    assert (last.filename, last.name) == (__file__, "may_fail")
    capsys.readouterr()
    assert report_error(failed.value) == 2
    said = capsys.readouterr().err
    assert {*re.findall(r'^  File "(.*?)"', said, re.MULTILINE)} == {__file__}
    assert f"Theirs: {part} is at fault" in said
    assert "error[user-code] " in said.splitlines()[-1]


def test_every_function_that_is_checked_to_be_one_has_a_row():
    """`check_callables` and `check_functions` see what users hand over."""
    names = set()
    for file in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            called = getattr(getattr(node, "func", None), "id", "")
            if called == "check_functions":
                # Those of a mapping have names of the user's: input functions of parts.
                names |= {keyword.arg for keyword in node.keywords if keyword.arg}
            if called == "check_callables" and isinstance(node.args[0], ast.Dict):
                names |= {key.value for key in node.args[0].keys}
    assert names - {"loss_fn"} == names & set(ROWS)
    assert "loss_fn" in names  # Heads call it inside of a model function.


def test_every_method_that_is_called_by_its_name_has_a_row():
    names = set()
    for file in SOURCES.rglob("*.py"):
        found = re.findall(r'call_hooks\([\w.]+, "(\w+)"', file.read_text())
        names |= set(found)
    assert names <= {part.rpartition(".")[2] for part in ROWS}
    assert names >= {"begin", "before_step", "after_step", "before_save", "end"}
