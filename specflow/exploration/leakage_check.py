"""The check for leakage: rows and columns that give the label away."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from specflow.exploration.check_results import CheckResult, Finding, Severity
from specflow.exploration.split_columns import SplitColumn, SplitColumns

__all__ = ["label_score", "leakage", "row_hashes"]

_MOST_SHARED = 0.01
"""Fraction of evaluation rows that are training rows too beyond those expected by
chance, from which it is noted."""
_FAR_SHARED = 0.2
"""The same, from which it is an error."""
_MOST_REPEATED = 0.05
"""Fraction of training rows that repeat an earlier one, likewise."""
_MOST_KNOWN = 0.99
"""Score of the label by one column alone, from which it is noted."""
_BINS = 32
_FEWEST_ROWS = 20
"""Evaluation rows below which a score means nothing."""
_LONGEST_BYTES = 64
"""Width of an array above which its rows are hashed as bytes."""

Hashes = npt.NDArray[np.uint64]


def leakage(train: SplitColumns, held: SplitColumns) -> CheckResult:
    """Finds rows in both splits, repeated rows, and columns that are the label.

    Args:
        train: columns of the training split.
        held: columns of the evaluation split.
    """
    findings = [
        *_shared_ids(train, held),
        *_shared_rows(train, held),
        *_equal_columns(train),
    ]
    best = (0.0, "")
    for label, column, score in _scores(train, held):
        best = max(best, (score, f"{column} for {label}"))
        if score >= _MOST_KNOWN:
            severity: Severity = "error" if score > 1 - 1e-9 else "warning"
            problem = (
                f"alone predicts {label} with a score of {score:.4g}; 1 is perfect"
            )
            hint = (
                "If it is not known before the label is, leave it out: "
                f"data.columns.{column}=ignore."
            )
            expected = f"less than {_MOST_KNOWN} in evaluation rows"
            findings.append(
                Finding.of(
                    "leakage",
                    severity,
                    column,
                    problem,
                    expected=expected,
                    hint=hint,
                    score=score,
                )
            )
    measured = f"one column predicts a label with a score of {best[0]:.2f}"
    return CheckResult(
        "leakage", measured + (f" ({best[1]})" if best[1] else ""), tuple(findings)
    )


def _shared_ids(train: SplitColumns, held: SplitColumns) -> Iterator[Finding]:
    known = {column.name: set(column.texts.texts) for column in train.of_role("id")}
    for column in held.of_role("id"):
        shared = sorted(set(column.texts.texts) & known.get(column.name, set()))
        if shared:
            yield Finding.of(
                "leakage",
                "error",
                column.name,
                f"{len(shared):,} ids are in both splits, such as {shared[0]!r}",
                expected="rows of one id in one split",
                hint=f"data.split.by=group data.split.column={column.name}.",
                shared=len(shared),
            )


def _shared_rows(train: SplitColumns, held: SplitColumns) -> Iterator[Finding]:
    """Yields findings of rows whose features and labels are all equal."""
    ours, theirs = row_hashes(train, held)
    repeated = 1.0 - len(np.unique(ours)) / len(ours)
    shared = float(np.isin(theirs, ours).mean())
    equal = _expected_equal(train)
    chance = -math.expm1(-equal)
    excess = shared - chance
    repeated_by_chance = max(0.0, 1.0 - chance / equal) if equal else 0.0
    if excess > _MOST_SHARED:
        yield Finding.of(
            "leakage",
            "error" if excess > _FAR_SHARED else "warning",
            "evaluation rows",
            f"{shared:.1%} of them are training rows too, in all features and labels",
            expected=f"at most {_MOST_SHARED:.0%} more than the {chance:.1%} that "
            "values of so few kinds have in common by chance",
            hint="Remove repeated rows before the split.",
            shared=shared,
            by_chance=chance,
        )
    if repeated - repeated_by_chance > _MOST_REPEATED:
        yield Finding.of(
            "leakage",
            "warning",
            "training rows",
            f"{repeated:.1%} of them repeat an earlier one in all features and labels",
            expected=f"at most {_MOST_REPEATED:.0%} more than the "
            f"{repeated_by_chance:.1%} that do by chance",
            hint="Remove the repetitions, unless they were observed as often.",
            repeated=repeated,
            by_chance=repeated_by_chance,
        )


def _expected_equal(train: SplitColumns) -> float:
    """Number of training rows that equal a row by chance.

    The columns are taken as independent within each class: the probability that two
    values are equal is the fraction of pairs of rows that have equal ones.
    """
    rows = len(train.columns[0])
    labels, features = train.of_role("label"), train.of_role("feature")
    by_class = np.zeros(rows, np.int64)
    if labels and labels[0].numbers is None:
        by_class, labels = labels[0].codes, labels[1:]
    expected = 0.0
    for members in (np.flatnonzero(by_class == c) for c in np.unique(by_class)):
        probability = 1.0
        for column in (*features, *labels):
            _, counts = np.unique(column.codes[members], return_counts=True)
            # Pairs of different rows, of which a class of one row has none.
            pairs = max(1, len(members) * (len(members) - 1))
            probability *= float((counts * (counts - 1)).sum()) / pairs
        expected += len(members) ** 2 / rows * probability
    return expected


def row_hashes(*splits: SplitColumns) -> list[Hashes]:
    """Hashes features and labels of each row, uint64 "n" for each split.

    Equal rows have equal hashes, in all splits.
    """
    hashes = [np.zeros(len(split.columns[0]), np.uint64) for split in splits]
    texts: dict[str, int] = {}
    for columns in zip(*(split.columns for split in splits), strict=False):
        if columns[0].role == "id":
            continue
        for place, column in enumerate(columns):
            for values in _integers(column, texts):
                # The finalizer of SplitMix64.
                mixed = (hashes[place] ^ values) * np.uint64(0x9E3779B97F4A7C15)
                mixed ^= mixed >> np.uint64(32)
                hashes[place] = mixed * np.uint64(0xD6E8FEB86659FD93)
    return hashes


def _integers(column: SplitColumn, texts: dict[str, int]) -> Iterator[Hashes]:
    """Yields integers of the cells, equal for equal ones."""
    if column.numbers is None:
        codes = column.texts.mapped(lambda text: texts.setdefault(text, len(texts)))
        yield codes.astype(np.uint64)
        return
    values = np.where(np.isnan(column.numbers), np.inf, column.numbers + 0.0)
    values = np.ascontiguousarray(values.reshape(len(column), -1))
    if values.shape[1] > _LONGEST_BYTES:
        digests = [xxhash.xxh3_64_intdigest(row.tobytes()) for row in values]
        yield np.array(digests, np.uint64)
        return
    for place in range(values.shape[1]):
        yield np.ascontiguousarray(values[:, place]).view(np.uint64)


def _equal_columns(train: SplitColumns) -> Iterator[Finding]:
    """Yields findings of features that are equal in every training row."""
    firsts: dict[Any, str] = {}
    for column in train.of_role("feature"):
        if column.kind == "array" or len(np.unique(column.codes)) < 2:
            continue
        if column.numbers is None:
            key = column.codes.tobytes()
        else:
            key = column.numbers.tobytes()
        key = (column.numbers is None, hash(key))
        if key in firsts:
            yield Finding.of(
                "leakage",
                "warning",
                column.name,
                f"is equal to {firsts[key]} in all {len(column):,} training rows",
                expected="columns that differ",
                hint=f"Leave one out: data.columns.{column.name}=ignore.",
                rows=len(column),
            )
        firsts.setdefault(key, column.name)


def _scores(
    train: SplitColumns, held: SplitColumns
) -> Iterator[tuple[str, str, float]]:
    """Yields label, column, and how well the column alone predicts the label."""
    if len(held.columns[0]) < _FEWEST_ROWS:
        return
    theirs: Mapping[tuple[str, str], SplitColumn] = {
        (column.role, column.name): column for column in held.columns
    }
    features = [c for c in train.of_role("feature") if c.kind != "array"]
    for label, column in itertools.product(train.of_role("label"), features):
        pair = theirs.get(("label", label.name)), theirs.get(("feature", column.name))
        if pair[0] is not None and pair[1] is not None and label.kind != "array":
            score = label_score((label, pair[0]), (column, pair[1]))
            yield label.name, column.name, score


def label_score(label: Sequence[SplitColumn], column: Sequence[SplitColumn]) -> float:
    """Scores a prediction of the label from one column, made without a model.

    Each value of the column, or each of 32 bins of equally many numbers, predicts what
    its training rows have: the most frequent class, or the mean. Numbers are predicted
    by a straight line too.

    Args:
        label: of the training and of the evaluation split.
        column: likewise.

    Returns:
        For classes the fraction of the errors of the most frequent class that the
        column avoids, for numbers R², in evaluation rows; at least 0.
    """
    bins, held_bins = _bins(*column)
    if label[0].numbers is None:
        return _class_score(label, bins, held_bins)
    y, held_y = label[0].numbers, label[1].numbers
    assert held_y is not None
    means = np.full(int(max(bins.max(), held_bins.max())) + 1, y.mean())
    counts = np.bincount(bins, minlength=len(means))
    sums = np.bincount(bins, weights=y, minlength=len(means))
    np.divide(sums, counts, out=means, where=counts > 0)
    predictions = [means[held_bins]]
    x, held_x = column[0].numbers, column[1].numbers
    if (
        x is not None
        and held_x is not None
        and not np.isnan(x).any()
        and not np.isnan(held_x).any()
    ):
        centered = x - x.mean()
        slope = (centered * y).sum() / max((centered**2).sum(), 1e-300)
        predictions.append(y.mean() + slope * (held_x - x.mean()))
    variance = ((held_y - held_y.mean()) ** 2).sum()
    if not variance:
        return 0.0
    errors = [float(((each - held_y) ** 2).sum()) for each in predictions]
    return max(0.0, 1.0 - min(errors) / float(variance))


def _class_score(
    label: Sequence[SplitColumn],
    bins: npt.NDArray[np.int64],
    held_bins: npt.NDArray[np.int64],
) -> float:
    places = {text: place for place, text in enumerate(label[0].texts.texts)}
    y = label[0].codes
    held_y = label[1].texts.mapped(lambda text: places.get(text, -1))
    most = int(np.bincount(y).argmax())
    size = int(max(bins.max(), held_bins.max())) + 1
    counts = np.bincount(bins * len(places) + y, minlength=size * len(places))
    counts = counts.reshape(size, len(places))
    predicted = np.where(counts.any(axis=1), counts.argmax(axis=1), most)[held_bins]
    wrong = float((held_y != most).mean())
    return max(0.0, 1.0 - float((held_y != predicted).mean()) / wrong) if wrong else 0.0


def _bins(
    column: SplitColumn, held: SplitColumn
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places of the values of a column, in both splits."""
    if column.numbers is None or held.numbers is None:
        places: dict[str, int] = {}
        return tuple(  # type: ignore[return-value]
            each.texts.mapped(lambda text: places.setdefault(text, len(places)))
            for each in (column, held)
        )
    present = column.numbers[~np.isnan(column.numbers)]
    edges = np.unique(present)
    if len(edges) > _BINS:
        edges = np.unique(np.quantile(present, np.linspace(0, 1, _BINS + 1)[1:-1]))
    return tuple(  # type: ignore[return-value]
        np.where(
            np.isnan(each), len(edges) + 1, np.searchsorted(edges, each, side="right")
        )
        for each in (column.numbers, held.numbers)
    )
