"""Experiments on real tables reach the quality of scikit-learn's models.

The bounds are those of its linear models (1.9) on the same rows, minus one row in
twenty for accuracy, plus a tenth for regression errors, as optimizers end near a
solution.
"""

import numpy as np
import pytest
from sklearn import metrics
from sklearn.linear_model import LogisticRegression, PoissonRegressor

import specflow as sf
from specflow.compose import compose


def run(folder, *overrides):
    """Trains as the command does; returns the estimator and all rows."""
    config = compose(list(overrides)).config
    data = sf.data.build_data(config.data)
    estimator = sf.TPUEstimator.from_config(config, data=data, model_dir=folder)
    estimator.train(lambda: data.train, max_steps=config.loop.train_steps)
    found = estimator.evaluate(lambda: data.eval)
    (train, y), (held, held_y) = (s.take(slice(None)) for s in (data.train, data.eval))
    return estimator, found, (train["x"], y, held["x"], held_y)


@pytest.mark.slow
def test_a_dense_network_classifies_wine(tmp_path):
    _, found, (x, y, held_x, held_y) = run(tmp_path, "experiment=wine")
    by_sklearn = LogisticRegression().fit(x, y).score(held_x, held_y)
    assert found["accuracy"] >= by_sklearn - 0.05
    assert np.trace(found["confusion"]) / len(held_y) == found["accuracy"]


@pytest.mark.slow
def test_a_poisson_regression_predicts_counts(tmp_path):
    estimator, found, (x, y, held_x, held_y) = run(
        tmp_path, "experiment=diabetes_counts"
    )
    solved = PoissonRegressor(alpha=0, max_iter=1_000).fit(x, y).predict(held_x)
    said = [float(row["value"]) for row in estimator.predict(lambda: {"x": held_x})]
    ours, theirs = (metrics.mean_poisson_deviance(held_y, v) for v in (said, solved))
    assert ours <= 1.1 * theirs
    assert found["rmse"] <= 1.1 * np.sqrt(((solved - held_y) ** 2).mean())
    assert found["prediction_mean"] == pytest.approx(found["label_mean"], rel=0.1)


@pytest.mark.slow
def test_wide_and_deep_with_two_optimizers_classifies_tumours(tmp_path):
    estimator, found, (x, y, held_x, held_y) = run(
        tmp_path, "experiment=breast_cancer_wide_and_deep"
    )
    by_sklearn = LogisticRegression().fit(x, y).score(held_x, held_y)
    assert found["accuracy"] >= by_sklearn - 0.05
    assert found["auc"] > 0.98
    # Adagrad keeps a sum of squares, FTRL that and a linear term.
    saved = estimator.checkpoints.arrays()
    slots = [name for name in saved if "slots" in name]
    assert sum("wide" in name for name in slots) == 2 * 2
    assert sum("deep" in name for name in slots) == 6


def test_several_labels_per_row_from_a_file(tmp_path):
    """Digits labelled as odd, as above four, as both or as neither."""
    images, digit = sf.data.build_data(
        sf.config.sections.data.DigitsConfig()
    ).train.take(slice(None))
    marks = np.stack([digit % 2, digit > 4], axis=1).astype(np.int32)
    x = images["image"].reshape(-1, 64)
    for name, rows in (("train", slice(0, 1000)), ("eval", slice(1000, None))):
        np.savez(tmp_path / f"{name}.npz", x=x[rows], labels=marks[rows])
    estimator, found, _ = run(
        tmp_path / "run",
        *["data=npz", f"data.train={tmp_path}/train.npz"],
        *[f"data.eval={tmp_path}/eval.npz", "spec=multi_label", "model=mlp"],
        *["model.outputs=2", "model.hidden=[32]", "loop.train_steps=200"],
        *["optimizer.lr=1e-2"],
    )
    by_sklearn = [
        LogisticRegression(max_iter=2_000)
        .fit(x[:1000], mark[:1000])
        .score(x[1000:], mark[1000:])
        for mark in marks.T
    ]
    assert found["accuracy"] >= np.mean(by_sklearn) - 0.05
    assert set(found) >= {"auc", "precision", "recall", "f1"}
    row = next(estimator.predict(lambda: {"x": x[:8]}))
    assert row["probability"].shape == row["class"].shape == (2,)
