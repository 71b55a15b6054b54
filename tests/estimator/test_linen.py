"""Both forms of a model function with Flax Linen: layers inline, and a module given."""

from collections import Counter
from typing import Any

import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

import specflow as sf
from specflow.commands.check import check
from specflow.commands.train import train
from specflow.compose import compose
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.diagnostics.errors import CheckpointError, SpecError
from specflow.metrics import Mean

X = np.random.default_rng(0).standard_normal((24, 6)).astype(np.float32)
Y = X.sum(-1)
TRAIN, EVAL, PREDICT = sf.Mode.TRAIN, sf.Mode.EVAL, sf.Mode.PREDICT


def rows():
    return {"x": X}, Y


def spec(mode, value, labels):
    """Squared error, plain SGD."""
    predictions = {"value": value}
    if mode is PREDICT:
        outputs = {"serving_default": sf.PredictOutput(predictions)}
        return sf.TPUEstimatorSpec(mode, predictions, export_outputs=outputs)
    losses = (value - labels) ** 2
    return sf.TPUEstimatorSpec(
        mode,
        predictions,
        losses.mean(),
        optax.sgd(0.01),
        (lambda losses: {"mse": Mean.from_batch(losses)}, [losses]),
    )


class Net(nn.Module):
    """Parameters, statistics and dropout."""

    width: int = 6

    @nn.compact
    def __call__(self, x, *, train: bool):
        x = nn.relu(nn.Dense(self.width)(x))
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        return nn.Dense(1)(nn.Dropout(0.2, deterministic=not train)(x))[:, 0]


def inline(features, labels, mode):
    """Computes `Net` layer by layer."""
    x = nn.relu(nn.Dense(6)(features["x"]))
    x = nn.BatchNorm(use_running_average=mode is not TRAIN, momentum=0.9)(x)
    x = nn.Dropout(0.2, deterministic=mode is not TRAIN)(x)
    return spec(mode, nn.Dense(1)(x)[:, 0], labels)


def with_module(model, features, labels, mode):
    return spec(mode, model(features["x"], train=mode is TRAIN), labels)


FORMS = {
    "inline": {"model_fn": inline},
    "module": {"model_fn": with_module, "model": Net()},
}


@pytest.fixture(params=FORMS)
def form(request) -> dict[str, Any]:
    """Arguments of an estimator for either form of the same model."""
    return FORMS[request.param]


@pytest.fixture
def make(tmp_path):
    """Makes an estimator on one device, in batches of 8."""

    def make(model_fn, **arguments):
        defaults = {
            "model_dir": tmp_path / "model",
            "train_batch_size": 8,
            "mesh": MeshConfig(axes=AxesConfig()),
            "config": sf.RunConfig(seed=2),
        }
        return sf.Estimator(model_fn, **{**defaults, **arguments})

    return make


def refused(estimator, call=lambda estimator: estimator.train(rows, steps=1)) -> str:
    with pytest.raises(SpecError) as caught:
        call(estimator)
    assert estimator.latest_step() is None  # Nothing was trained.
    return str(caught.value)


# -- what works


def test_both_forms_train_to_the_same_numbers(make, tmp_path):
    states = []
    for name, arguments in FORMS.items():
        estimator = make(**arguments, model_dir=tmp_path / name)
        estimator.train(rows, steps=9)
        states.append(estimator.checkpoints.arrays())
        estimator.close()
    one, other = states
    assert one.keys() == other.keys()
    for path, array in one.items():
        np.testing.assert_array_equal(array, other[path], err_msg=path)


def test_training_evaluation_and_prediction_agree_with_flax_itself(make, form):
    """Expected: the checkpoint's values, put into Flax's own `apply`."""
    estimator = make(**form)
    estimator.train(rows, steps=9)
    metrics = estimator.evaluate(rows)
    found = np.stack([row["value"] for row in estimator.predict(rows)])
    arrays = estimator.checkpoints.arrays()
    estimator.close()

    def collection(prefix):
        tree: dict[str, dict[str, Any]] = {}
        for path, array in arrays.items():
            if path.startswith(prefix):
                layer, name = path.removeprefix(prefix).split(".")
                tree.setdefault(layer, {})[name] = array
        return tree

    variables = {
        "params": collection("params/"),
        "batch_stats": collection("state/batch_stats."),
    }
    assert int(arrays["state/rngs.count"]) == 9
    expected = Net().apply(variables, X, train=False)
    # Matrix products of float32 over six columns, in batches of another size.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    mse = float(((np.asarray(expected, np.float64) - Y) ** 2).mean())
    np.testing.assert_allclose(metrics["mse"], mse, rtol=1e-5)


