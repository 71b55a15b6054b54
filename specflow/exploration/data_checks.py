"""Five checks of data: missing, constant, leakage, imbalance, order."""

from collections.abc import Mapping

import numpy as np

from specflow.exploration.check_results import CheckResult, Finding
from specflow.exploration.column_statistics import DataStatistics
from specflow.exploration.leakage_check import leakage
from specflow.exploration.split_columns import SplitColumn, SplitColumns

__all__ = ["data_checks"]

_MOST_MISSING = 0.3
"""Fraction of missing values of a column."""
_MOST_DRIFT = 0.1
"""Difference of that fraction between training and evaluation."""
_MOST_RATIO = 10.0
"""Ratio of the most frequent class to the least frequent one."""
_FEWEST_ROWS = 10
"""Training rows of a class."""
_MOST_ORDER = 0.5
"""Order of the labels: 0 in a random order, 1 where rows are sorted."""


def data_checks(
    splits: Mapping[str, SplitColumns],
    statistics: DataStatistics,
    *,
    shuffle: bool | str,
) -> list[CheckResult]:
    """Runs the five checks.

    Args:
        splits: name -> columns of each split; `train` and `eval`.
        statistics: of them.
        shuffle: `data.shuffle`: False, `blocks`, or anything else for a new order of
            all rows every epoch.
    """
    return [
        _missing(statistics),
        _constant(statistics),
        leakage(splits["train"], splits["eval"]),
        _imbalance(splits["train"], splits["eval"]),
        _order(splits["train"], shuffle),
    ]


def _missing(statistics: DataStatistics) -> CheckResult:
    findings: list[Finding] = []
    largest = (0.0, "")
    for column in statistics.columns:
        shares = {
            split: each.missing / max(1, each.missing + each.count)
            for split, each in column.by_split.items()
        }
        largest = max(largest, (max(shares.values()), column.name))
        train, held = shares.get("train", 0.0), shares.get("eval", 0.0)
        if max(shares.values()) > _MOST_MISSING:
            problem = f"{train:.1%} of the training rows and {held:.1%} of the "
            problem += "evaluation rows miss it"
            expected = f"at most {_MOST_MISSING:.0%}"
            hint = f"Complete it, or leave it out: data.columns.{column.name}=ignore."
        elif abs(train - held) > _MOST_DRIFT:
            problem = f"{train:.1%} of the training rows miss it, and {held:.1%} of "
            problem += "the evaluation rows"
            expected = f"fractions that differ by at most {_MOST_DRIFT:.0%}"
            hint = "Find out why: what was learned of missing values does not hold."
        else:
            continue
        findings.append(
            Finding.of(
                "missing",
                "warning",
                column.name,
                problem,
                expected=expected,
                hint=hint,
                train=train,
                eval=held,
            )
        )
    measured = f"at most {largest[0]:.1%} of a column"
    measured += f" ({largest[1]})" if largest[0] else ""
    return CheckResult("missing", measured, tuple(findings))


def _constant(statistics: DataStatistics) -> CheckResult:
    findings = []
    for column in statistics.columns:
        train = column.by_split.get("train")
        if train is None or column.role == "id":
            continue
        values = train.distinct + (train.missing > 0)  # A missing value is one too.
        if values > 1:
            continue
        is_label = column.role == "label"
        hint = (
            "Use another column: nothing can be learned."
            if is_label
            else f"Leave it out: data.columns.{column.name}=ignore."
        )
        findings.append(
            Finding.of(
                "constant",
                "error" if is_label else "warning",
                column.name,
                f"has one value in {train.count + train.missing:,} training rows",
                expected="at least two",
                hint=hint,
                rows=train.count + train.missing,
            )
        )
    count = sum(column.role != "id" for column in statistics.columns)
    measured = f"{len(findings)} of {count} columns"
    return CheckResult("constant", measured, tuple(findings))


