"""How often each class is recognised, one voice a class."""

import dataclasses
import math
from typing import Self

from jaxtyping import Num
from numpy.typing import NDArray

from specflow.metrics.exact import Exact, plus, ratio
from specflow.metrics.metric import Metric, same_settings, weight_sums
from specflow.metrics.metric_rows import as_classes, rows

__all__ = ["PerClassAccuracy"]


@dataclasses.dataclass(frozen=True, slots=True)
class PerClassAccuracy(Metric):
    """The mean over classes of the share of a class's labels that are predicted.

    >>> import numpy as np
    >>> labels, predictions = np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0])
    >>> PerClassAccuracy.from_batch(labels, predictions, classes=2).compute()
    0.5
    """

    hits: tuple[Exact, ...] = ()
    """Of each class, its labels that were predicted."""
    labels: tuple[Exact, ...] = ()
    """Of each class, its labels."""
    classes: int = 0
    """Their number; 0: no state yet."""
    undefined: float | None = None

    @classmethod
    def from_batch(
        cls,
        labels: Num[NDArray, "b ..."],
        predictions: Num[NDArray, "b ..."],
        weights: Num[NDArray, "b ..."] | None = None,
        *,
        classes: int,
        undefined: float | None = None,
    ) -> Self:
        """The state of one batch.

        Args:
            labels: class numbers in [0, classes).
            predictions: class numbers, shaped as the labels.
            weights: of each label, or of each row for all its labels; 0 leaves it out.
            classes: number of classes.
            undefined: what a class without labels counts for; None leaves it out of the
                mean (scikit-learn's `balanced_accuracy_score`).

        Raises:
            DataError: shapes do not fit, or a value is no class.
        """
        name = cls.__name__
        label, prediction, weight = rows(
            name, {"labels": labels, "predictions": predictions}, weights
        )
        label = as_classes(name, "labels", label, classes=classes)
        hit = label == as_classes(name, "predictions", prediction)
        hits = weight_sums(label[hit], classes, None if weight is None else weight[hit])
        counts = weight_sums(label, classes, weight)
        return cls(tuple(hits), tuple(counts), classes, undefined)

    def merge(self, other: Self) -> Self:
        if not self.classes or not other.classes:
            return self if self.classes else other
        same_settings(self, other, "classes", "undefined")
        return dataclasses.replace(
            self,
            hits=tuple(map(plus, self.hits, other.hits)),
            labels=tuple(map(plus, self.labels, other.labels)),
        )

    def compute(self) -> float:
        shares = [
            ratio(hits, labels) if labels else self.undefined
            for hits, labels in zip(self.hits, self.labels, strict=True)
        ]
        counted = [share for share in shares if share is not None]
        return math.fsum(counted) / len(counted) if counted else math.nan
