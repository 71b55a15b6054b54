"""Construction of an estimator: model functions, models, batch sizes and errors."""

import functools

import jax
import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.diagnostics.errors import ConfigError, SpecError


def message(error) -> str:
    return str(error.value)


def line_spec(features, mode):
    x = features["x"]
    return sf.TPUEstimatorSpec(mode, {"x": x}, x.mean(), optax.sgd(0.1))


def test_tpu_estimator_is_an_alias_of_estimator(line):
    assert sf.TPUEstimator is sf.Estimator
    assert repr(line()).startswith("<specflow.estimator.estimator.Estimator object")


# -- arguments of a model function


def test_a_model_function_must_take_features(line):
    def model_fn(model, labels, mode):
        raise AssertionError("never called")

    with pytest.raises(SpecError) as error:
        line(model_fn)
    assert message(error) == (
        "model_fn: does not take 'features'. For example "
        "def model_fn(model, features, labels, mode)."
    )


def test_unknown_arguments_raise_with_the_nearest_name(line):
    def model_fn(features, label, modes=None, *, wheels=4):
        raise AssertionError("never called")

    with pytest.raises(ValueError, match="takes") as error:
        line(model_fn)
    choices = "model, features, labels, mode, params, config, mask"
    assert message(error).splitlines() == [
        f"model_fn: takes the argument 'label'. Expected some of {choices}. "
        "Did you mean labels?",
        f"model_fn: takes the argument 'modes'. Expected some of {choices}. "
        "Did you mean mode?",
        f"model_fn: takes the argument 'wheels'. Expected some of {choices}. "
        "Pass it in params, or bind it with functools.partial.",
    ]


def test_a_metric_called_while_tracing_raises_with_a_hint(line, rows):
    """TensorFlow's plain spec took metric ops of tensors; here these have no values."""

    def model_fn(model, features, labels, mode):
        losses = (model(features["x"]) - labels) ** 2
        metrics = {"mse": sf.tf.metrics.mean(losses)}
        return sf.EstimatorSpec(mode, loss=losses.mean(), eval_metric_ops=metrics)

    with pytest.raises(TypeError) as error:
        line(model_fn).evaluate(rows)
    assert error.value.__notes__[-1].endswith(
        " NumPy and the metrics of specflow need values: pass tensors through "
        "eval_metrics=(metric_fn, tensors). In the model function use jax.numpy."
    )


def test_a_bound_argument_of_a_model_function_is_not_checked(line, rows):
    def model_fn(features, labels, mode, model, rate):
        loss = ((model(features["x"]) - labels) ** 2).mean()
        return sf.TPUEstimatorSpec(mode, {}, loss, optax.sgd(rate))

    estimator = line(functools.partial(model_fn, rate=0.1))
    assert estimator.train(rows, steps=1).latest_step() == 1


def test_each_argument_of_a_model_function_gets_its_value(line, rows):
    seen = {}

    def model_fn(**given):
        seen[given["mode"]] = given
        loss = (given["model"](given["features"]["x"])).mean()
        return sf.TPUEstimatorSpec(given["mode"], {}, loss, optax.sgd(0.1))

    config = sf.RunConfig(seed=5)
    estimator = line(model_fn, params={"rate": 3}, config=config, eval_batch_size=16)
    estimator.train(rows, steps=1)
    estimator.evaluate(rows)
    train, held = seen[sf.Mode.TRAIN], seen[sf.Mode.EVAL]
    names = {"model", "features", "labels", "mode", "params", "config", "mask"}
    assert train.keys() == held.keys() == names
    assert train["params"] == {"rate": 3, "batch_size": 8, "use_tpu": False}
    assert held["params"] == {"rate": 3, "batch_size": 16, "use_tpu": False}
    assert train["config"] is config
    assert train["features"]["x"].shape == (8, 3)
    assert train["labels"].shape == (8,)
    assert (held["mask"].shape, held["mask"].dtype) == ((16,), bool)


def test_labels_that_a_model_function_does_not_take_raise(line, rows):
    def model_fn(features, mode):
        return line_spec(features, mode)

    with pytest.raises(SpecError) as error:
        line(model_fn).train(rows, steps=1)
    assert message(error) == (
        "model_fn: does not take 'labels', and the input has them. Add the argument "
        "labels, or use an input without labels."
    )


def test_an_error_in_a_model_function_names_its_arguments(line, rows):
    def model_fn(features, labels, mode):
        return features["image"]

    with pytest.raises(KeyError, match="image") as error:
        line(model_fn).train(rows, steps=1)
    assert error.traceback[-1].name == "model_fn"
    assert error.value.__notes__[-1] == (
        "model_fn was traced for mode 'train'. It was given features.x float32[8,3], "
        "labels float32[8]."
    )


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        (None, "returned NoneType for mode 'train'. Expected a TPUEstimatorSpec."),
        (3.0, "returned float for mode 'train'. Expected a TPUEstimatorSpec."),
    ],
)
def test_a_model_function_that_returns_no_spec_raises(line, rows, returned, problem):
    def model_fn(features, labels):
        return returned

    with pytest.raises(SpecError) as error:
        line(model_fn).train(rows, steps=1)
    assert message(error) == f"model_fn: {problem}"


