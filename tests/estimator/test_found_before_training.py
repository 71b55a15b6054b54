"""What training or its first evaluation would find is found before the first step."""

import warnings

import numpy as np
import optax
import pytest
from flax import linen, nnx

import specflow as sf
from specflow.cli.main import main
from specflow.compose import compose
from specflow.data import build_data
from specflow.diagnostics.errors import SpecflowWarning
from specflow.estimator import declared_specs
from specflow.experiment import completed_by_data

IMAGES = {"image": np.zeros((8, 6, 6, 1), np.float32)}
LABELS = np.zeros(8, np.int32)


def model_fn(model, features, labels, mode):
    logits = model(features["image"])
    if mode is sf.Mode.PREDICT:
        return sf.TPUEstimatorSpec(mode=mode, predictions=logits)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return sf.TPUEstimatorSpec(mode=mode, loss=losses.mean(), train_op=optax.sgd(0.1))


class Shrinking(nnx.Module):
    """A valid convolution, and pools until nothing is left."""

    def __init__(self, pools, *, rngs):
        self.pools = pools
        self.conv = nnx.Conv(1, 4, (3, 3), padding="VALID", rngs=rngs)
        self.out = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, image):
        x = self.conv(image)
        for _ in range(self.pools):
            x = nnx.max_pool(x, (2, 2), (2, 2))
        return self.out(x.mean((1, 2)))


class WrongWidth(nnx.Module):
    def __init__(self, *, rngs):
        self.blocks = nnx.List([nnx.Linear(36, 8, rngs=rngs)])
        self.head = nnx.Linear(5, 3, rngs=rngs)

    def __call__(self, image):
        return self.head(self.blocks[0](image.reshape(image.shape[0], -1)))


class WrongLinen(linen.Module):
    """Its normalization has the channels of another input."""

    def setup(self):
        self.norm = linen.Dense(3)

    def __call__(self, image):
        return self.norm(image.reshape(image.shape[0], -1)) @ np.zeros((7, 2))


def estimator(model):
    return sf.Estimator(
        model_fn,
        model=model,
        config=sf.RunConfig(seed=0, progress=False),
        train_batch_size=8,
    )


def test_a_network_that_leaves_nothing_of_an_image_is_refused():
    made = estimator(lambda rngs: Shrinking(3, rngs=rngs))
    with pytest.raises(sf.SpecError) as raised:
        made.train(lambda: (IMAGES, LABELS), steps=1)
    assert str(raised.value) == (
        "model: a pool leaves nothing of its input: float32[8,1,1,4] becomes "
        "float32[8,0,0,4]. Expected at least one value of each row. Use fewer or "
        "smaller pools and strides, or padding 'SAME'."
    )
    estimator(lambda rngs: Shrinking(2, rngs=rngs)).train(
        lambda: (IMAGES, LABELS), steps=1
    )


def test_a_shape_error_names_the_layer_its_kernel_and_its_input():
    with pytest.raises(TypeError) as raised:
        estimator(lambda rngs: WrongWidth(rngs=rngs)).train(
            lambda: (IMAGES, LABELS), steps=1
        )
    assert (
        "The layer was head (Linear): its kernel is float32[5,3], its input "
        "float32[8,8]." in raised.value.__notes__
    )


def test_an_error_outside_of_layers_names_none():
    with pytest.raises((TypeError, ValueError)) as raised:
        estimator(WrongLinen()).train(lambda: (IMAGES, LABELS), steps=1)
    assert not any("The layer was" in note for note in raised.value.__notes__)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "model.widths=[8,8,8,8,8]",
            "model.widths: each of 5 blocks halves an image of 8 x 8, and after 3 it "
            "is 1 x 1 (override model.widths=[8,8,8,8,8]). Expected at most 3 widths.",
        ),
        (
            "model.image=[4,4,1]",
            "model.image: got [4, 4, 1], and image has the shape [8, 8, 1] in a row of "
            "the data (override model.image=[4,4,1]). Expected [8, 8, 1], or null.",
        ),
    ],
)
def test_sizes_of_the_model_are_compared_with_the_data(line, message, capsys):
    assert main(["check", "experiment=digits", line]) == 2
    assert capsys.readouterr().err == f"error[model-size] {message}\n"


@pytest.mark.parametrize(
    ("experiment", "outputs"),
    [("digits", 10), ("digits_mlp", 10), ("diabetes", 1), ("breast_cancer", 1)],
)
def test_outputs_that_are_left_open_are_those_of_the_labels(experiment, outputs):
    config = compose([f"experiment={experiment}", "model.outputs=null"]).config
    completed = completed_by_data(config, build_data(config.data))
    assert completed.model.outputs == outputs


