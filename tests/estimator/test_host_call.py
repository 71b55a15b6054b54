"""host_call: a function on the host, called after a step with its rows."""

import jax
import numpy as np
import optax
import pytest

import specflow as sf
from specflow.config.sections.mesh import AxesConfig, MeshConfig


def calling(function, form=list):
    """A model function whose host_call gets x's rows and the predictions."""

    def model_fn(model, features, labels, mode):
        value = model(features["x"])
        tensors = {"x": features["x"], "value": value}
        given = tensors if form is dict else form(tensors.values())
        if mode is sf.Mode.PREDICT:
            return sf.TPUEstimatorSpec(mode, value, host_call=(function, given))
        return sf.TPUEstimatorSpec(
            mode,
            loss=((value - labels) ** 2).mean(),
            train_op=optax.sgd(0.1),
            host_call=(function, given),
        )

    return model_fn


class Listener:
    def __init__(self):
        self.x, self.value = [], []

    def __call__(self, x, value):
        assert isinstance(x, np.ndarray)
        assert isinstance(value, np.ndarray)
        self.x.append(x.copy())
        self.value.append(value.copy())


def trajectory(x, y, steps, size=8, rate=0.1):
    """Values before each update, by NumPy in float64: w -= rate * mean gradient."""
    w, found = np.zeros(3), []
    for step in range(steps):
        rows = np.arange(step * size, (step + 1) * size) % len(x)
        value = x[rows].astype(np.float64) @ w
        found.append(value)
        w -= rate * 2 * ((value - y[rows])[:, None] * x[rows]).mean(0)
    return found


IN_ORDER = sf.RunConfig(shuffle=False)


@pytest.mark.parametrize("form", [list, tuple, dict])
def test_host_call_runs_once_per_training_step_in_order(line, rows, form):
    listener = Listener()
    line(calling(listener, form), config=IN_ORDER).train(rows, steps=7)
    features, y = rows()
    for step, (x, expected) in enumerate(
        zip(listener.x, trajectory(features["x"], y, 7), strict=True)
    ):
        start = step * 8 % 24
        np.testing.assert_array_equal(x, features["x"][start : start + 8])
        np.testing.assert_allclose(listener.value[step], expected, atol=1e-5)


@pytest.mark.parametrize("loop", [1, 2, 5, 50])
def test_its_calls_do_not_depend_on_the_length_of_device_loops(line, rows, loop):
    listener = Listener()
    config = IN_ORDER.replace(tpu_config=sf.TPUConfig(iterations_per_loop=loop))
    line(calling(listener), config=config).train(rows, steps=7)
    features, y = rows()
    found = np.stack(listener.value)
    np.testing.assert_allclose(found, trajectory(features["x"], y, 7), atol=1e-5)


def test_host_call_runs_every_n_steps_from_the_first(line, rows):
    """Steps 1, 1 + n, 1 + 2n, ...; also across calls."""
    listener = Listener()
    config = IN_ORDER.replace(tpu_config=sf.TPUConfig(host_call_every_n_steps=3))
    estimator = line(calling(listener), config=config)
    estimator.train(rows, steps=5).train(rows, steps=4)
    features, y = rows()
    expected = trajectory(features["x"], y, 9)[::3]
    np.testing.assert_allclose(np.stack(listener.value), expected, atol=1e-5)


@pytest.mark.parametrize("devices", [2, 8])
def test_host_call_gets_the_rows_of_all_shards_in_order(line, rows, devices):
    listener = Listener()
    mesh = MeshConfig(axes=AxesConfig(data=devices))
    estimator = line(calling(listener), config=IN_ORDER, mesh=mesh)
    estimator.train(rows, steps=3)
    features, y = rows()
    np.testing.assert_array_equal(np.concatenate(listener.x), features["x"])
    expected = np.concatenate(trajectory(features["x"], y, 3))
    np.testing.assert_allclose(np.concatenate(listener.value), expected, atol=1e-5)


def test_host_call_runs_for_each_batch_of_evaluation_and_prediction(line, rows):
    """The last batch is short: of 24 rows in tens, 10, 10 and 4."""
    listener = Listener()
    estimator = line(calling(listener), eval_batch_size=10)
    estimator.evaluate(rows)
    assert [len(x) for x in listener.x] == [10, 10, 4]
    np.testing.assert_array_equal(np.concatenate(listener.x), rows()[0]["x"])
    listener.x.clear()
    list(estimator.predict(rows))
    assert [len(x) for x in listener.x] == [10, 10, 4]


def test_a_convolution_does_not_change_what_it_sees(line):
    """On CPU, programs that convolve take one step a call."""
    from flax import nnx

    class Conv(nnx.Module):
        def __init__(self, rngs):
            self.conv = nnx.Conv(1, 1, (3, 3), rngs=rngs)

        def __call__(self, x):
            return self.conv(x).mean((1, 2, 3))

    listener = Listener()
    x = np.random.default_rng(0).standard_normal((24, 4, 4, 1)).astype(np.float32)
    estimator = line(calling(listener), model=Conv, config=IN_ORDER)
    estimator.train(lambda: ({"x": x}, np.zeros(24, np.float32)), steps=6)
    np.testing.assert_array_equal(np.concatenate(listener.x), np.concatenate([x, x]))


def test_it_gets_nothing_of_a_step_whose_loss_is_not_finite(line, rows):
    seen = []

    def model_fn(model, features, labels, mode):
        value = model(features["x"])
        loss = jax.numpy.log(-1.0 - (value**2).mean())
        call = (seen.append, [value])
        return sf.TPUEstimatorSpec(mode, None, loss, optax.sgd(0.1), host_call=call)

    with pytest.raises(sf.NanLossDuringTrainingError):
        line(model_fn).train(rows, steps=2)
    assert seen == []