def test_another_process_evaluates_and_predicts_the_same(make, form):
    first = make(**form)
    first.train(rows, steps=9)
    expected = first.evaluate(rows)
    predicted = [row["value"] for row in first.predict(rows)]
    first.close()
    for input_fn in (
        rows,
        lambda: (({"x": X[i : i + 8]}, Y[i : i + 8]) for i in (0, 8, 16)),
    ):
        second = make(**form)
        assert second.evaluate(input_fn) == expected
        second.close()
    third = make(**form)
    found = [row["value"] for row in third.predict(lambda: {"x": X})]
    assert np.array(found).tobytes() == np.array(predicted).tobytes()
    third.close()


def test_initial_values_can_be_evaluated_before_anything_was_trained(make, form):
    estimator = make(**form)
    before = estimator.evaluate(rows)
    assert before["global_step"] == 0
    assert np.isfinite(before["loss"])
    estimator.close()


def test_an_export_answers_as_predict_does_bit_for_bit(make, form, tmp_path):
    make(**form).train(rows, steps=3).close()
    estimator = make(**form, predict_batch_size=24)
    path = estimator.export(tmp_path / "export", features={"x": X})
    predicted = np.stack([row["value"] for row in estimator.predict(rows)])
    answered = sf.load_export(path)("serving_default", x=X)["value"]
    assert np.asarray(answered).tobytes() == predicted.tobytes()
    estimator.close()


def test_clients_may_send_something_else_than_features(make, form, tmp_path):
    make(**form).train(rows, steps=3).close()
    estimator = make(**form, predict_batch_size=24)
    path = estimator.export(
        tmp_path / "export",
        features={"doubled": 2 * X},
        serving_fn=lambda sent: {"x": sent["doubled"] / 2},
    )
    predicted = np.stack([row["value"] for row in estimator.predict(rows)])
    answered = sf.load_export(path)("serving_default", doubled=2 * X)["value"]
    np.testing.assert_allclose(answered, predicted, rtol=1e-5, atol=1e-6)
    estimator.close()


def test_a_warm_start_restores_parameters_by_layer_name(make, tmp_path):
    first = make(inline, model_dir=tmp_path / "first").train(rows, steps=3)
    trained = first.checkpoints.arrays()
    first.close()
    fresh = make(inline, model_dir=tmp_path / "fresh")
    fresh.evaluate(rows)
    _, initial = fresh._states.to_evaluate()
    settings = sf.WarmStartSettings(tmp_path / "first", vars_to_warm_start="Dense_0")
    warm = make(inline, model_dir=tmp_path / "warm", warm_start_from=settings)
    warm.evaluate(rows)
    _, state = warm._states.to_evaluate()
    for name, values in state.params.items():
        taken = name.startswith("Dense_0")
        expected = trained[f"params/{name}"] if taken else initial.params[name]
        np.testing.assert_array_equal(values, expected, err_msg=name)
    fresh.close()
    warm.close()


def test_rules_of_the_mesh_find_parameters_by_their_paths(make):
    estimator = make(
        inline,
        mesh=MeshConfig.model_validate(
            {
                "axes": {"data": 1, "fsdp": 2},
                "rules": [{"path": "Dense_0.kernel", "dims": [None, "fsdp"]}],
            }
        ),
    )
    state = estimator.abstract_state(sf.data.as_source(rows()))
    spec_ = state.params["Dense_0.kernel"].sharding.spec
    assert tuple(spec_) == (None, "fsdp")


def test_a_function_of_random_streams_may_build_a_linen_module(make):
    estimator = make(with_module, model=lambda rngs: Net())
    estimator.train(rows, steps=1)
    assert estimator.parameter_count() == 6 * 6 + 6 + 6 + 6 + 6 + 1
    estimator.close()


# -- what is traced


@pytest.mark.parametrize("name", FORMS)
def test_each_mode_runs_once_more_to_learn_its_layers(make, name):
    """Once abstractly, for the layers; once for what is then compiled and run."""
    calls = Counter()

    def counted(function):
        def with_count(features, labels, mode):
            calls[mode] += 1
            return function(features, labels, mode)

        def with_model_and_count(model, features, labels, mode):
            calls[mode] += 1
            return function(model, features, labels, mode)

        return with_count if function is inline else with_model_and_count

    form = FORMS[name]
    estimator = make(**{**form, "model_fn": counted(form["model_fn"])})
    estimator.train(rows, steps=2)
    assert calls == {TRAIN: 2, EVAL: 1, PREDICT: 1}
    for _ in range(2):
        estimator.train(rows, steps=2)
        estimator.evaluate(rows)
        list(estimator.predict(rows))
    assert calls == {TRAIN: 2, EVAL: 2, PREDICT: 2}
    assert estimator.program.tracer.traces == calls
    estimator.close()