def test_outputs_of_vectors_are_their_size(tmp_path):
    labels = np.zeros((6, 3), np.float32)
    file = tmp_path / "rows.npz"
    np.savez(file, x=np.zeros((6, 2), np.float32), labels=labels)
    config = compose(
        [
            *("experiment=diabetes", "model.outputs=null", "data=npz"),
            *(
                f"data.train={file}",
                f"data.eval={file}",
                "~spec.loss",
                "~spec.predictions",
            ),
            "+spec.predictions={value: {name: identity}}",
            "+spec.loss={it: {name: squared_error, predictions: outputs}}",
            *("~spec.export_outputs", "~spec.eval_metrics"),
        ]
    ).config
    assert completed_by_data(config, build_data(config.data)).model.outputs == 3


def test_outputs_that_no_label_tells_are_an_error(capsys):
    loss = "{own: {_target_: optax.l2_loss, predictions: outputs, targets: labels}}"
    line = ["experiment=digits", "model.outputs=null", "~spec.loss"]
    assert main(["check", *line, f"+spec.loss={loss}"]) == 2
    assert capsys.readouterr().err == (
        "error[model-size] model.outputs: is null, and the labels of spec.loss (of a "
        "function) are no array of numbers or vectors in the training data (override "
        "model.outputs=null). Expected the number of outputs. Set it, such as "
        "model.outputs=10.\n"
    )


def test_a_size_of_the_data_may_be_given():
    config = compose(["experiment=digits", "model.image=[8,8,1]"]).config
    assert sf.Estimator.from_config(config).program.model.is_known


def test_check_warns_of_what_the_user_set_behind_the_end(capsys):
    lines = ["loop.train_steps=50", "loop.log_every=60", "loop.batch_size=1024"]
    assert main(["check", "experiment=wine", *lines]) == 0
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "warning[never-due] loop.log_every: is 60, and training ends at step 50: the "
        "loss is reported once, at the end (override loop.log_every=60). Expected at "
        "most loop.train_steps (50).",
        "warning[batch-repeats] loop.batch_size: is 1024, and the training data has "
        "142 rows: each step has rows several times (override loop.batch_size=1024). "
        "Set loop.batch_size=142 or less.",
    ]
    assert [row.split()[0] for row in captured.out.splitlines()[:4]] == [
        "mode",
        "train",
        "eval",
        "predict",
    ]


def test_values_that_ship_with_specflow_are_not_reported(capsys):
    assert main(["check", "experiment=wine", "loop.train_steps=5"]) == 0
    assert capsys.readouterr().err == ""


def test_train_warns_before_its_first_step(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ["loop.train_steps=2", "loop.eval_every=0", "loop.log_every=60"]
    assert main(["train", "experiment=wine", "output.dir=run", *lines]) == 0
    error = capsys.readouterr().err
    warned = error.index("warning[never-due] loop.log_every: is 60")
    assert warned < error.index("2/2")


@pytest.mark.parametrize(
    ("spec", "argument", "hint"),
    [
        (
            sf.EstimatorSpec,
            "eval_metrics",
            "EstimatorSpec takes eval_metric_ops: name -> metric state; (metric_fn, "
            "tensors) is eval_metrics of TPUEstimatorSpec.",
        ),
        (
            sf.TPUEstimatorSpec,
            "eval_metric_ops",
            "TPUEstimatorSpec takes eval_metrics: (metric_fn, tensors); states by name "
            "are eval_metric_ops of EstimatorSpec.",
        ),
        (sf.TPUEstimatorSpec, "trainop", "Did you mean train_op?"),
    ],
)
def test_an_unknown_argument_of_a_spec_is_answered(spec, argument, hint):
    with pytest.raises(TypeError) as raised:
        spec("eval", loss=np.ones(()), **{argument: None})
    assert isinstance(raised.value, sf.SpecError)
    name = spec.__name__
    assert str(raised.value) == f"{name}.{argument}: no such argument. {hint}"


def test_an_estimator_of_a_config_says_that_it_is_untrained(tmp_path):
    overrides = ["experiment=wine", "loop.train_steps=1", f"output.dir={tmp_path}/run"]
    config = compose(overrides).config
    data = build_data(config.data)
    made = sf.Estimator.from_config(config, data=data)
    with pytest.warns(SpecflowWarning, match=r"evaluate: .* has no checkpoint"):
        made.evaluate(lambda: data.eval)
    with pytest.warns(SpecflowWarning, match=r"predict: .* has no checkpoint"):
        made.predict(lambda: data.eval)
    made.train_and_evaluate(*declared_specs(config, data))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.evaluate(lambda: data.eval)
    made.close()