def test_a_spec_of_another_mode_raises(line, rows):
    def model_fn(features, labels):
        return sf.TPUEstimatorSpec("eval", loss=features["x"].mean())

    with pytest.raises(SpecError) as error:
        line(model_fn).train(rows, steps=1)
    assert message(error) == (
        "model_fn: returned a spec of mode 'eval' when asked for 'train'. Pass the "
        "mode on: TPUEstimatorSpec(mode=mode, ...)."
    )


# -- the model


def test_an_initialized_module_keeps_its_values(line, rows):
    module = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    module.kernel[...] = np.array([[1.0], [-2.0], [0.5]], np.float32)

    def model_fn(model, features, labels, mode):
        value = model(features["x"])[:, 0]
        if mode is sf.Mode.PREDICT:
            return sf.TPUEstimatorSpec(mode, {"value": value})
        loss = ((value - labels) ** 2).mean()
        return sf.TPUEstimatorSpec(mode, {}, loss, optax.sgd(0.1))

    estimator = line(model_fn, model=module)
    # The labels are made by these very weights; float32 products differ by rounding.
    assert estimator.evaluate(rows)["loss"] == pytest.approx(0, abs=1e-10)
    estimator.train(rows, steps=3)
    # Training works on a copy: the user's module is as it was.
    assert module.kernel[...].ravel().tolist() == [1.0, -2.0, 0.5]


def test_model_dir_of_argument_and_config_must_agree(line, tmp_path):
    config = sf.RunConfig(model_dir=str(tmp_path / "a"))
    assert line(config=config, model_dir=None).model_dir == tmp_path / "a"
    with pytest.raises(ConfigError) as error:
        line(config=config, model_dir=tmp_path / "b")
    assert message(error) == (
        f"model_dir: is '{tmp_path}/b' here and '{tmp_path}/a' in the config. Expected "
        "one of them, or the same."
    )
    with pytest.raises(ConfigError) as error:
        line(model_dir="")
    assert message(error) == "model_dir: is empty. Expected a directory."
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file' is a file"):
        line(model_dir=tmp_path / "file")


# -- batch sizes


@pytest.mark.parametrize("name", ["train", "eval", "predict"])
@pytest.mark.parametrize("size", [0, -8, 2.0, "8", True])
def test_batch_sizes_must_be_positive_integers(line, name, size):
    with pytest.raises(ConfigError) as error:
        line(**{f"{name}_batch_size": size})
    assert (
        message(error)
        == f"{name}_batch_size: got {size!r}. Expected a positive integer."
    )


@pytest.mark.parametrize("name", ["train", "eval", "predict"])
@pytest.mark.parametrize(("size", "near"), [(12, "8 or 16"), (3, "8")])
def test_a_batch_size_that_the_mesh_does_not_divide_names_the_nearest_ones(
    line, name, size, near
):
    with pytest.raises(ConfigError) as error:
        line(
            **{f"{name}_batch_size": size},
            mesh=MeshConfig(axes=AxesConfig(data=2, fsdp=4)),
        )
    assert message(error) == (
        f"{name}_batch_size: got {size}, which data 2 x fsdp 4 does not divide. "
        f"Expected a multiple of 8, such as {near}."
    )


def test_eval_batch_size_defaults_to_training_and_predict_to_eval(line):
    sizes = line(train_batch_size=4)._batch_sizes
    assert [sizes[mode] for mode in sf.Mode] == [4, 4, 4]
    sizes = line(train_batch_size=4, eval_batch_size=6)._batch_sizes
    assert [sizes[mode] for mode in sf.Mode] == [4, 6, 6]


def test_params_give_input_fn_the_batch_size_of_its_mode(line, rows):
    seen = []

    def model_fn(model, features, labels, mode, params):
        return line_spec(features, mode)

    def input_fn(params):
        seen.append(params)
        return rows()

    estimator = line(
        model_fn, params={"depth": 2}, eval_batch_size=12, predict_batch_size=24
    )
    estimator.train(input_fn, steps=1)
    estimator.evaluate(input_fn)
    list(estimator.predict(input_fn))
    assert seen == [
        {"depth": 2, "batch_size": size, "use_tpu": False} for size in (8, 12, 24)
    ]


def test_params_need_a_model_function_that_takes_them(line):
    with pytest.raises(ValueError, match="params") as caught:
        line(params={"depth": 2})
    assert str(caught.value) == (
        "params: are given, and line_fn does not take them. Let line_fn take params, "
        "or leave them out."
    )


def test_changes_of_a_function_to_its_params_are_local(line, rows):
    given = {"sizes": [1, 2]}

    def model_fn(model, features, labels, mode, params):
        params["sizes"].append(3)
        params["batch_size"] = 0
        return line_spec(features, mode)

    def input_fn(params):
        params["sizes"].clear()
        return rows()

    estimator = line(model_fn, params=given)
    given["sizes"].append(9)
    estimator.train(input_fn, steps=1)
    estimator.evaluate(input_fn)
    assert estimator.params == {"sizes": [1, 2]}


def test_the_model_function_gets_the_global_batch_on_every_mesh(line, rows):
    shapes = []

    def model_fn(model, features, labels, mode):
        shapes.append(features["x"].shape)
        return line_spec(features, mode)

    mesh = jax.make_mesh(
        (4, 2, 1, 1, 1), ("data", "fsdp", "tensor", "sequence", "expert")
    )
    line(model_fn, mesh=mesh).train(rows, steps=1)
    assert shapes == [(8, 3)]
