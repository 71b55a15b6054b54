"""Rates and areas from confusion matrices at thresholds, by TensorFlow's formulas.

They are computed in float32, as in TensorFlow: added to a count, the small constants
vanish, and ties of thresholds are exact. The counts themselves are exact.

Source: tf.compat.v1.metrics, version 2.15, from its documentation and formulas.
"""

import dataclasses
from typing import Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.metrics.thresholds import Confusions

__all__ = [
    "Area",
    "Curve",
    "SensitivityAt",
    "SpecificityAt",
    "Summation",
    "evenly_spread",
    "false_negatives",
    "false_positives",
    "precisions",
    "recalls",
    "true_negatives",
    "true_positives",
]

Curve: TypeAlias = Literal["ROC", "PR"]
Summation: TypeAlias = Literal[
    "trapezoidal", "careful_interpolation", "minoring", "majoring"
]
"""Summation of an area: trapezoids; trapezoids for ROC, and for PR the interpolation of
counts between thresholds; lower rectangles; upper rectangles."""

Line: TypeAlias = Float[NDArray, " t"]

_BESIDE_COUNTS = np.float32(1e-7)
_BESIDE_AREAS = np.float32(1e-6)


def evenly_spread(count: int, *, above: float = 1e-7) -> list[float]:
    """Returns evenly spaced thresholds, from just below 0 to 1 + `above`.

    >>> evenly_spread(3)
    [-1e-07, 0.5, 1.0000001]
    """
    _check(count >= 2, "num_thresholds", count, "at least 2, one below all scores")
    inner = [index / (count - 1) for index in range(1, count - 1)]
    return [-1e-7, *inner, 1.0 + above]


def true_positives(counts: Confusions) -> Line:
    """True positives at each threshold."""
    return counts[:, 1, 1]


def false_negatives(counts: Confusions) -> Line:
    """False negatives at each threshold."""
    return counts[:, 1, 0]


def false_positives(counts: Confusions) -> Line:
    """False positives at each threshold."""
    return counts[:, 0, 1]


def true_negatives(counts: Confusions) -> Line:
    """True negatives at each threshold."""
    return counts[:, 0, 0]


def precisions(counts: Confusions) -> Line:
    """Precision at each threshold; 0 without predicted positives.

    >>> precisions(np.array([[[2.0, 1.0], [0.0, 3.0]]]))
    array([0.75], dtype=float32)
    """
    _, fp, _, tp = _cells(counts)
    return tp / (tp + fp + _BESIDE_COUNTS)


def recalls(counts: Confusions) -> Line:
    """Recall at each threshold; 0 without positives."""
    _, _, fn, tp = _cells(counts)
    return tp / (tp + fn + _BESIDE_COUNTS)


@dataclasses.dataclass(frozen=True, slots=True)
class SensitivityAt:
    """Sensitivity at the lowest threshold whose specificity is closest to a target.

    >>> SensitivityAt(1.0)(np.array([[[1.0, 1.0], [0.0, 4.0]], [[2.0, 0], [1.0, 3.0]]]))
    0.75
    """

    specificity: float

    def __post_init__(self) -> None:
        _check_rate("specificity", self.specificity)

    def __call__(self, counts: Confusions) -> float:
        tn, fp, _, _ = _cells(counts)
        distance = abs(tn / (tn + fp + _BESIDE_COUNTS) - np.float32(self.specificity))
        return float(recalls(counts)[distance.argmin()])


@dataclasses.dataclass(frozen=True, slots=True)
class SpecificityAt:
    """Specificity at the highest threshold whose sensitivity is closest to a target.

    >>> SpecificityAt(1.0)(np.array([[[1.0, 1.0], [0.0, 4.0]], [[2.0, 0], [1.0, 3.0]]]))
    0.5
    """

    sensitivity: float

    def __post_init__(self) -> None:
        _check_rate("sensitivity", self.sensitivity)

    def __call__(self, counts: Confusions) -> float:
        tn, fp, _, _ = _cells(counts)
        distance = abs(recalls(counts) - np.float32(self.sensitivity))
        return float(
            (tn / (tn + fp + _BESIDE_COUNTS))[
                np.flatnonzero(distance == distance.min())[-1]
            ]
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Area:
    """Area under the curve through the points of ascending thresholds.

    ROC is 1 without positives, and 0 without negatives.

    >>> counts = np.array([[[0.0, 4.0], [0, 2]], [[3, 1], [0, 2]], [[4, 0], [2, 0]]])
    >>> round(Area()(counts), 6)
    0.875
    """

    curve: Curve = "ROC"
    summation_method: Summation = "trapezoidal"

    def __post_init__(self) -> None:
        for name, choices in (("curve", Curve), ("summation_method", Summation)):
            choice, names = getattr(self, name), get_args(choices)
            expected = "one of " + ", ".join(map(repr, names))
            _check(choice in names, name, choice, expected)

    def __call__(self, counts: Confusions) -> float:
        tn, fp, fn, tp = _cells(counts)
        if self.curve == "PR" and self.summation_method == "careful_interpolation":
            return _interpolated(tp, fp, fn)
        recall = (tp + _BESIDE_AREAS) / (tp + fn + _BESIDE_AREAS)
        if self.curve == "ROC":
            x, y = fp / (fp + tn + _BESIDE_AREAS), recall
        else:
            x, y = recall, (tp + _BESIDE_AREAS) / (tp + fp + _BESIDE_AREAS)
        left, right = y[:-1], y[1:]
        heights = {
            "trapezoidal": (left + right) / 2,
            "careful_interpolation": (left + right) / 2,
            "minoring": np.minimum(left, right),
            "majoring": np.maximum(left, right),
        }
        return _total((x[:-1] - x[1:]) * heights[self.summation_method])


def _interpolated(tp: Line, fp: Line, fn: Line) -> float:
    """Computes the area under the PR curve, with counts linear between thresholds.

    Source: Davis & Goadrich, The Relationship Between Precision-Recall and ROC Curves,
    2006, section 4; integrated in closed form.
    """
    predicted = tp + fp
    rise, run = tp[:-1] - tp[1:], predicted[:-1] - predicted[1:]
    slope = _divided(rise, run)
    start = tp[1:] - slope * predicted[1:]
    positive = (predicted[:-1] > 0) & (predicted[1:] > 0)
    growth = np.where(positive, _divided(predicted[:-1], predicted[1:]), np.float32(1))
    return _total(_divided(slope * (rise + start * np.log(growth)), (tp + fn)[1:]))


def _check_rate(name: str, value: float) -> None:
    _check(0.0 <= value <= 1.0, name, value, "a number in [0, 1]")


def _check(is_valid: bool, name: str, value: object, expected: str) -> None:
    if not is_valid:
        raise DataError(
            Diagnostic(
                "ThresholdCounts",
                f"{name} is {value!r}",
                expected=expected,
                code="metric-values",
            )
        )


def _cells(counts: Confusions) -> Float[NDArray, "4 t"]:
    """Returns true negatives, false positives, false negatives, true positives."""
    return counts.astype(np.float32).reshape(-1, 4).T


def _divided(top: Line, bottom: Line) -> Line:
    """Divides elementwise; 0 where the denominator is 0."""
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom != 0)


def _total(parts: Line) -> float:
    return float(parts.sum(dtype=np.float64))
