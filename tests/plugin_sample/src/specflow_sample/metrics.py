"""Metrics, computed on the host from NumPy rows."""

import dataclasses

import numpy as np

import specflow as sf


@dataclasses.dataclass(frozen=True)
class Within(sf.Metric):
    """Fraction of predictions within a distance of the label."""

    hits: int = 0
    count: int = 0

    @classmethod
    def from_batch(cls, labels: np.ndarray, predictions: np.ndarray, *, distance: int):
        """State of one batch.

        Args:
            labels: ground truth.
            predictions: predicted labels.
            distance: largest accepted absolute difference.
        """
        near = np.abs(labels - predictions) <= distance
        return cls(int(near.sum()), len(labels))

    def merge(self, other):
        return Within(self.hits + other.hits, self.count + other.count)

    def compute(self):
        return self.hits / self.count if self.count else float("nan")
