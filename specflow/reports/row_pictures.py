"""Pictures of the rows of an evaluation: ROC, precision and recall, calibration,
residuals.
"""

import csv
import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.reports.run_charts import line_chart
from specflow.runtime.html.axes import axis_of, number_label
from specflow.runtime.html.drawing import Chart, figure, framed, path, svg
from specflow.runtime.html.html_text import Html, element

__all__ = ["RowPictures", "read_row_pictures"]

_LABELS = ("label", "labels")
_SCORES = ("probability", "probabilities", "score", "scores", "logistic")
_VALUES = ("prediction", "predictions", "value", "output")
_BINS = 10
_MOST_POINTS = 200
_MOST_MARKS = 1500


@dataclasses.dataclass(frozen=True)
class RowPictures:
    """Labels of rows, and what was predicted for them.

    Args:
        labels: one a row: classes, or numbers.
        scores: class -> probability of each row; empty for numbers.
        values: predicted number of each row; empty for classes.
        names: of the classes; empty: they have numbers alone.
    """

    labels: Sequence[float]
    scores: Mapping[int, Sequence[float]]
    values: Sequence[float] = ()
    names: Sequence[str] = ()

    def figures(self) -> list[Html]:
        """Returns the pictures that suit the rows."""
        if self.values:
            return [self._residuals()]
        shown = {k: s for k, s in self.scores.items() if self._has_both(k)}
        if not shown:
            return []
        return [
            self._curve(
                "ROC", "false positive rate", "true positive rate", shown, roc_points
            ),
            self._curve(
                "Precision and recall", "recall", "precision", shown, recall_points
            ),
            self._curve(
                "Calibration",
                "mean predicted probability",
                "share of the class",
                shown,
                calibration_points,
            ),
        ]

    def _has_both(self, label: int) -> bool:
        return 0 < sum(one == label for one in self.labels) < len(self.labels)

    def _curve(
        self,
        title: str,
        x: str,
        y: str,
        shown: Mapping[int, Sequence[float]],
        points: Any,
    ) -> Html:
        lines = []
        notes = []
        for index, (label, scores) in enumerate(shown.items()):
            is_positive = [one == label for one in self.labels]
            drawn = points(is_positive, scores)
            name = self.names[label] if self.names else str(label)
            lines.append((index, name if self.names else f"class {label}", drawn))
            if title == "ROC":
                notes.append(f"{name}: {area(drawn):.3f}")
        note = f"Area by class: {', '.join(notes)}." if notes else ""
        note = note or f"Of {len(self.labels):,} rows; a line for each class."
        diagonal = title != "Precision and recall"
        about = f"{title} of {len(lines)} classes."
        return line_chart(
            title,
            about,
            lines,
            x,
            y,
            note=note,
            unit=True,
            diagonal=diagonal,
            of_runs=False,
        )

    def _residuals(self) -> Html:
        chart = Chart()
        errors = [v - label for v, label in zip(self.values, self.labels, strict=True)]
        x = axis_of(self.values, *chart.x, may_be_log=False)
        y = axis_of([*errors, 0.0], *chart.y, may_be_log=False)
        every = max(1, len(errors) // _MOST_MARKS)
        marks = [
            element(
                "circle",
                {"cx": x.at(v), "cy": y.at(error), "r": 2.5, "class": "point"},
                element("title", None, f"{number_label(v)}: {number_label(error)}"),
            )
            for v, error in list(zip(self.values, errors, strict=True))[::every]
        ]
        zero = path([(chart.x[0], y.at(0)), (chart.x[1], y.at(0))])
        line = element("path", {"d": zero, "class": "curve reference"})
        squares = math.sqrt(sum(error * error for error in errors) / len(errors))
        note = f"Root mean squared error of {len(errors):,} rows: {squares:.4g}."
        frame = framed(chart, x, y, "predicted", "predicted - true")
        drawing = svg(chart, "Residuals", note, frame, line, *marks)
        return figure("Residuals", drawing, note)


def roc_points(
    is_positive: Sequence[bool], scores: Sequence[float]
) -> list[tuple[float, float]]:
    """Returns (false, true) positive rates over falling thresholds.

    >>> roc_points([True, False, True, False], [0.9, 0.8, 0.7, 0.1])
    [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]
    """
    counts = [(0, 0), *_counts(is_positive, scores)]
    negatives, positives = (max(1, count) for count in counts[-1])
    return _thinned([(false / negatives, true / positives) for false, true in counts])


def recall_points(
    is_positive: Sequence[bool], scores: Sequence[float]
) -> list[tuple[float, float]]:
    """Returns (recall, precision) over falling thresholds.

    >>> recall_points([True, False], [0.9, 0.8])
    [(1.0, 1.0), (1.0, 0.5)]
    """
    counts = [*_counts(is_positive, scores)]
    positives = max(1, counts[-1][1])
    return _thinned([(t / positives, t / (f + t)) for f, t in counts])


def calibration_points(
    is_positive: Sequence[bool], scores: Sequence[float]
) -> list[tuple[float, float]]:
    """Returns (mean score, share of positives) of ten bins of equal width.

    >>> calibration_points([True, False, True], [0.25, 0.25, 0.95])
    [(0.25, 0.5), (0.95, 1.0)]
    """
    bins: dict[int, list[tuple[float, bool]]] = {}
    for score, positive in zip(scores, is_positive, strict=True):
        place = min(int(score * _BINS), _BINS - 1)
        bins.setdefault(place, []).append((score, positive))
    return [
        (
            sum(score for score, _ in rows) / len(rows),
            sum(positive for _, positive in rows) / len(rows),
        )
        for _, rows in sorted(bins.items())
    ]


def area(points: Sequence[tuple[float, float]]) -> float:
    """Returns the area below a line, by trapezoids.

    >>> area([(0, 0), (0, 1), (1, 1)])
    1.0
    """
    pairs = itertools.pairwise(points)
    return float(sum((b - a) * (c + d) / 2 for (a, c), (b, d) in pairs))


def read_row_pictures(
    path: Path, class_names: Callable[[int], Sequence[str]] | None = None
) -> RowPictures:
    """Reads rows with labels and predictions, as `predict --labels` writes them.

    Args:
        path: JSON lines, or CSV.
        class_names: number of classes -> their names, which labels may be.

    Raises:
        ConfigError: it cannot be read, or lacks a column.
    """
    try:
        rows = _csv_rows(path) if path.suffix == ".csv" else _json_rows(path)
    except (OSError, ValueError) as error:
        raise _unusable(path, f"cannot be read: {error}") from error
    names = list(rows[0]) if rows else []
    label = next((name for name in _LABELS if name in names), None)
    if label is None:
        raise _unusable(path, f"has no column label (columns: {', '.join(names)})")
    score = next((name for name in _SCORES if name in names), None)
    value = next((name for name in _VALUES if name in names), None)
    if score is None and value is None:
        raise _unusable(path, "has neither a column probability nor prediction")
    try:
        if score is None:
            labels = [_number(row[label]) for row in rows]
            return RowPictures(labels, {}, [_number(row[str(value)]) for row in rows])
        scores = _scores([row[score] for row in rows])
        names = class_names(max(2, len(scores))) if class_names else ()
        labels = [_class(row[label], names) for row in rows]
        return RowPictures(labels, scores, names=names)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise _unusable(path, f"has a row that cannot be drawn: {error}") from error


def _counts(
    is_positive: Sequence[bool], scores: Sequence[float]
) -> Iterable[tuple[int, int]]:
    """Yields (false, true) positives above each different score, falling."""
    pairs = sorted(zip(scores, is_positive, strict=True), reverse=True)
    false = true = 0
    for place, (score, positive) in enumerate(pairs):
        true += positive
        false += not positive
        if place + 1 == len(pairs) or pairs[place + 1][0] != score:
            yield false, true


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    every = max(1, len(points) // _MOST_POINTS)
    kept = points[::every]
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def _scores(values: Sequence[Any]) -> dict[int, list[float]]:
    if not isinstance(values[0], list) or len(values[0]) == 1:
        return {1: [_number(value) for value in values]}
    classes = range(len(values[0]))
    if len(classes) == 2:
        classes = range(1, 2)
    return {k: [float(value[k]) for value in values] for k in classes}


def _class(label: Any, names: Sequence[str]) -> float:
    """The number of a class, which a label names or is."""
    name = label if isinstance(label, str) else json.dumps(label)
    return names.index(name) if name in names else _number(label)


def _number(value: Any) -> float:
    return float(value[0] if isinstance(value, list) else value)


def _json_rows(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [dict(json.loads(line)) for line in lines if line.strip()]


def _csv_rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: _cell(text) for name, text in row.items()}
            for row in csv.DictReader(file)
        ]


def _cell(text: Any) -> Any:
    """A number or a list, as `predict` writes them."""
    try:
        return json.loads(text)
    except (ValueError, TypeError):
        return text


def _unusable(path: Path, problem: str) -> ConfigError:
    return ConfigError(
        Diagnostic(
            "--rows",
            f"'{path}' {problem}",
            expected="rows with a label, and a probability or a prediction",
            hint="specflow predict run=DIR --labels --output rows.jsonl writes them.",
            origin="command line",
            code="report-rows",
        )
    )