def _imbalance(train: SplitColumns, held: SplitColumns) -> CheckResult:
    findings, shown = [], []
    evaluated = {column.name: column for column in held.of_role("label")}
    for column in train.of_role("label"):
        if column.numbers is not None or not column.counts:
            continue
        ordered = column.counts.most_common()
        (most, many), (least, few) = ordered[0], ordered[-1]
        ratio = many / few
        shown.append(f"{ratio:.3g} : 1 in {column.name}")
        if ratio > _MOST_RATIO or few < _FEWEST_ROWS:
            problem = f"{most!r} has {many:,} training rows and {least!r} has {few:,}"
            findings.append(
                Finding.of(
                    "imbalance",
                    "warning",
                    column.name,
                    f"{problem}, {ratio:.3g} : 1",
                    expected=f"at most {_MOST_RATIO:.0f} : 1, and at least "
                    f"{_FEWEST_ROWS} rows of each class",
                    hint="Read a metric of each class (recall, auc) beside the "
                    "accuracy, weigh the loss, or gather rows of the rare class.",
                    ratio=ratio,
                    most=many,
                    least=few,
                )
            )
        other = evaluated.get(column.name)
        absent = sorted(set(column.counts) - set(other.counts)) if other else []
        if absent:
            names = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
            findings.append(
                Finding.of(
                    "imbalance",
                    "warning",
                    column.name,
                    f"{len(absent)} of {len(column.counts)} classes have no row to "
                    f"evaluate on: {names}",
                    expected="every class in both splits",
                    hint="Split by it: data.split.by=stratified data.split.column="
                    f"{column.name}.",
                    absent=len(absent),
                )
            )
    measured = ", ".join(shown) or "labels are no classes"
    return CheckResult("imbalance", measured, tuple(findings))


def _order(train: SplitColumns, shuffle: bool | str) -> CheckResult:
    findings, shown = [], []
    for column in train.of_role("label"):
        degree = order_of(column)
        shown.append(f"{degree:.2f} in {column.name}")
        if degree <= _MOST_ORDER or shuffle not in (False, "blocks"):
            continue
        how = "are not shuffled" if shuffle is False else "are shuffled by blocks"
        findings.append(
            Finding.of(
                "order",
                "warning",
                column.name,
                f"rows are sorted by it to a degree of {degree:.2f}, and {how}, so "
                "that a batch has few of its values",
                expected=f"at most {_MOST_ORDER}; 0 is a random order, 1 a sorted one",
                hint="Write the rows in a random order, or shuffle them all: "
                + (
                    "data.shuffle=rows."
                    if shuffle == "blocks"
                    else "data.shuffle=true."
                ),
                order=degree,
            )
        )
    measured = f"{', '.join(shown)} (0 random, 1 sorted)" if shown else "no labels"
    return CheckResult("order", measured, tuple(findings))


def order_of(column: SplitColumn) -> float:
    """Measures how far the rows are sorted by a column, from 0 to 1.

    The difference between neighbours, compared with that between rows of a random
    order: for classes whether they differ, for numbers its absolute value.

    >>> from specflow.columns import CodedTexts
    >>> texts = CodedTexts.of(["a"] * 50 + ["b"] * 50)
    >>> order_of(SplitColumn("y", "label", "category", texts=texts)) > 0.95
    True
    """
    if len(column) < 2 or column.kind == "array":
        return 0.0
    if column.numbers is None:
        codes = column.codes
        between = float((codes[1:] != codes[:-1]).mean())
        shares = np.bincount(codes) / len(codes)
        expected = 1.0 - float((shares**2).sum())
    else:
        values = column.numbers[~np.isnan(column.numbers)]
        between = float(np.abs(np.diff(values)).mean())
        # Mean difference of two random rows, by their ranks.
        ranks = 2 * np.arange(len(values)) - len(values) + 1
        expected = float((np.sort(values) * ranks).sum() * 2 / max(1, len(values) ** 2))
    return min(1.0, max(0.0, 1.0 - between / expected)) if expected > 0 else 0.0