# -- the guard


def test_a_layer_that_only_training_creates_raises_before_the_first_step(make):
    """The measured case: where shapes agree, eval reads Dense_0 for Dense_1."""

    def model_fn(features, labels, mode):
        x = features["x"]
        if mode is TRAIN:
            x = nn.Dense(6)(x)
        return spec(mode, nn.Dense(6)(x).sum(-1), labels)

    assert refused(make(model_fn)) == (
        "model_fn: mode 'train' creates Dense_1.bias float32[6], Dense_1.kernel "
        "float32[6,6], which modes 'eval' and 'infer' do not. Expected the same layers "
        "in every mode: Flax names them by counting, so one would get the weights of "
        "another. Create every layer in every mode, or name those that only training "
        'creates: nn.Dense(10, name="auxiliary").'
    )


def test_layers_of_other_shapes_in_a_mode_raise(make):
    def model_fn(features, labels, mode):
        x = nn.Dense(3 if mode is PREDICT else 4, use_bias=False)(features["x"])
        return spec(mode, x.sum(-1), labels)

    assert refused(make(model_fn)).startswith(
        "model_fn: Dense_0.kernel is float32[6,4] in modes 'train' and 'eval' and "
        "float32[6,3] in mode 'infer'. Expected"
    )


def test_different_layers_raise_before_an_evaluation_too(make):
    def model_fn(features, labels, mode):
        x = nn.Dense(6, name="first")(features["x"])
        if mode is EVAL:
            x = nn.Dense(6, name="second")(x)
        return spec(mode, x.sum(-1), labels)

    expected = (
        "model_fn: mode 'eval' creates second.bias float32[6], second.kernel "
        "float32[6,6], which modes 'train' and 'infer' do not. Expected"
    )
    estimator = make(model_fn)
    for call in (
        lambda estimator: estimator.train(rows, steps=1),
        lambda estimator: estimator.evaluate(rows),
        lambda estimator: list(estimator.predict(rows)),
        lambda estimator: estimator.evaluate(rows),  # Asked again, refused again.
    ):
        assert refused(estimator, call).startswith(expected)


def test_statistics_are_compared_as_parameters_are(make):
    def model_fn(features, labels, mode):
        x = nn.Dense(6)(features["x"])
        if mode is TRAIN:
            norm = nn.BatchNorm(
                use_running_average=False, use_bias=False, use_scale=False
            )
            x = norm(x)
        return spec(mode, x.sum(-1), labels)

    assert "batch_stats.BatchNorm_0.mean" in refused(make(model_fn))


def test_a_named_layer_may_be_created_in_training_only(make, tmp_path):
    def model_fn(features, labels, mode):
        x = nn.Dense(6)(features["x"])
        value = nn.Dense(1)(x)[:, 0]
        if mode is TRAIN:
            value = value + nn.Dense(1, name="auxiliary")(x)[:, 0]
        return spec(mode, value, labels)

    first = make(model_fn)
    first.train(rows, steps=3)
    expected = [row["value"] for row in first.predict(rows)]
    metrics = first.evaluate(rows)
    first.close()
    # Another process, where the features alone cannot say what training makes.
    second = make(model_fn)
    found = [row["value"] for row in second.predict(lambda: {"x": X})]
    assert np.array(found).tobytes() == np.array(expected).tobytes()
    assert second.evaluate(rows) == metrics
    second.train(rows, steps=2)
    assert "params/auxiliary.kernel" in second.checkpoints.arrays()
    second.close()
    exporting = make(model_fn)
    exporting.export(tmp_path / "export", features={"x": X})
    exporting.close()


def test_prediction_with_a_checkpoint_of_other_layers_raises(make):
    def deeper(features, labels, mode):
        return spec(mode, nn.Dense(6)(nn.Dense(6)(features["x"])).sum(-1), labels)

    def flat(features, labels, mode):
        return spec(mode, nn.Dense(6)(features["x"]).sum(-1), labels)

    make(deeper).train(rows, steps=1).close()
    with pytest.raises(CheckpointError, match="checkpoint of another model"):
        make(flat).predict(lambda: {"x": X})


def test_a_mode_that_the_function_does_not_serve_is_no_matter_to_the_others(make):
    def model_fn(features, labels, mode):
        if mode is PREDICT:
            raise NotImplementedError("this model is never asked")
        return spec(mode, nn.Dense(1)(features["x"])[:, 0], labels)

    estimator = make(model_fn)
    estimator.train(rows, steps=1)
    estimator.evaluate(rows)
    with pytest.raises(NotImplementedError, match="this model is never asked"):
        estimator.predict(rows)
    estimator.close()


