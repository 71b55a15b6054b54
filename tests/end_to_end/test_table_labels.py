"""Labels of a table from training to serving, with the default settings.

Ground truth: scikit-learn's metrics of the predicted rows, and its linear regression.
"""

import csv
import json

import numpy as np
import pytest
import sklearn.metrics
from sklearn.linear_model import LinearRegression

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
