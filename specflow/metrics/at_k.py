"""What a list of the k best classes is worth, where a row may have several labels."""

import math
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from numpy.typing import NDArray

from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.metrics.exact import Exact, exact_sum
from specflow.metrics.metric import Ratio, weight_sum
from specflow.metrics.metric_rows import as_classes, as_numbers, rows
from specflow.runtime.typing import describe

__all__ = ["AveragePrecisionAtK", "PrecisionAtK", "RecallAtK", "top_classes"]


class PrecisionAtK(Ratio):
    """Share of the listed classes that are labels of their row.

    >>> top = top_classes(np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]]), k=2)
    >>> PrecisionAtK.from_batch(np.array([[1, 2], [1, 1]]), top).compute()
    0.5
    """

    __slots__ = ()

    @classmethod
    def from_batch(
        cls,
        labels: Num[NDArray, "b ..."] | Num[NDArray, "b ... n"],
        top: Num[NDArray, "b ... k"],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        class_id: int | None = None,
        undefined: float | None = None,
    ) -> Self:
        """The state of one batch.

        Args:
            labels: class numbers: one a row, or several on one axis more; one that
                stands twice in a row counts once.
            top: the classes listed for each row, such as `top_classes(scores, k=k)`.
            weights: of each row; 0 leaves it out.
            class_id: the one class that counts; None counts all.
            undefined: value with nothing to divide by; None is NaN.

        Raises:
            DataError: shapes do not fit, or a value is no class number.
        """
        counts = _count(cls.__name__, labels, top, weights, class_id)
        return cls(counts.hits, counts.listed, undefined)


class RecallAtK(Ratio):
    """Share of the labels that are listed for their row.

    >>> top = top_classes(np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]]), k=2)
    >>> RecallAtK.from_batch(np.array([1, 1]), top).compute()
    0.5
    """

    __slots__ = ()

    @classmethod
    def from_batch(
        cls,
        labels: Num[NDArray, "b ..."] | Num[NDArray, "b ... n"],
        top: Num[NDArray, "b ... k"],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        class_id: int | None = None,
        undefined: float | None = None,
    ) -> Self:
        """The state of one batch; arguments are those of `PrecisionAtK.from_batch`.

        Raises:
            DataError: shapes do not fit, or a value is no class number.
        """
        counts = _count(cls.__name__, labels, top, weights, class_id)
        return cls(counts.hits, counts.sought, undefined)


class AveragePrecisionAtK(Ratio):
    """The mean over rows of the precision at each hit of the list.

    A row's precisions are divided by the number of its labels, k at most.

    >>> top = top_classes(np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]]), k=2)
    >>> AveragePrecisionAtK.from_batch(np.array([2, 0]), top).compute()
    0.75
    """

    __slots__ = ()

    @classmethod
    def from_batch(
        cls,
        labels: Num[NDArray, "b ..."] | Num[NDArray, "b ... n"],
        top: Num[NDArray, "b ... k"],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        undefined: float | None = None,
    ) -> Self:
        """The state of one batch.

        Args:
            labels: class numbers: one a row, or several on one axis more; negative ones
                are none. A row without labels has no average precision: the metric is
                NaN then.
            top: the classes listed for each row, the best first.
            weights: of each row; 0 leaves it out.
            undefined: value of no rows; None is NaN.

        Raises:
            DataError: shapes do not fit, or a value is no class number.
        """
        label, listed, weight = _lists(cls.__name__, labels, top, weights)
        hit = (listed[:, :, None] == label[:, None, :]).any(-1) & (listed >= 0)
        place = 1 + np.arange(listed.shape[1])
        sought = np.minimum((label >= 0).sum(-1), place.size)[:, None]
        with np.errstate(invalid="ignore"):
            shares = hit.cumsum(-1) * hit / place / sought
        factors = [shares.reshape(-1)]
        if weight is not None:
            factors.append(np.repeat(weight, place.size))
        # Over all rows at once: sums of single rows would be rounded.
        return cls(exact_sum(*factors), weight_sum(len(label), weight), undefined)


def top_classes(
    scores: Float[NDArray, "b ... c"], *, k: int
) -> Int[NDArray, "b ... k"]:
    """The k classes of the highest scores, the best first; of equal ones the first.

    Args:
        scores: one a class on the last axis. A NaN comes after all numbers.
        k: from 1 to c.

    Raises:
        DataError: k is out of range.

    >>> top_classes(np.array([[0.1, 0.7, 0.2]]), k=2)
    array([[1, 2]])
    """
    scores = np.asarray(scores)
    classes = scores.shape[-1] if scores.ndim else 0
    if not 1 <= k <= classes:
        raise DataError(
            Diagnostic(
                "top_classes",
                f"k is {k}",
                expected=f"1 to {classes}, the number of classes",
                code="metric-values",
            )
        )
    return np.argsort(-as_numbers(scores), axis=-1, kind="stable")[..., :k]


class _Counts(NamedTuple):
    hits: Exact
    listed: Exact
    sought: Exact


def _count(
    metric: str, labels: Any, top: Any, weights: Any, class_id: int | None
) -> _Counts:
    """Labels that are listed, classes that are listed, and labels; of all rows."""
    label, listed, weight = _lists(metric, labels, top, weights)
    sought, shown = _first_of_their_kind(label), _first_of_their_kind(listed)
    if class_id is not None:
        sought &= label == class_id
        shown &= listed == class_id
    hit = sought & (label[:, :, None] == listed[:, None, :]).any(-1)
    given = () if weight is None else (weight,)
    return _Counts(*(exact_sum(each.sum(-1), *given) for each in (hit, shown, sought)))


def _lists(
    metric: str, labels: Any, top: Any, weights: Any
) -> tuple[Int[NDArray, "n l"], Int[NDArray, "n k"], Float[NDArray, " n"] | None]:
    """Labels, listed classes and weights of the rows that count."""
    labels, top = np.asarray(labels), np.asarray(top)
    several = labels if labels.ndim == top.ndim else labels[..., None]
    if top.ndim < 2 or several.shape[:-1] != top.shape[:-1]:
        raise DataError(
            Diagnostic(
                metric,
                f"labels are {describe(labels)}, the listed classes {describe(top)}",
                expected="one list a row, on the last axis, and for each row one label "
                "or an axis of labels",
                code="metric-shapes",
            )
        )
    row = np.arange(math.prod(top.shape[:-1])).reshape(top.shape[:-1])
    kept, weight = rows(metric, {"rows": row}, weights)
    label, listed = (
        as_classes(
            metric, name, each.reshape(row.size, each.shape[-1])[kept].reshape(-1)
        )
        for name, each in (("labels", several), ("listed classes", top))
    )
    return (
        label.reshape(kept.size, several.shape[-1]),
        listed.reshape(kept.size, top.shape[-1]),
        weight,
    )


def _first_of_their_kind(values: Int[NDArray, "n m"]) -> Bool[NDArray, "n m"]:
    """Where a value does not stand further left in its row already."""
    alike = values[:, :, None] == values[:, None, :]
    return ~np.tril(alike, -1).any(-1)
