"""A declared spec is the contract: what each mode returns, and what goes wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
from flax import nnx
from sklearn import metrics

from specflow.config.base import Target
from specflow.config.sections.spec import DeclaredSpecConfig
from specflow.contract import ClassificationOutput, Mode, TrainOp
from specflow.diagnostics.errors import SpecError
from specflow.spec import LabelRange, build_model_fn, label_ranges
from specflow.spec.model_inputs import call_model

CLASSIFICATION = {
    "inputs": {"image": "features.image"},
    "predictions": {
        "probability": {"name": "softmax"},
        "class": {"name": "argmax", "of": "predictions.probability"},
    },
    "loss": {
        "cross_entropy": {"name": "softmax_cross_entropy"},
        "margin": {
            "name": "squared_error",
            "predictions": "outputs",
            "labels": "features.image",
            "weight": 0.5,
        },
    },
    "eval_metrics": {
        "accuracy": {"name": "accuracy", "predictions": "predictions.class"},
        "loss_mean": {"name": "mean", "values": "losses.cross_entropy"},
    },
    "export_outputs": {
        "serve": {"name": "classification", "scores": "predictions.probability"}
    },
    "train_op": {"wrt": ["head.**"]},
}

RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=(6, 3)).astype(np.float32)
LABELS = RNG.integers(0, 3, 6).astype(np.int32)
OPTIMIZER = optax.sgd(0.1)


def model(image):
    return 2.0 * image


def metric_fn(**tensors):
    return {}


def make(**changes) -> DeclaredSpecConfig:
    return DeclaredSpecConfig.model_validate({**CLASSIFICATION, **changes})


def run(mode, *, config=None, model=model, labels=LABELS, mask=None, **more):
    features = {"image": jnp.asarray(IMAGE), "weight": jnp.arange(6.0)}
    model_fn = build_model_fn(
        config or make(), optimizer=OPTIMIZER, metric_fn=metric_fn, **more
    )
    return model_fn(model, features, labels, mode, mask)


def expected_loss(rows=slice(None)):
    """scikit-learn's log_loss and NumPy, float64."""
    image = IMAGE[rows].astype(np.float64)
    probability = scipy.special.softmax(2 * image, axis=-1)
    log_loss = metrics.log_loss(LABELS[rows], probability, labels=range(3))
    return log_loss + 0.5 * ((2 * image - image) ** 2).mean()


def test_a_train_spec_has_the_weighted_sum_of_losses_and_the_optimizer():
    spec = run(Mode.TRAIN)
    np.testing.assert_allclose(spec.loss, expected_loss(), rtol=1e-5)
    assert isinstance(spec.train_op, TrainOp)
    assert spec.train_op.optimizer is OPTIMIZER
    assert spec.train_op.wrt == ("head.**",)
    assert spec.eval_metrics is None


def test_an_eval_spec_has_the_tensors_that_the_metrics_read():
    spec = run("eval")
    function, tensors = spec.eval_metrics
    assert function is metric_fn
    assert sorted(tensors) == ["labels", "losses.cross_entropy", "predictions.class"]
    assert tensors["labels"] is LABELS
    np.testing.assert_array_equal(tensors["predictions.class"], IMAGE.argmax(-1))
    assert tensors["losses.cross_entropy"].shape == (6,)
    assert spec.train_op is None


def test_an_eval_spec_needs_no_metrics():
    spec = build_model_fn(make(), optimizer=OPTIMIZER)(
        model, {"image": IMAGE}, LABELS, Mode.EVAL
    )
    assert spec.eval_metrics is None


def test_a_predict_spec_needs_no_labels_and_has_no_loss():
    spec = run(Mode.PREDICT, labels=None)
    assert spec.loss is None
    assert list(spec.predictions) == ["probability", "class"]
    assert isinstance(spec.export_outputs["serve"], ClassificationOutput)


def test_without_export_outputs_all_predictions_are_one_signature():
    spec = run(Mode.PREDICT, config=make(export_outputs={}), labels=None)
    assert list(spec.export_outputs["serving_default"].outputs) == [
        "probability",
        "class",
    ]


@pytest.mark.parametrize("real", [1, 4, 6])
def test_the_loss_is_the_mean_over_rows_without_padding(real):
    spec = run(Mode.TRAIN, mask=jnp.arange(6) < real)
    np.testing.assert_allclose(spec.loss, expected_loss(slice(real)), rtol=1e-5)


def test_example_weights_weight_the_loss():
    loss = {"name": "softmax_cross_entropy", "example_weights": "features.weight"}
    spec = run(Mode.TRAIN, config=make(loss={"cross_entropy": loss}))
    # scikit-learn: log_loss with sample_weight.
    probability = scipy.special.softmax(2 * IMAGE.astype(np.float64), axis=-1)
    expected = metrics.log_loss(
        LABELS, probability, labels=range(3), sample_weight=np.arange(6.0)
    )
    np.testing.assert_allclose(spec.loss, expected, rtol=1e-5)


