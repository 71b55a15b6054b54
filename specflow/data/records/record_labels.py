"""Facts of the labels of training records: their classes, or their scale."""

import numpy as np

from specflow.columns import LabelColumn, NumberColumn
from specflow.data.records.field_arrays import ArrayField
from specflow.data.records.record_source import RecordSource
from specflow.data.source import check_range

__all__ = ["record_labels"]

_MOST_INTEGERS = 20
"""Largest number of different integers that are listed as classes."""


def record_labels(
    train: RecordSource, labels: dict[str, ArrayField]
) -> dict[str, LabelColumn]:
    """Returns the columns of labels, if each label is one number.

    Args:
        train: the training rows.
        labels: the fields of labels.

    Raises:
        DataError: an integer is no index of a named class.
    """
    if any(field.shape for field in labels.values()):
        return {}
    return {name: _fitted(train, field, len(labels)) for name, field in labels.items()}


def _fitted(train: RecordSource, field: ArrayField, count: int) -> LabelColumn:
    path = "labels" if count == 1 else f"labels.{field.name}"
    values = train.column(path)
    if field.classes is not None:
        size = len(field.classes)
        check_range(train, path, 0, size, because=f"{field.name} has {size} classes")
        counts = np.bincount(values.astype(np.int64), minlength=size)
        return LabelColumn(
            kind="class", classes=field.classes, counts=tuple(counts.tolist())
        )
    scaled = NumberColumn.fit(values.astype(np.float64), scale="standardize")
    if values.dtype.kind not in "iu":
        return LabelColumn(kind="number", offset=scaled.offset, divisor=scaled.divisor)
    found, counts = np.unique(values, return_counts=True)
    few = len(found) <= _MOST_INTEGERS or np.array_equal(found, np.arange(len(found)))
    return LabelColumn(
        kind="integer",
        classes=tuple(map(str, found.tolist())) if few else (),
        counts=tuple(counts.tolist()) if few else (),
        offset=scaled.offset,
        divisor=scaled.divisor,
    )
