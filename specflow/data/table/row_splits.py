"""Splits rows into training, evaluation and test rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from specflow.columns import CodedTexts

__all__ = [
    "SPLITS",
    "STABLE_RULES",
    "by_hash",
    "by_rule",
    "by_stratum",
    "by_time",
    "folded",
    "hash_units",
    "randomly",
]

SPLITS = ("train", "eval", "test")
"""Names of the splits; a row's split is its index here."""
STABLE_RULES = ("hash", "group", "column")
"""Rules by which a row stays in its split when the files change."""
TRAIN, EVAL, TEST = range(3)

Split = npt.NDArray[np.int8]
"""Index of the split of each row, int8 "n"."""
Rows = npt.NDArray[np.int64]
"""Numbers of rows, ascending."""


def randomly(rows: int, fractions: tuple[float, float], seed: int) -> Split:
    """Draws `round(rows * fraction)` evaluation and test rows.

    Args:
        rows: number of rows.
        fractions: of evaluation and test rows.
        seed: of the draw.

    >>> np.bincount(randomly(10, (0.2, 0.1), seed=0)).tolist()
    [7, 2, 1]
    """
    order = np.random.default_rng(seed).permutation(rows)
    evaluated, tested = (round(rows * fraction) for fraction in fractions)
    split = np.zeros(rows, np.int8)
    split[order[:tested]] = TEST
    split[order[tested : tested + evaluated]] = EVAL
    return split


def hash_units(texts: Sequence[str], seed: int) -> npt.NDArray[np.float64]:
    """Hashes texts to [0, 1): equal texts to equal numbers, in any table.

    >>> hash_units(["a", "b", "a"], seed=0).round(3).tolist()
    [0.901, 0.341, 0.901]
    """

    def unit(text: str) -> float:
        content = text.encode("utf-8", "surrogatepass")
        return (xxhash.xxh3_64_intdigest(content, seed=seed) >> 11) / 2**53

    return CodedTexts.of(texts).mapped(unit)


def by_hash(units: npt.NDArray[np.float64], fractions: tuple[float, float]) -> Split:
    """Assigns rows by their hash, so that equal ones are in one split.

    The split of a row depends on nothing else: it stays when rows are appended.

    Args:
        units: from `hash_units`.
        fractions: of evaluation and test rows, on average over hashes.
    """
    evaluated, tested = fractions
    split = np.zeros(len(units), np.int8)
    split[units < tested + evaluated] = EVAL
    split[units < tested] = TEST
    return split


def by_stratum(
    strata: Sequence[str], fractions: tuple[float, float], seed: int
) -> Split:
    """Draws equal fractions of every stratum, to the row.

    In each stratum, and in all together, the number of rows of a split differs from its
    fraction by at most 1.

    >>> split = by_stratum(["a"] * 5 + ["b"] * 5, (0.2, 0.2), seed=0)
    >>> np.bincount(split[:5]).tolist(), np.bincount(split[5:]).tolist()
    ([3, 1, 1], [3, 1, 1])
    """
    random = np.random.default_rng(seed)
    split = np.zeros(len(strata), np.int8)
    seen, taken = 0, [0, 0]
    for rows in _members(strata):
        order = random.permutation(rows)
        seen += len(rows)
        start = 0
        for which, (name, fraction) in enumerate(
            zip((TEST, EVAL), reversed(fractions), strict=True)
        ):
            # Rounded over all strata so far: the total is right as well.
            count = _bounded(round(seen * fraction) - taken[which], len(rows), fraction)
            count = min(count, len(rows) - start)
            split[order[start : start + count]] = name
            taken[which] += count
            start += count
    return split


def by_time(times: npt.NDArray[np.float64], fractions: tuple[float, float]) -> Split:
    """Holds out the last rows by time: training, then evaluation, then test rows.

    Rows of one time are in one split, the later one.

    >>> by_time(np.array([3.0, 1.0, 2.0, 4.0]), (0.25, 0.25)).tolist()
    [1, 0, 0, 2]
    """
    rows, ordered = len(times), np.sort(times)
    evaluated, tested = fractions
    split = np.zeros(rows, np.int8)
    for name, fraction in ((EVAL, evaluated + tested), (TEST, tested)):
        if count := round(rows * fraction):
            split[times >= ordered[rows - count]] = name
    return split


def folded(
    split: Split,
    folds: int,
    fold: int,
    *,
    seed: int,
    strata: Sequence[str] | None = None,
    units: npt.NDArray[np.float64] | None = None,
    tested: float = 0.0,
) -> Split:
    """Divides all rows but the test rows into folds, and evaluates on one of them.

    Args:
        split: with the test rows; all others are divided.
        folds: number of folds.
        fold: the fold that is evaluated on.
        seed: of the draw.
        strata: each fold has equally many rows of every stratum, to the row.
        units: hashes of the rows: equal ones are in one fold.
        tested: fraction of test rows by hash.
    """
    rest = np.flatnonzero(split != TEST)
    if units is not None:
        numbers = ((units[rest] - tested) / (1.0 - tested) * folds).astype(np.int64)
    else:
        random = np.random.default_rng([seed, folds])
        groups = (
            [rest] if strata is None else _members(CodedTexts.of(strata).take(rest))
        )
        order = np.concatenate(
            [
                random.permutation(group if strata is None else rest[group])
                for group in groups
            ]
        )
        # Dealt out in turn: sizes differ by one row at most, in every stratum too.
        numbers = np.empty(len(rest), np.int64)
        numbers[np.searchsorted(rest, order)] = np.arange(len(rest)) % folds
    divided = np.where(split == TEST, TEST, TRAIN).astype(np.int8)
    divided[rest[numbers == fold]] = EVAL
    return divided


def by_rule(
    rows: int,
    fractions: tuple[float, float],
    seed: int,
    *,
    units: npt.NDArray[np.float64] | None = None,
    strata: Sequence[str] | None = None,
    folds: int | None = None,
    fold: int | None = None,
) -> Split:
    """Divides rows by their hashes, by strata, or at random, or into folds.

    Args:
        rows: number of rows.
        fractions: of evaluation and test rows; with folds the first has no meaning.
        seed: of the draw.
        units: hashes of the rows; None: they do not decide.
        strata: of the rows; None: there are none.
        folds: number of folds; None: none.
        fold: the one that is evaluated on.

    >>> np.bincount(by_rule(10, (0.2, 0.0), 0, folds=5, fold=4)).tolist()
    [8, 2]
    """
    if folds is not None:
        fractions = (0.0, fractions[1])
    if units is not None:
        divided = by_hash(units, fractions)
    elif strata is not None:
        divided = by_stratum(strata, fractions, seed)
    else:
        divided = randomly(rows, fractions, seed)
    if folds is None or fold is None:
        return divided
    tested = fractions[1]
    return folded(
        divided, folds, fold, seed=seed, strata=strata, units=units, tested=tested
    )


def _members(strata: Sequence[str]) -> list[npt.NDArray[Any]]:
    """Rows of each stratum, in the order of their texts."""
    coded = CodedTexts.of(strata)
    order = np.argsort(coded.codes, kind="stable")
    counts = np.bincount(coded.codes, minlength=len(coded.texts))
    members = np.split(order, np.cumsum(counts)[:-1]) if len(order) else []
    pairs = sorted(zip(coded.texts, members, strict=True), key=lambda pair: pair[0])
    return [rows for _, rows in pairs if rows.size]


def _bounded(count: int, rows: int, fraction: float) -> int:
    """The count of a stratum, less than one row from its own fraction."""
    exact = rows * fraction
    return int(min(max(count, np.floor(exact)), np.ceil(exact)))
