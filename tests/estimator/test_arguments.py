"""Arguments in Python are checked where they are passed, with one kind of error."""

import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.config.sections.mesh import AxesConfig
from specflow.diagnostics.errors import ConfigError, SpecflowError, SpecflowWarning
from tests.estimator.conftest import X, Y, arrays, line_fn


class Hook:
    def begin(self, step): ...
    def end(self, step): ...


class Listener:
    def begin(self): ...
    def after_save(self, step): ...


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda line: line(3),
            "model_fn: got int. Expected a function that takes features",
        ),
        (lambda line: line(init_fn=3), "init_fn: got int. Expected a function."),
        (lambda line: line(eval_params="x"), "eval_params: got str. Expected a func"),
        (lambda line: line(mesh=3), "mesh: got int. Expected a specflow.MeshConfig"),
        (lambda line: line(mesh={"data": 2}), "mesh: got dict. Expected"),
        (lambda line: line(params=3), "params: got int. Expected name -> value."),
        (lambda line: line(model_dir=3), "model_dir: got int. Expected a directory."),
        (lambda line: line().train(3, steps=1), "input_fn: got int. Expected a func"),
        (lambda line: line().evaluate(3), "input_fn: got int. Expected a function."),
        (lambda line: line().predict(3), "input_fn: got int. Expected a function."),
        (
            lambda line: line().export("x", features={"x": X}, serving_fn=3),
            "serving_fn: got int. Expected a function.",
        ),
        (
            lambda line: sf.early_stopping.stop_if(3),
            "should_stop: got int. Expected a function without arguments, which says "
            "whether to stop.",
        ),
        (
            lambda line: sf.early_stopping.stop_if_lower(3, "loss", 0.1),
            "estimator: got int. Expected the estimator whose evaluations count.",
        ),
        (
            lambda line: sf.EvalSpec(
                arrays, early_stopping=type("R", (), {"reason": 1})
            ),
            "early_stopping: got <class",
        ),
        (
            lambda line: sf.LatestExporter("x", input_fn=3),
            "input_fn: got int. Expected a function.",
        ),
        (
            lambda line: sf.tf.heads.RegressionHead(loss_fn=3),
            "loss_fn: got int. Expected a function of labels and logits.",
        ),
        (
            lambda line: line().train(arrays, steps=1, saving_listeners=[Hook()]),
            "saving_listeners[0]: got Hook. Expected an object with one of begin, "
            "before_save, after_save, end. begin(step) is called as begin().",
        ),
        (
            lambda line: line().train(arrays, steps=1, hooks=[Listener()]),
            "hooks[0]: got Listener. Expected an object with one of begin, "
            "before_step, after_step, end. begin() is called as begin(step).",
        ),
        (
            lambda line: sf.TrainSpec(arrays, hooks=[Listener()]),
            "hooks[0]: got Listener. Expected an object with one of begin",
        ),
        (
            lambda line: sf.TPUEstimatorSpec(
                "train",
                loss=np.float32(0),
                train_op=optax.sgd(0.1),
                training_hooks=[Listener()],
            ),
            "TPUEstimatorSpec.training_hooks[0]: got Listener. Expected an object",
        ),
    ],
)
def test_an_argument_that_is_no_function_raises_where_it_is_passed(line, call, message):
    """The reference raised TypeError, if anything, and some of it much later."""
    with pytest.raises(SpecflowError) as caught:
        call(line)
    assert isinstance(caught.value, TypeError)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("call", "message", "kinds"),
    [
        (
            lambda: sf.MeshConfig(axes={"data": 0}),
            "MeshConfig.axes.data: got 0. Expected 1 or more, or -1 for all remaining "
            "devices.",
            (ValueError,),
        ),
        (
            lambda: sf.MeshConfig(rules=[{"path": 3}]),
            "MeshConfig.rules.0.path: got 3: Input should be a valid string.",
            (ValueError,),
        ),
        (
            lambda: sf.MeshConfig(axes={"dta": 2}),
            "MeshConfig.axes.dta: no such field.",
            (ValueError, TypeError),
        ),
        (
            lambda: AxesConfig(data=-2),
            "AxesConfig.data: got -2: Input should be greater than or equal to -1.",
            (ValueError,),
        ),
        (
            lambda: sf.RunConfig(sead=1),
            "RunConfig.sead: no such field. Did you mean seed? There is model_dir,",
            (ValueError, TypeError),
        ),
        (
            lambda: sf.TPUConfig(num_shards=8),
            "TPUConfig.num_shards: is gone. Use the mesh:",
            (ValueError, TypeError),
        ),
        (
            lambda: sf.RunConfig(tpu_config={"micro_steps": 0}),
            "RunConfig.tpu_config.micro_steps: got 0: Input should be greater than 0.",
            (ValueError,),
        ),
    ],
)
def test_a_config_built_in_python_raises_a_config_error(call, message, kinds):
    with pytest.raises(ConfigError) as caught:
        call()
    assert str(caught.value).startswith(message)
    for kind in (ValueError, TypeError):
        assert isinstance(caught.value, kind) == (kind in kinds)
    assert type(caught.value).__name__ == "ConfigError"


