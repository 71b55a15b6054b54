"""Curves of rows, against scikit-learn; and what is said of unusable rows."""

import json

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

from specflow.diagnostics.errors import ConfigError
from specflow.reports.row_pictures import (
    area,
    calibration_points,
    read_row_pictures,
    recall_points,
    roc_points,
)


@pytest.fixture(params=["many scores", "ties", "two rows"])
def rows(request):
    random = np.random.default_rng(3)
    if request.param == "two rows":
        return [True, False], [0.25, 0.75]
    labels = random.random(180) < 0.4
    scores = np.clip(random.normal(0.35 + 0.3 * labels, 0.2), 0.0, 1.0)
    if request.param == "ties":
        scores = np.round(scores, 1)
    return labels.tolist(), scores.tolist()


def test_roc_is_that_of_scikit_learn(rows):
    points = roc_points(*rows)
    expected = roc_curve(*rows, drop_intermediate=False)[:2]
    np.testing.assert_allclose(np.array(points).T, expected)
    assert area(points) == pytest.approx(roc_auc_score(*rows))


def test_precision_and_recall_are_those_of_scikit_learn(rows):
    precision, recall, _ = precision_recall_curve(*rows)
    points = recall_points(*rows)
    # Its last point, recall 0, is a convention; it stops where all are found.
    expected = [*zip(recall[:-1], precision[:-1], strict=True)][::-1]
    np.testing.assert_allclose(points[: len(expected)], expected)


def test_calibration_is_that_of_scikit_learn(rows):
    share, mean = calibration_curve(*rows, n_bins=10)
    # Its bins hold their upper ends, these their lower ones: the same without ties.
    if not {round(10 * score, 9) % 1 == 0 for score in rows[1]} - {False}:
        expected = np.stack([mean, share], axis=1)
        np.testing.assert_allclose(calibration_points(*rows), expected)
    counts = [share for _, share in calibration_points(*rows)]
    assert all(0 <= count <= 1 for count in counts)


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    random = np.random.default_rng(0)
    labels, scores = random.random(5000) < 0.5, random.random(5000)
    points = roc_points(labels.tolist(), scores.tolist())
    assert len(points) < 420
    assert (points[0], points[-1]) == ((0.0, 0.0), (1.0, 1.0))
    assert area(points) == pytest.approx(roc_auc_score(labels, scores), abs=1e-3)


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_rows_of_predict_are_read(tmp_path, suffix):
    path = tmp_path / f"rows.{suffix}"
    rows = [(2, [0.1, 0.2, 0.7]), (0, [0.5, 0.25, 0.25])]
    if suffix == "csv":
        lines = ["label,class,probability"]
        lines += [f'{label},1,"{scores}"' for label, scores in rows]
    else:
        lines = [
            json.dumps({"label": a, "class": 1, "probability": b}) for a, b in rows
        ]
    path.write_text("\n".join(lines))
    pictures = read_row_pictures(path)
    assert pictures.labels == [2.0, 0.0]
    assert pictures.scores == {0: [0.1, 0.5], 1: [0.2, 0.25], 2: [0.7, 0.25]}
    # Class 1 does not occur: it has no curve.
    assert "Area by class: 0: 1.000, 2: 1.000." in pictures.figures()[0]


def test_numbers_have_residuals(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"label": 1.0, "prediction": 3.0}\n{"label": 2, "prediction": 2}')
    (picture,) = read_row_pictures(path).figures()
    assert "Root mean squared error of 2 rows: 1.414." in picture


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no column label (columns: )"),
        ('{"class": 1}', "has no column label (columns: class)"),
        ('{"label": 1}', "has neither a column probability nor prediction"),
        ('{"label": "cat", "prediction": 1}', "has a row that cannot be drawn: could "
         "not convert string to float: 'cat'"),
        ("{", "cannot be read: Expecting property name enclosed in double quotes: "
         "line 1 column 2 (char 1)"),
    ],
)  # fmt: skip
def test_unusable_rows_are_errors(tmp_path, text, problem):
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_row_pictures(path)
    assert str(error.value) == (
        f"--rows: '{path}' {problem} (command line). Expected rows with a label, and a "
        "probability or a prediction. specflow predict run=DIR --labels --output "
        "rows.jsonl writes them."
    )
