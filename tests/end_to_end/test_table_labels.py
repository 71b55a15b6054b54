"""Labels of a table from training to serving, with the default settings.

Ground truth: scikit-learn's metrics of the predicted rows, and its linear regression.
"""

import csv
import json

import numpy as np
import pytest
import sklearn.metrics
from sklearn.linear_model import LinearRegression
from sklearn.utils.class_weight import compute_class_weight

import specflow as sf
from specflow.cli.main import main
from specflow.columns import FittedColumns

ROWS = 600
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 4)).round(4)
NOISE = RNG.normal(size=ROWS)
PRICE = (2e5 + 8e4 * (X @ [1.0, 0.5, -0.3, 0.2]) / 1.2 + 5e3 * NOISE).round(2)
QUICK = ("output.reporters=[]", "mesh=single", "loop.eval_every=0")


def write(path, **labels):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*"abcd", *labels])
        writer.writerows(
            [*row, *cells] for row, *cells in zip(X, *labels.values(), strict=True)
        )


def run_json(capsys, *arguments):
    capsys.readouterr()
    assert main(list(arguments)) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def trained(folder, *overrides):
    """Trains on the file of a folder by `experiment=table`."""
    arguments = (f"data.files={folder}/t.csv", f"output.dir={folder}/run", *QUICK)
    assert main(["train", "experiment=table", *arguments, *overrides]) == 0