def test_seconds_between_checkpoints_are_those_of_the_reference():
    """TensorFlow 2.15: 600 by default, None beside save_checkpoints_steps."""
    assert sf.RunConfig().save_checkpoints_secs == 600
    assert sf.RunConfig(save_checkpoints_steps=5).save_checkpoints_secs is None
    assert sf.RunConfig(save_checkpoints_steps=None).save_checkpoints_secs is None
    assert sf.RunConfig().replace(seed=1).save_checkpoints_secs == 600
    assert (
        sf.RunConfig().replace(save_checkpoints_steps=5).save_checkpoints_secs is None
    )


class WithoutCall(nnx.Module):
    def __init__(self):
        self.w = nnx.Param(np.zeros(3, np.float32))


def test_a_built_module_needs_no_call_of_its_own(line):
    def model_fn(model, features, labels, mode):
        return line_fn(lambda x: x @ model.w[...], features, labels, mode)

    built, plain = line(model_fn, model=WithoutCall()), line(model_dir=None)
    for estimator in (built, plain):
        estimator.train(arrays, steps=3)
        estimator.close()
    assert built.evaluate(arrays) == plain.evaluate(arrays)


@pytest.mark.parametrize("steps_per_loop", [1, 50])
def test_without_parameters_a_train_op_of_its_own_still_trains(line, steps_per_loop):
    """As in the reference, whose optimizers refused; counting steps did not."""

    def model_fn(features, labels, mode):
        value = features["x"].sum(1)
        loss = ((value - labels) ** 2).mean()
        return sf.TPUEstimatorSpec(
            mode, {"value": value}, loss, lambda state, batch: (state, {"loss": 1.5})
        )

    config = sf.RunConfig(tpu_config=sf.TPUConfig(iterations_per_loop=steps_per_loop))
    estimator = line(model_fn, model=None, config=config)
    estimator.train(arrays, steps=3)
    assert estimator.latest_step() == 3
    expected = np.mean((X.astype(np.float64).sum(1) - Y) ** 2)
    found = estimator.evaluate(arrays)
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    assert found["global_step"] == 3
    estimator.close()


def test_a_batch_larger_than_the_batch_size_is_divided_with_a_warning(line):
    def model_fn(model, features, labels, mode, mask):
        spec = line_fn(model, features, labels, mode)
        losses = (model(features["x"]) - labels) ** 2
        return spec._replace(loss=(losses * mask).sum() / mask.sum())

    def in_twelves():
        for start in (0, 12):
            yield {"x": X[start : start + 12]}, Y[start : start + 12]

    estimator = line(model_fn, eval_batch_size=8)
    with pytest.warns(SpecflowWarning) as reported:
        found = estimator.evaluate(in_twelves)
    assert [str(one.message) for one in reported] == [
        "evaluation batch 0: has 12 rows, and is divided into batches of 8, the batch "
        "size. Results are the same; hooks and whole batches of predictions go by the "
        "parts. Give that batch size to the estimator."
    ]
    expected = np.mean(Y.astype(np.float64) ** 2)
    assert found["loss"] == pytest.approx(expected, rel=1e-6)
    # `steps` counts the batches of the input, as it does where none is divided.
    with pytest.warns(SpecflowWarning, match="divided"):
        found = estimator.evaluate(in_twelves, steps=1)
    expected = np.mean(Y[:12].astype(np.float64) ** 2)
    assert found["loss"] == pytest.approx(expected, rel=1e-6)
