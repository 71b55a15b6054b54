"""Optimizers of the parts, resuming, normalization, exporting."""

import numpy as np
import optax
import pytest

import specflow as sf
from specflow.tf import optimizers
from specflow.tf.canned.default_optimizers import ftrl

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 3)).astype("f4")
Y = (X.sum(-1) > 0).astype("i4")


def params_of(estimator):
    state = estimator.checkpoints
    step = state.steps()[-1]
    return {
        name.removeprefix("params/"): np.asarray(value)
        for name, value in state.arrays(step).items()
        if name.startswith("params/")
    }


@pytest.mark.parametrize("part", ["linear", "dnn"])
def test_each_part_has_an_optimizer_of_its_own(part, tmp_path):
    """One that does nothing leaves its part alone, and only that."""
    still = {f"{part}_optimizer": optax.set_to_zero()}
    estimator = sf.DNNLinearCombinedClassifier(
        [4],
        model_dir=tmp_path,
        config=sf.RunConfig(seed=0),
        train_batch_size=64,
        **still,
    )
    estimator.train(lambda: (X, Y), steps=1)
    first = params_of(estimator)
    estimator.train(lambda: (X, Y), steps=3)
    moved = {name for name, value in params_of(estimator).items()
             if (value != first[name]).any()}  # fmt: skip
    assert {name.split(".")[0] for name in moved} == {"linear", "dnn"} - {part}


@pytest.mark.parametrize(("features", "rate"), [(4, 0.2), (25, 0.2), (100, 0.1)])
def test_the_learning_rate_of_ftrl_decreases_with_the_number_of_features(
    features, rate
):
    params = {"w": np.ones(3, "f4")}
    gradients = {"w": np.array([0.5, -1.0, 2.0], "f4")}
    moves = [
        optimizer.update(gradients, optimizer.init(params), params)[0]["w"]
        for optimizer in (ftrl(features), optimizers.ftrl(rate))
    ]
    np.testing.assert_allclose(*moves, rtol=1e-6)


def test_training_resumes_bit_for_bit(tmp_path):
    def trained(folder, *steps):
        estimator = None
        for count in steps:
            estimator = sf.DNNLinearCombinedClassifier(
                [8],
                dnn_dropout=0.3,
                batch_norm=True,
                model_dir=tmp_path / folder,
                config=sf.RunConfig(seed=1),
                train_batch_size=16,
            )
            estimator.train(lambda: (X, Y), steps=count)
        return params_of(estimator)

    whole, parts = trained("whole", 9), trained("parts", 4, 5)
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(value, parts[name])


def test_batch_normalization_uses_statistics_of_training(tmp_path):
    """Rows alone are judged as rows together are."""
    estimator = sf.DNNClassifier(
        [8], batch_norm=True, model_dir=tmp_path, train_batch_size=64, use_tpu=False,
        eval_batch_size=1,
    )  # fmt: skip
    estimator.train(lambda: (X, Y), steps=30)
    alone = list(estimator.predict(lambda: X[:5]))
    together = sf.DNNClassifier(
        [8], batch_norm=True, model_dir=tmp_path, train_batch_size=64, use_tpu=False
    ).predict(lambda: X[:5])
    for one, other in zip(alone, together, strict=True):
        # One row or five in a matrix product: float32, any order.
        np.testing.assert_allclose(one["logits"], other["logits"], rtol=1e-5, atol=1e-6)


def test_a_canned_estimator_is_exported_with_the_signatures_of_its_head(tmp_path):
    estimator = sf.DNNClassifier(
        [8],
        label_vocabulary=["below", "above"],
        model_dir=tmp_path / "run",
        train_batch_size=64,
        use_tpu=False,
    )
    labels = np.array(["below", "above"])[Y]
    estimator.train(lambda: ({"x": X}, labels), steps=20)
    exported = estimator.export(tmp_path / "export", input_fn=lambda: {"x": X})
    loaded = sf.load_export(exported)
    answer = loaded("serving_default", x=X[:4])
    said = [row["probabilities"] for row in estimator.predict(lambda: {"x": X[:4]})]
    np.testing.assert_allclose(answer["scores"], said, rtol=1e-6)
    assert set(loaded.signatures) == {
        "serving_default",
        "classification",
        "regression",
        "predict",
    }
