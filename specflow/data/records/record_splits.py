"""Divides training records by the declared rule and its field."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.config.sections.records import RecordsConfig
from specflow.data.records.records import Records
from specflow.data.table.row_splits import (
    SPLITS,
    Split,
    by_rule,
    by_time,
    hash_units,
)
from specflow.diagnostics.errors import DataError, Diagnostic, did_you_mean, nearest

__all__ = ["record_splits"]

_BLOCK = 1 << 14
"""Records that are read at once."""


def record_splits(
    config: RecordsConfig, records: Records, fractions: tuple[float, float]
) -> Split:
    """Returns the index of the split of each record, int8 "n", as for a table.

    Args:
        config: the rule, and the fold that is evaluated on.
        records: the training records.
        fractions: of evaluation and test records.

    Raises:
        DataError: the field of the rule is missing in a record, or has no value of the
            kind that the rule reads.
    """
    split, field = config.split, str(config.split.field)
    units = strata = None
    if split.by == "column":
        return _named(records, field)
    if split.by == "time":
        return by_time(_numbers(records, field), fractions)
    if split.by in ("hash", "group"):
        names = config.id if split.field is None else [field]
        columns = [_texts(records, name) for name in names]
        keys = ["\x1f".join(row) for row in zip(*columns, strict=True)]
        units = hash_units(keys, split.seed)
    elif split.by == "stratified":
        strata = _texts(records, field)
    return by_rule(
        len(records),
        fractions,
        split.seed,
        units=units,
        strata=strata,
        folds=split.folds,
        fold=config.fold,
    )


def _named(records: Records, field: str) -> Split:
    """Splits that a field names."""
    numbers = np.empty(len(records), np.int8)
    for row, value in _values(records, field):
        name = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if name not in SPLITS:
            hint = did_you_mean(nearest(str(name), SPLITS))
            raise _wrong(records, row, field, name, "train, eval or test", hint)
        numbers[row] = SPLITS.index(str(name))
    return numbers


def _numbers(records: Records, field: str) -> npt.NDArray[np.float64]:
    """Numbers of a field, by which records are ordered."""
    numbers = np.empty(len(records), np.float64)
    for row, value in _values(records, field):
        array = np.asarray(value)
        if array.size != 1 or array.dtype.kind not in "iuf" or not np.isfinite(array):
            expected = "one number, by which data.split orders records"
            raise _wrong(records, row, field, value, expected)
        numbers[row] = array.reshape(())
    return numbers


def _texts(records: Records, field: str) -> Sequence[str]:
    """Values of a field as texts."""
    return [
        value.hex() if isinstance(value, bytes) else str(np.asarray(value))
        for _, value in _values(records, field)
    ]


def _values(records: Records, field: str) -> Iterator[tuple[int, Any]]:
    """Yields the number of each record, and its value of a field.

    Raises:
        DataError: a record has none.
    """
    for start in range(0, len(records), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(records)))
        values = records.read(rows, [field]).get(field)
        for index, row in enumerate(rows.tolist()):
            value = None if values is None else values[index]
            if value is None:
                raise DataError(
                    Diagnostic(
                        records.place(row),
                        f"{field} is missing",
                        expected="a value, by which data.split divides records",
                        code="record-value",
                    )
                )
            yield row, value


def _wrong(
    records: Records, row: int, field: str, value: Any, expected: str, hint: str = ""
) -> DataError:
    return DataError(
        Diagnostic(
            records.place(row),
            f"{field} is {value!r}",
            expected=expected,
            hint=hint,
            code="record-value",
        )
    )
