"""Statistics of numbers in blocks, against math.fsum and NumPy over all of them."""

import fractions
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specflow.columns import NumberColumn
from specflow.columns.exact_sum import exact_partials
from specflow.columns.order_statistics import OrderStatistics

ANY = st.floats(allow_nan=False, allow_infinity=False)
NEAR = st.floats(-1e6, 1e6)
SETTINGS = [
    {},
    {"transform": "log1p", "clip": (0.0, 50.0)},
    {"quantiles": 5, "missing": "median"},
    {"scale": "minmax", "missing": "median"},
    {"buckets": [-1.0, 2.5]},
]


@given(st.lists(st.one_of(ANY, NEAR), max_size=60))
def test_partials_have_the_exact_sum_of_the_numbers(numbers):
    exact = sum(map(fractions.Fraction, numbers), fractions.Fraction())
    partials = exact_partials(np.array(numbers, np.float64))
    assert sum(map(fractions.Fraction, partials), fractions.Fraction()) == exact


def test_sums_of_many_numbers_are_those_of_fsum():
    rng = np.random.default_rng(0)
    for numbers in (
        rng.normal(size=100_001),
        np.exp(rng.normal(0.0, 30.0, 70_000)) * rng.choice([-1.0, 1.0], 70_000),
        rng.integers(-(2**52), 2**52, 40_000).astype(np.float64),
        np.full(1 << 16, -math.nextafter(1024.0, 0.0)),  # The largest sum of a chunk.
        rng.normal(size=1_000) * 1e-309,
    ):
        largest = float(np.abs(numbers).max())
        for bound in (None, largest, 3.0 * largest):
            assert math.fsum(exact_partials(numbers, bound)) == math.fsum(numbers)


@settings(max_examples=50)
@given(st.lists(ANY, min_size=1, max_size=40), st.integers(2, 6))
def test_quantiles_are_those_of_numpy(numbers, count):
    probabilities = np.linspace(0.0, 1.0, count + 1)
    statistics = OrderStatistics(probabilities.tolist())
    while statistics.passes_left:
        for start in range(0, len(numbers), 7):
            statistics.add(np.array(numbers[start : start + 7]))
        statistics.end_pass()
    with np.errstate(over="ignore", invalid="ignore"):
        expected = np.quantile(numbers, probabilities)
    np.testing.assert_array_equal(statistics.values(), expected)


@pytest.mark.parametrize("declared", SETTINGS)
@settings(max_examples=25)
@given(
    st.lists(st.one_of(NEAR, st.just(math.nan)), min_size=1, max_size=40),
    st.integers(5, 20),
    st.randoms(use_true_random=False),
)
def test_blocks_in_any_order_fit_the_same_column(declared, numbers, size, random):
    numbers = [*numbers, 1.0]
    expected = NumberColumn.fit(np.array(numbers), **declared)
    statistics = NumberColumn.statistics(**declared)
    while statistics.passes_left:
        shuffled = random.sample(numbers, len(numbers))
        for start in range(0, len(shuffled), size):
            statistics.add(np.array(shuffled[start : start + size]))
        statistics.end_pass()
    assert NumberColumn.fitted(statistics, **declared) == expected
