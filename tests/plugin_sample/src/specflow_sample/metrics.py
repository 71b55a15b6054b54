"""Metrics of rows, on the host."""

import dataclasses

import numpy as np

import specflow as sf


@dataclasses.dataclass(frozen=True)
class Within(sf.Metric):
    """Share of predictions that are at most so far from the label."""

    hits: int = 0
    count: int = 0

    @classmethod
    def from_batch(cls, labels: np.ndarray, predictions: np.ndarray, *, distance: int):
        """The state of a batch.

        Args:
            labels: what is true.
            predictions: what is predicted.
            distance: how far a prediction may be off.
        """
        near = np.abs(labels - predictions) <= distance
        return cls(int(near.sum()), len(labels))

    def merge(self, other):
        return Within(self.hits + other.hits, self.count + other.count)

    def compute(self):
        return self.hits / self.count if self.count else float("nan")
