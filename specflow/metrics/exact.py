"""Sums without rounding, so that no order of adding and no cut of the data shows.

A sum of floats is a rational number. Kept as one, it is the same however it was put
together, and it is rounded once, when the metric is read.
"""

import math
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int, Num

__all__ = ["Exact", "exact_sum", "exact_sums", "group_sums", "plus", "ratio"]

Exact: TypeAlias = int | Fraction | float
"""A number without rounding error: a count, a sum; a float only if it is not finite."""

_SPLITTER = 2.0**27 + 1.0


def exact_sum(*factors: Num[np.ndarray, " n"]) -> Exact:
    """The sum over rows of the product of the factors, exact for ordinary magnitudes.

    Args:
        *factors: one or more tensors of one value a row; taken as float64.

    Returns:
        A Fraction; or, with an infinity or a NaN among the rows, what they add up to.
        Products beyond float64's range overflow, or lose their last bits, row by row.

    >>> float(exact_sum(np.array([1e20, 1.0, -1e20])))
    1.0
    >>> exact_sum(np.array([0.5, 3.0]), np.array([2.0, 0.25]))
    Fraction(7, 4)
    """
    return group_sums(np.zeros(np.shape(factors[0]), np.intp), 1, *factors)[0]


def group_sums(
    group: Int[np.ndarray, " n"], groups: int, *factors: Num[np.ndarray, " n"]
) -> list[Exact]:
    """`exact_sum` of each group of rows.

    Args:
        group: the group of each row, in [0, groups).
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
    # Each kind once: an infinity or a NaN adds up to the same however often.
    strange = zip(group[~finite].tolist(), values[~finite].tolist(), strict=True)
    for index, value in set(strange):
        totals[index] = plus(totals[index], value)
    return totals


def exact_sums(
    values: Float[np.ndarray, " n"], group: Int[np.ndarray, " n"], groups: int
) -> list[Fraction]:
    """The exact sum of each group of rows.

    Each round cuts the values at one binary digit, so high up that the upper parts add
    up without rounding, in any order; the lower parts are left to the next round.

    Args:
        values: finite float64.
        group: the group of each row, in [0, groups).
        groups: number of groups.

    Source: Rump, Ogita & Oishi, Accurate Floating-Point Summation Part I, 2008,
    algorithm 3.2 (ExtractVector).

    >>> exact_sums(np.array([0.5, 1.0, 0.25]), np.array([0, 1, 0]), 2)
    [Fraction(3, 4), Fraction(1, 1)]
    """
    totals = [Fraction(0)] * groups
    headroom = values.size.bit_length()
    while biggest := float(np.abs(values).max(initial=0.0)):
        exponent = math.frexp(biggest)[1] + headroom
        if exponent > 1023:
            for index, value in zip(group.tolist(), values.tolist(), strict=True):
                totals[index] += Fraction(value)
            break
        cut = math.ldexp(1.0, exponent)
        upper = (cut + values) - cut
        sums = np.bincount(group, weights=upper, minlength=groups)
        for index in np.flatnonzero(sums).tolist():
            totals[index] += Fraction(sums[index].item())
        values = values - upper
    return totals


def plus(a: Exact, b: Exact) -> Exact:
    """The sum of two exact numbers; what is not finite outweighs what is.

    >>> plus(1, Fraction(1, 2)), plus(Fraction(1, 2), math.inf)
    (Fraction(3, 2), inf)
    """
    strange = [number for number in (a, b) if isinstance(number, float)]
    if not strange:
        return a + b
    total = sum(strange)
    # One NaN object for all: states that hold it compare equal, and it has no sign.
    return math.nan if math.isnan(total) else total


def ratio(total: Exact, count: Exact) -> float:
    """`total / count`, rounded once; NaN without anything to divide by.

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


def _products(
    a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]
) -> list[Float[np.ndarray, " n"]]:
    """The rounded products and, if there are any, their rounding errors.

    Source: Dekker, A floating-point technique for extending the available precision,
    1971 (Mul12, with Veltkamp's splitting).
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        product = a * b
        (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
        error = a_low * b_low - (
            ((product - a_high * b_high) - a_low * b_high) - a_high * b_low
        )
    # Splitting overflows some 2**27 below the largest float: such products are rounded.
    error[~np.isfinite(error)] = 0.0
    return [product, error] if error.any() else [product]


def _halves(
    values: Float[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Two numbers of 26 bits whose sum is the value."""
    scaled = _SPLITTER * values
    high = scaled - (scaled - values)
    return high, values - high
