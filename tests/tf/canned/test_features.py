"""Input of canned estimators: arrays, dicts, categories, weights, string labels."""

import jax
import numpy as np
import optax
import pytest

import specflow as sf

RNG = np.random.default_rng(0)


def shapes_of(estimator):
    model = estimator.program.model
    return {name: array.shape for name, array in model.abstract_params.items()}


def test_numeric_features_are_flattened_and_concatenated_by_name(tmp_path):
    features = {
        "b": RNG.normal(size=(8, 2, 3)).astype("f4"),
        "a": {"z": np.arange(8), "c": RNG.normal(size=8).astype("f4")},
    }
    estimator = sf.LinearRegressor(
        model_dir=tmp_path, train_batch_size=8, optimizer=optax.sgd(1.0)
    )
    labels = RNG.normal(size=8).astype("f4")
    estimator.train(lambda: (features, labels), steps=1)
    assert shapes_of(estimator) == {
        "linear.bias": (1,),
        "linear.numbers.kernel": (8, 1),
    }
    joined = [features["a"]["c"], features["a"]["z"], *features["b"].reshape(8, 6).T]
    # NumPy, float64: one step of size 1 down the mean squared error, from zero.
    weights = 2 * np.array([(column * labels).mean() for column in joined])
    expected = np.stack(joined, 1) @ weights + 2 * labels.mean()
    rows = estimator.predict(lambda: features)
    said = [row["predictions"][0] for row in rows]
    np.testing.assert_allclose(said, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "make",
    [
        lambda **more: sf.LinearClassifier(3, **more),
        lambda **more: sf.DNNClassifier([16], 3, **more),
        lambda **more: sf.DNNLinearCombinedClassifier([8], 3, **more),
    ],
    ids=["linear", "dnn", "combined"],
)
def test_a_category_has_weights_of_its_own(make, tmp_path):
    """Its number says nothing by itself: the class is a permutation of it."""
    towns = RNG.integers(0, 12, 200)
    labels = np.array([2, 0, 1, 1, 2, 0, 0, 2, 1, 2, 0, 1])[towns]
    estimator = make(
        categorical={"town": sf.Categorical(12, width=6)},
        model_dir=tmp_path,
        use_tpu=False,
    )
    estimator.train(lambda: ({"town": towns}, labels), steps=200)
    assert estimator.evaluate(lambda: ({"town": towns}, labels))["accuracy"] == 1.0


def test_several_categories_are_summed_in_the_linear_part(tmp_path):
    words = np.array([[0, 1], [1, 1], [2, 0]])
    estimator = sf.LinearRegressor(
        categorical={"words": sf.Categorical(3)},
        optimizer=optax.sgd(0.5),
        model_dir=tmp_path,
        train_batch_size=3,
        use_tpu=False,
    )
    labels = np.array([3.0, 6.0, 0.0], "f4")
    estimator.train(lambda: ({"words": words}, labels), steps=1)
    # By hand: from zero, each weight moves by (its labels, added up) / 3.
    weights, bias = np.array([3 + 0, 3 + 6 + 6, 0]) / 3, 9 / 3
    said = [
        row["predictions"][0] for row in estimator.predict(lambda: {"words": words})
    ]
    np.testing.assert_allclose(said, weights[words].sum(1) + bias, rtol=1e-6)


def test_parts_may_see_features_of_their_own(tmp_path):
    features = {
        "town": RNG.integers(0, 5, 8),
        "size": RNG.normal(size=(8, 3)).astype("f4"),
    }
    estimator = sf.DNNLinearCombinedRegressor(
        [4],
        categorical={"town": sf.Categorical(5, width=2)},
        linear_features=["town"],
        dnn_features=["size"],
        model_dir=tmp_path,
        train_batch_size=8,
    )
    estimator.train(lambda: (features, np.zeros(8, "f4")), steps=1)
    assert shapes_of(estimator) == {
        "dnn.hidden_0.bias": (4,),
        "dnn.hidden_0.kernel": (3, 4),
        "dnn.logits.bias": (1,),
        "dnn.logits.kernel": (4, 1),
        "linear.bias": (1,),
        "linear.category_town.embedding": (5, 1),
    }