def test_a_mode_that_failed_in_discovery_is_compared_when_it_runs(make):
    def model_fn(features, labels, mode):
        x = features["x"]
        if mode is PREDICT:
            if len(x) == 8:
                raise NotImplementedError("not for batches of training")
            x = nn.Dense(6)(x)
        return spec(mode, nn.Dense(6)(x).sum(-1), labels)

    estimator = make(model_fn, predict_batch_size=4)
    estimator.train(rows, steps=1)
    with pytest.raises(SpecError, match=r"mode 'infer' creates Dense_1\.bias"):
        estimator.predict(rows)
    estimator.close()


# -- what is refused


def test_a_model_function_without_parameters_raises(make):
    def model_fn(features, labels, mode):
        return spec(mode, features["x"].sum(-1), labels)

    assert refused(make(model_fn)) == (
        "model_fn: has no parameters to train: it creates no layers, and it has no "
        "model. Create a layer in it, such as flax.linen.Dense(10)(x), or pass model=."
    )


def test_a_module_that_is_not_called_has_nothing_to_train(make):
    def model_fn(model, features, labels, mode):
        return spec(mode, features["x"].sum(-1), labels)

    assert refused(make(model_fn, model=Net())) == (
        "model_fn: has no parameters to train: its model has none, or was not called. "
        "Call a model that has parameters."
    )


def test_a_model_function_that_requires_a_model_raises_without_one(make):
    with pytest.raises(SpecError) as caught:
        make(with_module)
    assert str(caught.value) == (
        "with_module: requires a 'model', and Estimator has none. Pass "
        "Estimator(model=...), or remove the argument and create the layers in the "
        "function."
    )


LAYER_MADE_OUTSIDE = nn.Dense(1)


@pytest.mark.parametrize(
    ("model", "layer", "problem"),
    [
        (
            lambda rngs: nnx.Linear(6, 6, rngs=rngs),
            lambda: nn.Dense(1),
            ", and its model is an NNX module. Leave `model` out of Estimator to "
            "create layers inline, or use NNX layers.",
        ),
        (
            nn.Dense(6),
            lambda: nn.Dense(1),
            " that is not part of its model. Create it in the model, or leave `model` "
            "out of Estimator and create all layers inline.",
        ),
        (
            None,
            lambda: LAYER_MADE_OUTSIDE,
            " that was created outside of it. Create the layer where it is called, as "
            "in flax.linen.Dense(10)(x).",
        ),
    ],
    ids=["beside NNX", "beside Linen", "from outside"],
)
def test_a_misplaced_linen_layer_raises_with_a_hint(make, model, layer, problem):
    def model_fn(features, labels, mode, model=None):
        x = features["x"] if model is None else model(features["x"])
        return spec(mode, layer()(x)[:, 0], labels)

    message = refused(make(model_fn, model=model))
    assert message == f"model_fn: calls a Flax Linen layer{problem}"


# -- from YAML

PACKAGE = """
import optax
import specflow as sf
from flax import linen as nn


class Net(nn.Module):
    features: int

    @nn.compact
    def __call__(self, x, *, train):
        x = nn.relu(nn.Dense(8)(x.reshape(len(x), -1)))
        return nn.Dense(self.features)(nn.Dropout(0.1, deterministic=not train)(x))


def model_fn(features, labels, mode, optimizer=None):
    logits = Net(10)(features["image"], train=mode is sf.Mode.TRAIN)
    predictions = {"class": logits.argmax(-1)}
    if mode is sf.Mode.PREDICT:
        return sf.TPUEstimatorSpec(mode, predictions)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return sf.TPUEstimatorSpec(mode, predictions, losses.mean(), optimizer)
"""


@pytest.mark.parametrize(
    ("words", "prefix"),
    [
        # A declared spec tells a Linen module whether it trains.
        (
            [
                "spec=classification",
                "model={_target_: linen_package.Net, features: 10}",
                "spec.inputs={x: features.image}",
            ],
            "",
        ),
        # A function that takes no model makes its layers itself.
        (["~spec", "spec.model_fn=linen_package.model_fn"], "Net_0."),
    ],
    ids=["declared", "inline"],
)
def test_yaml_reaches_both_forms(words, prefix, tmp_path, monkeypatch, capsys):
    (tmp_path / "linen_package.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    composed = compose(
        [
            "data=digits",
            "trust=linen_package",
            "loop.train_steps=3",
            "loop.eval_every=0",
            "output.reporters=[]",
            f"output.dir={tmp_path / 'run'}",
            *words,
        ]
    )
    check(composed)
    assert f"{prefix}Dense_0.kernel  f32[64,8]" in capsys.readouterr().out
    result = train(composed)
    assert result["step"] == 3
    assert np.isfinite(result["eval"]["loss"])
