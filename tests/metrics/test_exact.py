"""Exact sums against Python's own rational numbers."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.metrics.exact import exact_sum, exact_sums, plus, ratio

finite = st.floats(allow_nan=False, allow_infinity=False)
ordinary = st.floats(-1e60, 1e60).filter(lambda value: not 0.0 < abs(value) < 1e-60)


@given(st.lists(finite, max_size=300))
def test_a_sum_is_the_rational_sum(values):
    assert exact_sum(np.array(values)) == sum(map(Fraction, values))


@given(st.lists(st.tuples(finite, st.integers(0, 4)), max_size=100))
def test_the_sum_of_each_group_is_its_rational_sum(rows):
    values = np.array([value for value, _ in rows], np.float64)
    groups = np.array([group for _, group in rows], np.intp)
    expected = [sum(Fraction(v) for v, g in rows if g == each) for each in range(5)]
    assert exact_sums(values, groups, 5) == expected


@given(st.lists(st.tuples(ordinary, ordinary, ordinary), max_size=50))
def test_a_sum_of_products_is_the_rational_sum_of_products(rows):
    columns = np.array(rows, np.float64).reshape(-1, 3).T
    expected = sum(Fraction(a) * Fraction(b) * Fraction(c) for a, b, c in rows)
    assert exact_sum(*columns) == expected


def test_a_million_rows_sum_as_fsum_does():
    rng = np.random.default_rng(0)
    values = rng.standard_normal(1_000_000) * 10.0 ** rng.integers(-30, 30, 1_000_000)
    assert float(exact_sum(values)) == math.fsum(values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, math.inf, 2.0], math.inf),
        ([-math.inf, -math.inf], -math.inf),
        ([math.inf, -math.inf], math.nan),
        ([math.nan, 1e308, 1e308], math.nan),
    ],
)
def test_infinities_and_nan_propagate(values, expected):
    total = exact_sum(np.array(values))
    assert total == pytest.approx(expected, nan_ok=True)
    more = plus(total, Fraction(10) ** 400)
    assert more == pytest.approx(expected, nan_ok=True)


def test_products_too_large_for_float64_are_infinite():
    assert exact_sum(np.array([1e200, 1.0]), np.array([1e200, 1.0])) == math.inf


def test_a_ratio_is_rounded_once():
    # 2**53 + 1 is no float64: rounding the parts first would give 1.0.
    assert ratio(2**54 + 2, 2**53 + 1) == 2.0
    assert ratio(Fraction(1, 3), Fraction(1, 7)) == 7 / 3


def test_a_ratio_too_large_for_float64_is_infinite():
    assert ratio(-(10**400), 1) == -math.inf
    assert ratio(math.inf, 3) == math.inf
