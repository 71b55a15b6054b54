"""Balanced accuracy: every class has the same weight."""

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
    """Balanced accuracy: the mean over classes of their recall.

    >>> import numpy as np
    >>> labels, predictions = np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0])
    >>> PerClassAccuracy.from_batch(labels, predictions, classes=2).compute()
    0.5
    """

    hits: tuple[Exact, ...] = ()
    """True positives of each class."""
    labels: tuple[Exact, ...] = ()
    """Number of labels of each class (support)."""
    classes: int = 0
    """Number of classes; 0: no rows yet."""
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
        """Builds the state of one batch.

        Args:
            labels: class indices in [0, classes).
            predictions: class indices, shaped as the labels.
            weights: sample weights, one per label or per row; 0 leaves it out.
            classes: number of classes.
            undefined: recall of a class without labels; None leaves it out of the mean,
                as `balanced_accuracy_score` of scikit-learn does.

        Raises:
            DataError: shapes do not match, or a value is not a class index.
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
        recalls = [
            ratio(hits, labels) if labels else self.undefined
            for hits, labels in zip(self.hits, self.labels, strict=True)
        ]
        defined = [recall for recall in recalls if recall is not None]
        return math.fsum(defined) / len(defined) if defined else math.nan
