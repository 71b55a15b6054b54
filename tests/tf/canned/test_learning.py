"""Canned estimators learn real tables about as well as scikit-learn's linear models.

The bounds are what scikit-learn 1.9 reaches on the same rows, less one row in twenty
for classes, and a fifth more error for numbers: a net on 331 rows does not beat a line,
and optimizers that were not run to the end differ from a solved problem.
"""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

import specflow as sf

ONE = {"use_tpu": False}
"""One device: that several give the same numbers is a law (`tests/laws`)."""
CLASSIFIERS = {
    "linear": lambda n, **more: sf.LinearClassifier(n, **more),
    "dnn": lambda n, **more: sf.DNNClassifier([32, 16], n, dropout=0.1, **more),
    "dnn, normalized": lambda n, **more: sf.DNNClassifier(
        [32, 16], n, batch_norm=True, **more
    ),
    "combined": lambda n, **more: sf.DNNLinearCombinedClassifier([32, 16], n, **more),
}
REGRESSORS = {
    "linear": sf.LinearRegressor,
    "dnn": lambda **more: sf.DNNRegressor([16], **more),
    "combined": lambda **more: sf.DNNLinearCombinedRegressor([16], **more),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_learns_three_classes_of_wine(table, name, tmp_path):
    x, y, held_x, held_y = table("wine")
    estimator = CLASSIFIERS[name](3, model_dir=tmp_path, train_batch_size=64, **ONE)
    estimator.train(lambda: ({"x": x}, y), steps=150)
    found = estimator.evaluate(lambda: ({"x": held_x}, held_y))
    assert set(found) == {"loss", "global_step", "average_loss", "accuracy"}
    assert (
        found["accuracy"] >= LogisticRegression().fit(x, y).score(held_x, held_y) - 0.05
    )
    assert found["average_loss"] < 0.25 * np.log(3)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_learns_tumours(table, name, tmp_path):
    x, y, held_x, held_y = table("breast_cancer")
    estimator = CLASSIFIERS[name](2, model_dir=tmp_path, **ONE)
    estimator.train(lambda: (x, y), steps=150)
    found = estimator.evaluate(lambda: (held_x, held_y))
    by_sklearn = LogisticRegression().fit(x, y).score(held_x, held_y)
    assert found["accuracy"] >= by_sklearn - 0.05
    assert found["auc"] > 0.97
    assert found["accuracy_baseline"] == max(held_y.mean(), 1 - held_y.mean())


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor_learns_the_progression_of_diabetes(table, name, tmp_path):
    x, y, held_x, held_y = table("diabetes")
    hundreds, held = y / 100, held_y / 100  # A label near 1, as the rates expect.
    estimator = REGRESSORS[name](model_dir=tmp_path, **ONE)
    estimator.train(lambda: (x, hundreds), steps=60)
    found = estimator.evaluate(lambda: (held_x, held))
    predicted = LinearRegression().fit(x, hundreds).predict(held_x)
    assert found["average_loss"] <= 1.2 * ((predicted - held) ** 2).mean()
    assert found["prediction/mean"] == pytest.approx(found["label/mean"], abs=0.2)


def test_linear_regression_converges_to_least_squares(table, tmp_path):
    """NumPy's solution, float64: of the same batch at every step."""
    x, y, _, _ = table("diabetes")
    x, y = x[:, :4], y / 100
    estimator = sf.LinearRegressor(model_dir=tmp_path, train_batch_size=256, **ONE)
    estimator.train(lambda: iter([(x[:256], y[:256])] * 400))
    design = np.column_stack([x[:256], np.ones(256)]).astype(np.float64)
    solved, *_ = np.linalg.lstsq(design, y[:256].astype(np.float64), rcond=None)
    rows = estimator.predict(lambda: x[:256])
    said = np.array([row["predictions"][0] for row in rows])
    # FTRL's steps shorten: it is near, not there.
    np.testing.assert_allclose(said, design @ solved, atol=0.01)