def test_a_declared_model_fn_traces_under_eval_shape_and_grad():
    def loss(scale):
        return run(Mode.TRAIN, model=lambda image: scale * image).loss

    value, gradient = jax.jit(jax.value_and_grad(loss))(2.0)
    np.testing.assert_allclose(value, expected_loss(), rtol=1e-5)
    step = 1e-2
    slope = (loss(2.0 + step) - loss(2.0 - step)) / (2 * step)
    np.testing.assert_allclose(gradient, slope, rtol=1e-3)
    assert jax.eval_shape(loss, 2.0).shape == ()


def test_targets_are_accepted_wherever_names_are():
    config = make(
        predictions={"class": {"_target_": "my.best", "scores": "outputs"}},
        loss={"it": {"_target_": "my.loss", "said": "outputs", "truth": "labels"}},
        eval_metrics={"mine": {"_target_": "my.metric", "x": "losses.it", "k": 2}},
        export_outputs={},
    )
    targets = {
        "class": lambda scores: scores.argmax(-1),
        "it": lambda said, truth: said[:, 0] - truth,
    }
    for section in (config.predictions, config.loss):
        for name, member in section.items():
            assert isinstance(member, Target)
            member.bind(targets[name])
    spec = run(Mode.EVAL, config=config)
    # NumPy, float64
    expected = (2 * IMAGE[:, 0].astype(np.float64) - LABELS).mean()
    np.testing.assert_allclose(spec.loss, expected, rtol=1e-5)
    assert list(spec.eval_metrics.tensors) == ["losses.it"]


class Net:
    def __call__(self, image, *, scale=1.0):
        return image * scale


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"inputs": {"imgae": "features.image"}},
            "spec.inputs.imgae: Net takes no argument imgae. "
            "Expected one of image, scale. Did you mean image?\n"
            "spec.inputs: Net needs an argument image. "
            "Set spec.inputs.image=features.<name>.",
        ),
        (
            {"inputs": {"image": "features.imagee", "scale": "features.wait"}},
            "spec.inputs.image: features.imagee names no tensor. "
            "Expected one of features.image, features.weight. "
            "Did you mean features.image?\n"
            "spec.inputs.scale: features.wait names no tensor. "
            "Expected one of features.image, features.weight. "
            "Did you mean features.weight?",
        ),
        (
            {"predictions": {"class": {"name": "argmax", "of": "outputs.logits"}},
             "eval_metrics": {}, "export_outputs": {}},
            "spec.predictions.class.of: outputs.logits names no tensor: outputs is a "
            "single tensor, float32[6,3]. Expected one of outputs. "
             "Did you mean outputs?",
        ),
        (
            {"eval_metrics": {"m": {"name": "mean", "values": "features.size"}}},
            "spec.eval_metrics.m.values: features.size names no tensor. "
            "Expected one of features.image, features.weight.",
        ),
    ],
)  # fmt: skip
def test_a_mismatch_is_reported_with_its_config_key(changes, message):
    with pytest.raises(SpecError) as caught:
        run(Mode.EVAL, config=make(**changes), model=Net())
    assert str(caught.value) == message


def test_a_loss_without_labels_is_reported():
    with pytest.raises(SpecError) as caught:
        run(Mode.EVAL, labels=None)
    assert str(caught.value) == (
        "spec.loss.cross_entropy.labels: labels names no tensor: there are no labels."
    )


def test_a_failing_library_model_is_reported_with_its_arguments():
    layer = nnx.Linear(4, 2, rngs=nnx.Rngs(0))
    with pytest.raises(SpecError) as caught:
        call_model(layer, {"inputs": jnp.ones((6, 3))}, train=True)
    assert str(caught.value) == (
        "spec.inputs: Linear(inputs=float32[6,3]) failed at the layer Linear: its "
        "kernel is float32[4,2], its input float32[6,3]."
    )
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize("kind", [TypeError, ValueError])
def test_an_error_of_a_users_model_keeps_its_type_and_notes_its_arguments(kind):
    def dense(image):
        raise kind("the image is too small")

    with pytest.raises(kind, match="the image is too small") as caught:
        run(Mode.TRAIN, model=dense)
    assert type(caught.value) is kind
    assert caught.traceback[-1].name == "dense"
    assert caught.value.__notes__ == [
        "The model was called as dense(image=float32[6,3])."
    ]


def test_a_label_range_follows_from_the_logits():
    config = make(
        loss={
            "a": {"name": "softmax_cross_entropy", "labels": "labels.kind"},
            "b": {
                "name": "softmax_cross_entropy",
                "logits": "predictions.probability",
                "labels": "labels.kind",
            },
            "c": {
                "name": "sigmoid_cross_entropy",
                "logits": "features.flag",
                "labels": "labels.flag",
            },
            "d": {"name": "squared_error"},
        },
        eval_metrics={},
    )
    ranges = label_ranges(
        config,
        features={"image": IMAGE},
        labels={"kind": LABELS, "flag": LABELS},
        outputs=jax.ShapeDtypeStruct((6, 7), np.float32),
    )
    assert ranges == [
        LabelRange("labels.kind", 0, 6, "spec.loss.a has logits of 7 classes"),
        LabelRange("labels.kind", 0, 6, "spec.loss.b has logits of 7 classes"),
        LabelRange("labels.flag", 0, 1, "spec.loss.c is between two classes"),
    ]