def test_weights_are_no_model_input_and_rows_of_weight_0_are_not_learned(tmp_path):
    x = RNG.normal(size=(100, 2)).astype("f4")
    truth = (x[:, 0] > 0).astype("i4")
    spoilt = np.arange(100) < 40
    features = {"x": x, "w": np.where(spoilt, 0, 1).astype("f4")}
    estimator = sf.LinearClassifier(weight_column="w", model_dir=tmp_path)
    estimator.train(lambda: (features, np.where(spoilt, 1 - truth, truth)), steps=200)
    assert shapes_of(estimator)["linear.numbers.kernel"] == (2, 1)
    found = estimator.evaluate(lambda: (features, np.where(spoilt, 1 - truth, truth)))
    assert found["accuracy"] >= 0.95
    # Asked without weights, the rows that were spoilt are understood too.
    rows = estimator.predict(lambda: {"x": x})
    said = np.array([row["class_ids"][0] for row in rows])
    assert (said == truth).mean() >= 0.95


@pytest.mark.parametrize("form", ["arrays", "batches"])
def test_labels_and_predictions_may_be_strings(form, table, tmp_path):
    x, y, held_x, held_y = table("wine")
    growers = np.array(["Adami", "Baldi", "Conti"])
    estimator = sf.LinearClassifier(
        3, label_vocabulary=growers.tolist(), model_dir=tmp_path, train_batch_size=32
    )

    def batches():
        for _ in range(40):
            rows = RNG.integers(0, len(x), 32)
            yield x[rows], growers[y][rows]

    whole = lambda: (x, growers[y])  # noqa: E731 - one of two input functions
    estimator.train(whole if form == "arrays" else batches, steps=40)
    found = estimator.evaluate(lambda: (held_x, growers[held_y]))
    rows = list(estimator.predict(lambda: (held_x, growers[held_y])))
    said = np.array([row["classes"][0] for row in rows])
    assert (said == growers[held_y]).mean() == pytest.approx(found["accuracy"])
    assert rows[0]["all_classes"].tolist() == growers.tolist()
    assert rows[0]["all_class_ids"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("features", "categorical", "message"),
    [
        (
            {"town": np.zeros(8, "f4")},
            {"town": sf.Categorical(3)},
            "features.town: is float32[8]. Expected integers, category indices.",
        ),
        (
            {"town": np.zeros(8, "i4")},
            {"twon": sf.Categorical(3)},
            "features.twon: there is no such feature. Expected one of town. "
            "Did you mean town?",
        ),
    ],
)
def test_invalid_features_are_rejected(features, categorical, message, tmp_path):
    estimator = sf.LinearRegressor(
        categorical=categorical, model_dir=tmp_path, train_batch_size=8
    )
    with pytest.raises(sf.SpecError) as caught:
        estimator.train(lambda: (features, np.zeros(8, "f4")), steps=1)
    assert message in str(caught.value)


def test_a_category_out_of_range_stops_training(tmp_path):
    """Silently it would be another category's weights."""
    towns = np.array([0, 1, 2, 3, 0, 1, 2, 3])
    estimator = sf.LinearRegressor(
        categorical={"town": sf.Categorical(3)}, model_dir=tmp_path, train_batch_size=8
    )
    with pytest.raises(sf.NanLossDuringTrainingError):
        estimator.train(lambda: ({"town": towns}, np.ones(8, "f4")), steps=2)


def test_one_and_eight_devices_give_the_same_values(tmp_path, table):
    x, y, held_x, held_y = table("breast_cancer")
    losses = []
    for mesh in (1, 8):
        estimator = sf.DNNLinearCombinedClassifier(
            [8],
            model_dir=tmp_path / str(mesh),
            config=sf.RunConfig(seed=3),
            mesh=sf.MeshConfig(axes={"data": mesh}),
            train_batch_size=64,
        )
        estimator.train(lambda: (x, y), steps=20)
        losses.append(estimator.evaluate(lambda: (held_x, held_y))["loss"])
        assert len(jax.devices()) == 8
    # Sums over the batch in another order, 20 times.
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
