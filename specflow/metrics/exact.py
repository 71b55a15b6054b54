"""Exact sums, which do not depend on the order of additions or on the batch size.

A sum of floats is a rational number. Kept as one, it is the same for any order, and it
is rounded once, when the metric is computed.
"""

import math
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int, Num

__all__ = ["Exact", "exact_sum", "exact_sums", "group_sums", "plus", "ratio"]

Exact: TypeAlias = int | Fraction | float
"""Number without rounding error: a count or a sum; a float only if not finite."""

_SPLITTER = 2.0**27 + 1.0
_FLOAT64 = np.dtype(np.float64)
"""A dtype: to look up that of a type takes as long as to cast a batch."""


def exact_sum(*factors: Num[np.ndarray, " n"]) -> Exact:
    """Sums the product of the factors over rows, exactly for ordinary magnitudes.

    Args:
        *factors: one or more tensors with one value per row; cast to float64.

    Returns:
        A Fraction; or, if rows hold infinities or NaN, the float sum of these. Products
        beyond the range of float64 overflow, or lose their last bits, row by row.

    >>> float(exact_sum(np.array([1e20, 1.0, -1e20])))
    1.0
    >>> exact_sum(np.array([0.5, 3.0]), np.array([2.0, 0.25]))
    Fraction(7, 4)
    """
    if len(factors) == 1 and (given := np.asarray(factors[0])).ndim == 1:
        values = given if given.dtype == _FLOAT64 else given.astype(_FLOAT64)
        # The root of the sum of squares bounds every magnitude (doubled: whatever the
        # rounding), in fewer operations; squares of 32 bits do not overflow in 64.
        is_narrow = given.dtype.itemsize <= 4
        largest = 2.0 * math.sqrt(values.dot(values)) if is_narrow else _largest(values)
        if math.isfinite(largest):
            return _total(values, largest)
    return group_sums(np.zeros(np.shape(factors[0]), np.intp), 1, *factors)[0]


def group_sums(
    group: Int[np.ndarray, " n"], groups: int, *factors: Num[np.ndarray, " n"]
) -> list[Exact]:
    """Sums the product of the factors over each group of rows; see `exact_sum`.

    Args:
        group: group index of each row, in [0, groups).
        groups: number of groups.
        *factors: as for `exact_sum`.

    >>> values = np.array([0.5, 1.0, 0.25, math.inf])
    >>> group_sums(np.array([0, 1, 0, 2]), 3, values)
    [Fraction(3, 4), Fraction(1, 1), inf]
    """
    terms = [np.asarray(factors[0], np.float64)]
    for factor in factors[1:]:
        other = np.asarray(factor, np.float64)
        terms = [part for term in terms for part in _products(term, other)]
    values = terms[0] if len(terms) == 1 else np.concatenate(terms)
    group = np.tile(group, len(terms))
    finite = np.isfinite(values)
    if finite.all():
        return [*exact_sums(values, group, groups)]
    totals: list[Exact] = [*exact_sums(values[finite], group[finite], groups)]
    # Each value once: the sum of infinities or NaN does not depend on their number.
    not_finite = zip(group[~finite].tolist(), values[~finite].tolist(), strict=True)
    for index, value in set(not_finite):
        totals[index] = plus(totals[index], value)
    return totals


def exact_sums(
    values: Float[np.ndarray, " n"], group: Int[np.ndarray, " n"], groups: int
) -> list[Fraction]:
    """Sums each group of rows exactly.

    Each round splits the values at one binary digit, so high that the upper parts are
    summed without rounding, in any order; the lower parts remain for the next round.

    Args:
        values: finite float64.
        group: group index of each row, in [0, groups).
        groups: number of groups.

    Source: Rump, Ogita & Oishi, Accurate Floating-Point Summation Part I, 2008,
    algorithm 3.2 (ExtractVector).

    >>> exact_sums(np.array([0.5, 1.0, 0.25]), np.array([0, 1, 0]), 2)
    [Fraction(3, 4), Fraction(1, 1)]
    """
    totals = [Fraction(0)] * groups
    while largest := _largest(values):
        split = _split(largest, values.size)
        if math.isinf(split):
            for index, value in zip(group.tolist(), values.tolist(), strict=True):
                totals[index] += Fraction(value)
            break
        upper = (split + values) - split
        sums = np.bincount(group, weights=upper, minlength=groups)
        for index in np.flatnonzero(sums).tolist():
            totals[index] += Fraction(sums[index].item())
        values = values - upper
    return totals


def plus(a: Exact, b: Exact) -> Exact:
    """Adds two exact numbers; infinities and NaN propagate.

    >>> plus(1, Fraction(1, 2)), plus(Fraction(1, 2), math.inf)
    (Fraction(3, 2), inf)
    """
    if not (isinstance(a, float) or isinstance(b, float)):
        return a + b
    total = sum(number for number in (a, b) if isinstance(number, float))
    # The same NaN object for all, so that states that hold it compare equal.
    return math.nan if math.isnan(total) else total


def ratio(total: Exact, count: Exact) -> float:
    """Returns `total / count`, rounded once; NaN if `count` is 0.

    >>> ratio(1, 3), ratio(Fraction(1, 10), 1), ratio(0, 0)
    (0.3333333333333333, 0.1, nan)
    """
    if not count:
        return math.nan
    if isinstance(total, float) or isinstance(count, float):
        return float(total) / float(count)
    try:
        return float(Fraction(total) / Fraction(count))
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def _largest(values: Float[np.ndarray, " n"]) -> float:
    """Returns the largest magnitude; infinity or NaN if a value is not finite."""
    return float(np.maximum.reduce(np.abs(values), initial=0.0))


def _split(largest: float, count: int) -> float:
    """Returns a number whose last digit is the split of the values, or infinity."""
    exponent = math.frexp(largest)[1] + count.bit_length()
    return math.ldexp(1.0, exponent) if exponent <= 1023 else math.inf


def _total(values: Float[np.ndarray, " n"], largest: float) -> Fraction:
    """Returns `exact_sums` of one group, in fewer operations.

    Args:
        values: finite float64.
        largest: a finite number of at least the largest magnitude.
    """
    split = _split(largest, values.size)
    if math.isinf(split):
        return sum(map(Fraction, values.tolist()), Fraction(0))
    upper = (split + values) - split
    total = Fraction(float(np.add.reduce(upper)))
    if upper.tobytes() == values.tobytes():  # A quarter of the time of a subtraction.
        return total
    lower = values - upper
    if np.count_nonzero(lower):
        total += _total(lower, _largest(lower))
    return total


def _products(
    a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]
) -> list[Float[np.ndarray, " n"]]:
    """Returns the rounded products and, unless all are 0, their rounding errors.

    Source: Dekker, A floating-point technique for extending the available precision,
    1971 (Mul12, with Veltkamp's splitting).
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        product = a * b
        (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
        error = a_low * b_low - (
            ((product - a_high * b_high) - a_low * b_high) - a_high * b_low
        )
    # Splitting overflows within 2**27 of the largest float: such products are rounded.
    error[~np.isfinite(error)] = 0.0
    return [product, error] if error.any() else [product]


def _halves(
    values: Float[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Splits values into two numbers of 26 bits whose sum is the value."""
    scaled = _SPLITTER * values
    high = scaled - (scaled - values)
    return high, values - high