def evaluated(folder, capsys):
    capsys.readouterr()
    assert main(["evaluate", f"run={folder}/run", "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)["metrics"]


@pytest.mark.parametrize(
    "overrides",
    [(), ("spec=regression", "model.outputs=1"), ("data.columns.price.name=number",)],
    ids=["spec=table", "spec=regression", "declared"],
)
def test_large_numbers_are_learned_by_default_and_stay_in_their_units(
    overrides, tmp_path, capsys
):
    write(tmp_path / "t.csv", price=PRICE)
    trained(tmp_path, "data.labels=price", *overrides)
    rows = run_json(capsys, "predict", f"run={tmp_path}/run", "--labels")
    labels, values = (
        np.array([row[key] for row in rows]) for key in ("label", "value")
    )
    assert set(labels) <= set(np.float32(PRICE).tolist())
    linear = LinearRegression().fit(X, PRICE).score(X, PRICE)
    assert sklearn.metrics.r2_score(labels, values) > linear - 0.05
    metrics = evaluated(tmp_path, capsys)
    errors = {
        "r2": sklearn.metrics.r2_score(labels, values),
        "mae": sklearn.metrics.mean_absolute_error(labels, values),
        "rmse": sklearn.metrics.root_mean_squared_error(labels, values),
    }
    for name, expected in errors.items():
        assert metrics[name] == pytest.approx(expected, rel=1e-5)
    # The loss is that of labels of variance 1.
    fitted = FittedColumns.read(tmp_path / "run" / "columns.json").labels["price"]
    scaled = ((labels - values) / fitted.divisor) ** 2
    assert metrics["loss"] == pytest.approx(scaled.mean(), rel=1e-4)
    # The export has the scaling too.
    assert main(["export", f"run={tmp_path}/run"]) == 0
    (path,) = (tmp_path / "run" / "export").iterdir()
    new = tmp_path / "new.csv"
    new.write_text("\n".join(["a,b,c,d", *(",".join(map(str, row)) for row in X[:5])]))
    predicted = run_json(capsys, "predict", f"run={tmp_path}/run", f"data.files={new}")
    served = sf.load_export(path)(
        "serving_raw", **dict(zip("abcd", X[:5].T, strict=True))
    )
    values = [row["value"] for row in predicted]
    np.testing.assert_allclose(served["value"], values, rtol=1e-6)


KIND = np.where(X[:, 1] > 0.5, "c", np.where(X[:, 0] > 0.0, "b", "a"))
WEIGHT = RNG.integers(0, 4, ROWS)
LABELS = ("kind", "price", "w")
ROW = ("label", "class", "probability")


def test_several_labels_have_heads_and_weights_of_rows(tmp_path, capsys):
    write(tmp_path / "t.csv", kind=KIND, price=PRICE, w=WEIGHT)
    trained(
        tmp_path,
        "data.labels=[kind,price]",
        "data.weights=w",
        "spec.heads.kind.class_weights=balanced",
        "spec.heads.price={weight: 0.25, loss: absolute_error}",
        "loop.train_steps=200",
    )
    rows = run_json(capsys, "predict", f"run={tmp_path}/run", "--labels")
    kind, price, weights = (
        np.array([row["label"][name] for row in rows])
        for name in ("kind", "price", "w")
    )
    chosen = np.array([row["kind_class"] for row in rows])
    value = np.array([row["price_value"] for row in rows])
    scores = np.array([row["kind_probability"] for row in rows])
    metrics = evaluated(tmp_path, capsys)
    weighted = {"sample_weight": weights}
    expected = {
        "kind_accuracy": sklearn.metrics.accuracy_score(kind, chosen, **weighted),
        "price_r2": sklearn.metrics.r2_score(price, value, **weighted),
        "price_mae": sklearn.metrics.mean_absolute_error(price, value, **weighted),
        "price_rmse": sklearn.metrics.root_mean_squared_error(price, value, **weighted),
    }
    for name, number in expected.items():
        assert metrics[name] == pytest.approx(number, rel=1e-4)
    assert metrics["kind_accuracy"] > 0.8
    assert metrics["price_r2"] > 0.8
    fitted = FittedColumns.read(tmp_path / "run" / "columns.json")
    assert list(fitted.columns) == list("abcd")
    counts = dict(
        zip(fitted.labels["kind"].classes, fitted.labels["kind"].counts, strict=True)
    )
    trained_kinds = np.repeat(list(counts), list(counts.values()))
    of_class = compute_class_weight(
        "balanced", classes=np.array(list(counts)), y=trained_kinds
    )
    by_class = weights * of_class[np.searchsorted(list(counts), kind)]
    cross_entropy = sklearn.metrics.log_loss(
        kind, scores / scores.sum(-1, keepdims=True), sample_weight=by_class
    )
    divisor = fitted.labels["price"].divisor
    loss = cross_entropy + 0.25 * expected["price_mae"] / divisor
    assert metrics["loss"] == pytest.approx(loss, rel=1e-4)


def test_columns_of_zeros_and_ones_are_one_head(tmp_path, capsys):
    first, second = X[:, 0] > 0.0, X[:, 1] > 0.5
    write(tmp_path / "t.csv", big=np.where(first, "true", "false"), old=second * 1)
    trained(tmp_path, "data.labels=[big,old]", "loop.train_steps=200")
    rows = run_json(capsys, "predict", f"run={tmp_path}/run", "--labels")
    labels, chosen, scores = (
        np.array([row[key] for row in rows])
        for key in ("label", "class", "probability")
    )
    assert labels.shape == chosen.shape == (120, 2)
    metrics = evaluated(tmp_path, capsys)
    pairs = (labels.ravel(), chosen.ravel())
    assert metrics["f1"] == pytest.approx(sklearn.metrics.f1_score(*pairs), rel=1e-6)
    assert metrics["accuracy"] == pytest.approx((pairs[0] == pairs[1]).mean(), rel=1e-6)
    auc = sklearn.metrics.roc_auc_score(labels.ravel(), scores.ravel())
    assert metrics["auc"] == pytest.approx(auc, rel=1e-5)
    assert metrics["auc"] > 0.95
    assert main(["export", f"run={tmp_path}/run"]) == 0
    (path,) = (tmp_path / "run" / "export").iterdir()
    loaded = sf.load_export(path)
    assert loaded.signatures["serving_default"].class_names == ("big", "old")


def test_columns_are_fitted_anew_on_request_alone(tmp_path, capsys):
    write(tmp_path / "t.csv", price=PRICE)
    run, command = tmp_path / "run", ("data.labels=price", "model.hidden=[4]")
    trained(tmp_path, *command, "loop.train_steps=2")
    stored = FittedColumns.read(run / "columns.json")
    files = (f"data.files={tmp_path}/t.csv", f"output.dir={run}", *QUICK, *command)
    changed = (*files, "data.columns.a={name: number, scale: minmax}")
    accepted = (*changed, "output.on_change=accept", "loop.train_steps=4")
    capsys.readouterr()
    assert main(["train", "experiment=table", *accepted]) == 2
    assert capsys.readouterr().err.splitlines()[0] == (
        "error[table-changed] data.columns.a.name: was absent when the columns of "
        f"'{run}' were fitted, and is number (override data.columns.a={{name: number, "
        "scale: minmax}). Expected the columns of the run, which are used as they are. "
        "Restore the value, or fit the columns anew: data.refit=true."
    )
    assert FittedColumns.read(run / "columns.json") == stored
    assert main(["train", "experiment=table", *accepted, "data.refit=true"]) == 0
    fitted = FittedColumns.read(run / "columns.json")
    refits = [
        line for line in capsys.readouterr().err.splitlines() if "data.refit" in line
    ]
    assert refits == [f"data.refit: a: {stored.columns['a']} -> {fitted.columns['a']}"]
    assert fitted.columns["b"] == stored.columns["b"]
    # The config of the run has data.refit=true, and its columns stay.
    capsys.readouterr()
    assert main(["evaluate", f"run={run}"]) == 0
    assert "data.refit" not in capsys.readouterr().err
    assert main(["evaluate", f"run={run}", "data.refit=true"]) == 0
    assert "data.refit: the columns are the same" in capsys.readouterr().err
    # Rows that are new are fitted to as well.
    with (tmp_path / "t.csv").open("a") as file:
        file.write("9.0,1.0,1.0,1.0,1e5\n" * 50)
    command = ("train", "experiment=table", *accepted, "loop.train_steps=6")
    assert main([*command]) == 2
    assert main([*command, "data.refit=true"]) == 0
    again = FittedColumns.read(run / "columns.json")
    assert sum(again.rows.values()) == ROWS + 50
    assert again.columns["a"].divisor > fitted.columns["a"].divisor


def test_folds_are_pooled_row_by_row(tmp_path, capsys):
    write(tmp_path / "t.csv", price=PRICE, w=WEIGHT)
    sweep = tmp_path / "cv"
    arguments = (
        "experiment=table",
        f"data.files={tmp_path}/t.csv",
        "data.labels=price",
        "data.weights=w",
        "data.split.folds=3",
        "data.fold=range(3)",
        "model.hidden=[4]",
        "loop.train_steps=20",
        "loop.eval_batch_size=64",
        f"output.dir={sweep}",
        *QUICK,
    )
    assert main(["train", "-m", *arguments]) == 0
    out = capsys.readouterr().out
    rows = []
    for fold in range(3):
        rows += run_json(capsys, "predict", f"run={sweep}/{fold}", "--labels")
    labels, values, weights = (
        np.array(column)
        for column in zip(
            *((row["label"]["price"], row["value"], row["label"]["w"]) for row in rows),
            strict=True,
        )
    )
    # Every row is predicted once, by a model that has not seen it.
    assert sorted(labels) == sorted(np.float32(PRICE).tolist())
    pooled = json.loads((sweep / "pooled_0.json").read_text())
    assert (pooled["rows"], pooled["runs"]) == (ROWS, ["0", "1", "2"])
    weighted = {"sample_weight": weights}
    r2 = sklearn.metrics.r2_score(labels, values, **weighted)
    assert pooled["r2"] == pytest.approx(r2, rel=1e-6)
    rmse = sklearn.metrics.root_mean_squared_error(labels, values, **weighted)
    assert pooled["rmse"] == pytest.approx(rmse, rel=1e-6)
    assert f"pooled over 600 rows of 3 folds: loss {pooled['loss']:.6g}" in out
