"""Laws of the orders of rows: each epoch a permutation, the same from anywhere."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from specflow.data.row_order import BlockOrder, FullOrder

SIZES = st.lists(st.integers(0, 9), min_size=1, max_size=9).filter(sum)
WINDOWS = st.integers(1, 30)
SEEDS = st.one_of(st.integers(0, 9), st.integers(2**32, 2**40))


@given(SIZES, WINDOWS, SEEDS, st.integers(0, 3), st.booleans())
def test_every_epoch_is_a_permutation_of_all_rows(sizes, window, seed, epoch, shuffle):
    order = BlockOrder(sizes, window, seed, shuffle=shuffle)
    rows = order.rows(epoch, 0, sum(sizes))
    assert sorted(rows.tolist()) == list(range(sum(sizes)))
    if not shuffle:
        assert rows.tolist() == sorted(rows)


@given(SIZES, WINDOWS, SEEDS, st.integers(0, 80), st.integers(0, 80))
def test_any_part_is_that_of_the_whole_epoch(sizes, window, seed, start, stop):
    whole = BlockOrder(sizes, window, seed).rows(1, 0, sum(sizes))
    part = BlockOrder(sizes, window, seed).rows(1, start, stop)
    assert part.tolist() == whole[start:stop].tolist()


@given(SIZES, WINDOWS, SEEDS)
def test_windows_have_whole_blocks_and_no_more_rows_than_fit(sizes, window, seed):
    order = BlockOrder(sizes, window, seed)
    firsts = np.cumsum([0, *sizes])
    at = 0
    for each in order.windows(0):
        assert each.start == at
        at = each.stop
        blocks = [np.arange(firsts[b], firsts[b + 1]) for b in each.blocks]
        assert sorted(order.rows(0, each.start, each.stop)) == sorted(
            np.concatenate(blocks)
        )
        assert each.stop - each.start <= window or len(each.blocks) == 1
        assert order.window_after(each).start in (each.stop, 0)
    assert at == sum(sizes)


def test_epochs_and_seeds_have_different_orders_of_blocks_and_rows():
    orders = [
        tuple(BlockOrder([50] * 8, 100, seed).rows(epoch, 0, 400).tolist())
        for seed in (0, 1, 2**32, 2**33)
        for epoch in range(4)
    ]
    assert len(set(orders)) == len(orders)
    blocks = {BlockOrder([50] * 8, 100, 0).windows(e)[0].blocks for e in range(8)}
    assert len(blocks) > 4


def test_rows_of_a_window_are_uniform():
    # 4 rows in one window: each of 24 permutations is expected 50 times. Chi-squared
    # with 23 degrees of freedom has mean 23 and standard deviation 6.8.
    counts = {}
    for seed in range(1_200):
        rows = tuple(BlockOrder([1, 1, 2], 4, seed).rows(1, 0, 4).tolist())
        counts[rows] = counts.get(rows, 0) + 1
    found = np.array([*counts.values(), *[0] * (24 - len(counts))])
    assert abs(((found - 50) ** 2 / 50).sum() - 23) < 4 * 6.8


def test_a_full_order_is_numpys_permutation():
    # As recorded before orders were a class: resumed runs depend on it.
    order = FullOrder(7, seed=3, shuffle=True)
    expected = np.random.default_rng([3, 2]).permutation(7)
    assert order.rows(2, 0, 7).tolist() == expected.tolist()
    assert order.rows(2, 5, 99).tolist() == expected[5:].tolist()
