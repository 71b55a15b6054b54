"""An error in the user's own code: its file, line and type; no frames of specflow.

What is right is Python's own traceback of the same code, called without specflow.
"""

import sys
import traceback

import pytest

import specflow as sf
from specflow.cli.main import main
from specflow.diagnostics.rendering import machine_diagnostic, report_error

CODE = """
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx


class Net(nnx.Module):
    def __init__(self, fail="", *, rngs: nnx.Rngs):
        if fail == "init":
            raise KeyError("init")
        self.fail, self.layer = fail, nnx.Linear(2, 3, rngs=rngs)

    def __call__(self, image):
        if self.fail == "call":
            return helper(image)
        return self.layer(image)


def helper(x):
    raise RuntimeError("bad width")


def data(fail=False):
    if fail:
        raise LookupError("no rows there")
    x, y = {"image": np.ones((16, 2), np.float32)}, np.arange(16) % 3
    return {"train": (x, y), "eval": (x, y)}
"""


def lines_of(function):
    """Python's own report of an error, from the function on."""
    try:
        function()
    except Exception as error:
        stack = traceback.extract_tb(error.__traceback__)[1:]
        return "".join([*traceback.format_list(stack)]), f"{type(error).__name__}: "
    raise AssertionError("did not raise")


@pytest.fixture
def code(tmp_path, monkeypatch):
    (tmp_path / "their_code.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("their_code", None)


def train(*more):
    return main([
        "train", "trust=their_code", "model={_target_: their_code.Net}",
        "data={_target_: their_code.data}", "optimizer.schedule.warmup_steps=0",
        "loop.train_steps=2", "loop.batch_size=8", "loop.eval_batch_size=8",
        "mesh=single", "output.dir=run", "output.reporters=[]",
        "spec.eval_metrics={accuracy: {name: accuracy}}", *more,
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("line", "section", "last"),
    [
        ("+model.fail=init", "model", "KeyError: 'init'"),
        ("+model.fail=call", "model", "RuntimeError: bad width"),
        ("+data.fail=true", "data", "LookupError: no rows there"),
    ],
)
def test_the_command_shows_the_users_frames_and_names_the_section(
    code, capsys, line, section, last
):
    assert train(line) == 2
    message = capsys.readouterr().err
    shown = message[message.index("Traceback (most recent call last):") :]
    import their_code
    from flax import nnx

    expected, _ = lines_of(
        {
            "+model.fail=init": lambda: their_code.Net("init", rngs=nnx.Rngs(0)),
            "+model.fail=call": lambda: their_code.Net("call", rngs=nnx.Rngs(0))(0),
            "+data.fail=true": lambda: their_code.data(fail=True),
        }[line]
    )
    own = expected[expected.index('  File "' + their_code.__file__) :]
    assert own in shown
    assert last in shown.splitlines()
    assert shown.splitlines()[-1].startswith(f"error[user-code] {section}: {last}")
    assert "/specflow/" not in shown.replace(their_code.__file__, "")
    assert "/jax/" not in shown
    assert "/flax/" not in shown


def boom(*args, **kwargs):
    raise LookupError("of the user's own")


class Hook:
    def after_step(self, step, loss):
        boom()


class Listener:
    def after_save(self, step):
        boom()


def metric_fn(labels):
    boom()


def estimator(tmp_path, *, fails="", **spec):
    import jax.numpy as jnp
    import optax
    from flax import nnx

    class Line(nnx.Module):
        def __init__(self, rngs=None):
            self.w = nnx.Param(jnp.zeros(2))

    def model_fn(model, features, labels, mode):
        if fails == "model_fn":
            boom()
        value = features["x"] @ model.w[...]
        loss = ((value - labels) ** 2).mean()
        more = {}
        if fails == "metric_fn":
            more["eval_metrics"] = (metric_fn, [labels])
        if fails == "host_call":
            more["host_call"] = (lambda labels: boom(), [labels])
        return sf.TPUEstimatorSpec(mode, {"value": value}, loss, optax.sgd(0.1), **more)

    return sf.TPUEstimator(
        model_fn, model=Line, model_dir=tmp_path, train_batch_size=8,
        eval_batch_size=8,
    )  # fmt: skip


def rows():
    import numpy as np

    return {"x": np.ones((8, 2), np.float32)}, np.ones(8, np.float32)


@pytest.mark.parametrize(
    "where", ["model_fn", "metric_fn", "host_call", "input_fn", "hook", "listener"]
)
def test_in_python_the_error_keeps_its_type_and_ends_in_the_users_line(
    tmp_path, where, capsys
):
    made = estimator(tmp_path, fails=where)

    def run():
        if where == "metric_fn":
            return made.evaluate(rows)
        input_fn = boom if where == "input_fn" else rows
        return made.train(
            input_fn,
            steps=2,
            hooks=[Hook()] if where == "hook" else [],
            saving_listeners=[Listener()] if where == "listener" else [],
        )

    with pytest.raises(LookupError, match="of the user's own") as caught:
        run()
    assert type(caught.value) is LookupError
    assert caught.traceback[-1].name == "boom"
    assert report_error(caught.value) == 2
    message = capsys.readouterr().err
    assert "LookupError: of the user's own" in message
    assert f'File "{__file__}"' in message
    assert "/specflow/estimator/" not in message
    assert (
        f"error[user-code] {__name__}.boom: LookupError: of the user's own" in message
    )


def test_an_error_in_a_callback_is_an_error_of_the_user(capsys):
    import jax
    import jax.numpy as jnp

    @jax.jit
    def compute(x):
        return jax.pure_callback(boom, jax.ShapeDtypeStruct((), jnp.float32), x)

    with pytest.raises(jax.errors.JaxRuntimeError) as caught:
        compute(1.0).block_until_ready()
    assert machine_diagnostic(caught.value) is None
    assert report_error(caught.value) == 2
    message = capsys.readouterr().err
    assert f'File "{__file__}"' in message
    assert "error[user-code]" in message
