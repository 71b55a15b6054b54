"""Gradient accumulation: the update is that of the whole batch."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.diagnostics.errors import ConfigError
from specflow.metrics import Mean

RNG = np.random.default_rng(5)
ROWS = 48
X = RNG.standard_normal((ROWS, 5, 3)).astype(np.float32)
Y = RNG.integers(0, 4, (ROWS, 5)).astype(np.int32)
MASK = RNG.random((ROWS, 5)) < np.linspace(0.05, 1.0, ROWS)[:, None]
"""Ragged: from hardly any token of a row to all of them."""


class Net(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(3, 8, rngs=rngs)
        self.second = nnx.Linear(8, 4, rngs=rngs)

    def __call__(self, x):
        return self.second(nnx.tanh(self.first(x)))


def model_fn(model, features, labels, mode):
    logits = model(features["x"])
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    weight = features["mask"].astype(jnp.float32)
    decay = 1e-2 * (model.first.kernel[...] ** 2).sum()
    half = sf.MeanLoss(losses[:, 0].sum(), len(losses))
    return sf.TPUEstimatorSpec(
        mode,
        {"logits": logits},
        sf.MeanLoss((losses * weight).sum(), weight.sum()) + 0.5 * half + decay,
        optax.adam(1e-2),
        (
            lambda losses, weight: {"nll": Mean.from_batch(losses, weight)},
            [losses, weight],
        ),
    )


def rows():
    return {"x": X, "mask": MASK}, Y


def estimator(tmp_path, model_fn=model_fn, *, axes=None, **settings):
    return sf.Estimator(
        model_fn,
        model=Net,
        model_dir=tmp_path,
        train_batch_size=16,
        mesh=MeshConfig(axes=AxesConfig(**(axes or {}))),
        config=sf.RunConfig(tpu_config=sf.TPUConfig(**settings)),
    )


def params(found):
    """Path -> value, of the newest checkpoint."""
    arrays = found.checkpoints.arrays()
    return {
        name.removeprefix("params/"): np.asarray(arrays[name])
        for name in arrays
        if name.startswith("params/")
    }


def by_numpy(params, x, y, mask):
    """The loss of these rows in float64."""
    value = {name: np.float64(array) for name, array in params.items()}
    hidden = np.tanh(x @ value["first.kernel"] + value["first.bias"])
    logits = hidden @ value["second.kernel"] + value["second.bias"]
    nll = (
        np.log(np.exp(logits).sum(-1))
        - np.take_along_axis(logits, y[..., None], -1)[..., 0]
    )
    return (
        np.average(nll, weights=mask)
        + 0.5 * nll[:, 0].mean()
        + 1e-2 * (value["first.kernel"] ** 2).sum()
    )


def trained(path, **settings):
    found = estimator(path, **settings)
    found.train(rows, steps=6)
    return params(found), found.evaluate(rows)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(
    ("micro_steps", "axes"),
    [(2, {}), (4, {}), (8, {}), (4, {"data": 4}), (2, {"fsdp": 8})],
)
def test_any_number_of_micro_steps_equals_the_full_batch(
    tmp_path, whole, micro_steps, axes
):
    got, result = trained(tmp_path, micro_steps=micro_steps, axes=axes)
    expected, of_whole = whole
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        # Sums of the same float32 numbers in another order; six steps of Adam, which
        # divides by the gradient's own size.
        np.testing.assert_allclose(got[name], array, rtol=1e-5, atol=1e-6, err_msg=name)
    assert result["loss"] == pytest.approx(of_whole["loss"], rel=1e-6)


def test_one_plain_step_moves_as_the_ragged_batch_does_at_once(tmp_path):
    def sgd(model, features, labels, mode):
        return model_fn(model, features, labels, mode)._replace(
            train_op=optax.sgd(1.0) if mode is sf.Mode.TRAIN else None
        )

    found = estimator(tmp_path, sgd, micro_steps=8)
    found.train(rows, steps=1)
    start = estimator(tmp_path / "start", sgd)
    start.train(rows, steps=1)
    moved, at_once = params(found), params(start)
    assert len(moved) == 4
    for name, array in moved.items():
        np.testing.assert_allclose(array, at_once[name], rtol=1e-6, atol=1e-6)


class Curve:
    """A hook that notes the losses that it is given."""

    def __init__(self):
        self.losses = {}

    def after_step(self, step, loss):
        self.losses[step] = loss


@pytest.mark.parametrize("micro_steps", [1, 2, 8])
def test_the_training_loss_is_that_of_the_full_batch(tmp_path, micro_steps):
    def still(model, features, labels, mode):
        return model_fn(model, features, labels, mode)._replace(
            train_op=optax.sgd(0.0) if mode is sf.Mode.TRAIN else None
        )

    curve = Curve()
    found = estimator(tmp_path, still, micro_steps=micro_steps, iterations_per_loop=1)
    found.train(lambda: iter([({"x": X[:16], "mask": MASK[:16]}, Y[:16])]), steps=1,
                hooks=[curve])  # fmt: skip
    expected = by_numpy(params(found), X[:16], Y[:16], MASK[:16])
    assert curve.losses[1] == pytest.approx(expected, rel=1e-6)


def test_the_model_function_sees_the_rows_of_a_micro_step_and_host_call_all(tmp_path):
    seen, called = [], []

    def watching(model, features, labels, mode, params):
        seen.append((mode, len(labels), params["batch_size"]))
        spec = model_fn(model, features, labels, mode)
        return spec._replace(host_call=(lambda y: called.append(y), [labels]))

    found = estimator(tmp_path, watching, micro_steps=4)
    order = iter([Y[:16], Y[16:32]])
    found.train(
        lambda: (({"x": X[:16], "mask": MASK[:16]}, y) for y in order),
        steps=2,
    )
    assert seen == [(sf.Mode.TRAIN, 4, 4)]
    # Rows come back in the order in which they went in.
    np.testing.assert_array_equal(np.concatenate(called), Y[:32])


def test_a_batch_that_micro_steps_do_not_divide_raises(tmp_path):
    with pytest.raises(ConfigError) as caught:
        estimator(tmp_path, micro_steps=3, axes={"data": 2})
    assert str(caught.value) == (
        "train_batch_size: got 16, which 3 micro-steps x data 2 x fsdp 1 does not "
        "divide. Expected a multiple of 6, such as 12 or 18."
    )


def test_a_train_op_function_gets_full_batches(tmp_path):
    def function(model, features, labels, mode):
        spec = model_fn(model, features, labels, mode)
        return spec._replace(train_op=lambda state, batch: (state, {}))

    with pytest.raises(sf.SpecError) as caught:
        estimator(tmp_path, function, micro_steps=2).train(rows, steps=1)
    assert str(caught.value) == (
        "train_op: is a function, which takes full batches, and micro_steps is 2. "
        "Expected an optax GradientTransformation or a TrainOp."
    )


@pytest.mark.parametrize("batch", [5, 16, 48])
def test_the_loss_of_an_evaluation_is_that_of_all_tokens_for_any_batch(tmp_path, batch):
    found = estimator(tmp_path)
    found.train(rows, steps=1)
    found = sf.Estimator(
        model_fn, model=Net, model_dir=tmp_path, train_batch_size=16,
        eval_batch_size=batch, mesh=MeshConfig(axes=AxesConfig()),
    )  # fmt: skip
    expected = by_numpy(params(found), X, Y, MASK)
    assert found.evaluate(rows)["loss"] == pytest.approx(expected, rel=1e-6)
