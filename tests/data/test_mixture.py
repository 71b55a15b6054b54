"""Laws of mixtures: exact shares in every prefix, the same rows from anywhere."""

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from specflow.data import (
    ArraySource,
    BatchPlan,
    JoinedSource,
    MixtureSource,
    Share,
    as_train_batches,
    epoch_length,
)
from specflow.data.mixture import mixture_epoch, mixture_weights
from specflow.data.part_order import PartOrder, exact_weight, whole_weights
from specflow.data.row_order import BlockOrder
from specflow.diagnostics.errors import DataError

weights = st.lists(st.integers(1, 60), min_size=1, max_size=7)
decimals = st.lists(
    st.decimals("0.001", "1", places=3).map(float), min_size=2, max_size=6
)


def _mixture(sizes, part_weights=None, **options):
    """Parts whose rows are 1000 times the part plus the row."""
    parts = {f"p{i}": np.arange(rows) + 1000 * i for i, rows in enumerate(sizes)}
    given_weights = part_weights and dict(zip(parts, part_weights, strict=True))
    return MixtureSource(parts, weights=given_weights, **options)


def _stream(source, rows, *, first=0, **options):
    """Rows of the stream, as the model gets them."""
    plan = BatchPlan(source, 1, **options)
    return plan.rows(first, rows)[0].reshape(-1)


@given(decimals)
def test_every_prefix_has_every_share_to_within_less_than_one_row(shares):
    exact = [Fraction(str(share)) for share in shares]
    order = PartOrder(whole_weights([exact_weight(share) for share in shares]))
    rows = min(2 * order.period + 3, 4000)
    parts, _ = order.at(0, rows)
    counts = np.cumsum(np.eye(len(shares), dtype=np.int64)[parts], axis=0)
    for part, share in enumerate(exact):
        # In whole numbers, exactly: the bound of Tijdeman is 1 - 1 / (2k - 2).
        weight = share / sum(exact)
        bound = 1 - Fraction(1, 2 * len(shares) - 2)
        n = np.arange(1, rows + 1)
        off = abs(counts[:, part] * weight.denominator - n * weight.numerator)
        assert off.max() <= bound * weight.denominator


@given(weights, st.integers(0, 300), st.integers(0, 200))
def test_a_prefix_and_any_part_of_the_sequence_agree(numbers, start, more):
    whole = PartOrder(numbers).at(0, start + more)
    for found, all_rows in zip(
        PartOrder(numbers).at(start, start + more), whole, strict=True
    ):
        np.testing.assert_array_equal(found, all_rows[start:])
    counts = np.bincount(whole[0], minlength=len(numbers))
    np.testing.assert_array_equal(PartOrder(numbers).counts(start + more), counts)
    for part in range(len(numbers)):
        places = whole[1][whole[0] == part]
        np.testing.assert_array_equal(places, np.arange(len(places)))


def test_a_sequence_of_many_blocks_is_found_from_its_middle():
    order = PartOrder(whole_weights([Fraction(20_011), Fraction(9), Fraction(4_000)]))
    parts, places = order.at(20_000, 20_100)
    fresh = PartOrder(order.weights.tolist()).at(0, 20_100)
    np.testing.assert_array_equal(parts, fresh[0][20_000:])
    np.testing.assert_array_equal(places, fresh[1][20_000:])
    assert order.counts(order.period).tolist() == order.weights.tolist()


def test_weights_without_a_small_common_denominator_are_off_by_one_in_a_million():
    odd = [Fraction(1, 3), Fraction("0.123456789"), Fraction(1, 10**9)]
    whole = whole_weights(odd)
    assert sum(whole) <= 2**20
    assert min(whole) >= 1
    for number, share in zip(whole, odd, strict=True):
        assert abs(Fraction(number, sum(whole)) - share / sum(odd)) <= Fraction(
            1, 10**6
        )


@settings(max_examples=30)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=4),
    st.data(),
    st.integers(0, 2**40),
)
def test_each_part_gives_its_own_epochs_in_an_order_of_its_own(sizes, data, seed):
    numbers = data.draw(st.lists(st.integers(1, 9), min_size=len(sizes), max_size=4))
    assume(len(numbers) == len(sizes))
    stream = _stream(_mixture(sizes, numbers), 150, seed=seed)
    for part, rows in enumerate(sizes):
        own = stream[stream // 1000 == part] - 1000 * part
        for start in range(0, len(own) - rows + 1, rows):
            assert sorted(own[start : start + rows]) == list(range(rows))
    # Another part, and other weights, change nothing in the order of the first.
    alone = _stream(_mixture(sizes[:1]), 150, seed=seed)
    own = stream[stream // 1000 == 0]
    np.testing.assert_array_equal(own, alone[: len(own)])


def test_parts_of_the_same_size_are_in_different_orders():
    stream = _stream(_mixture([50, 50], [1, 1]), 100)
    assert (stream[stream < 1000] != stream[stream >= 1000] - 1000).any()


@given(weights, st.integers(1, 4), st.sampled_from([1, 2, 4]), st.integers(0, 9))
def test_processes_and_chunks_change_no_row(numbers, share, processes, step):
    source = _mixture([11] * len(numbers), numbers)
    batch_size = share * processes
    whole = BatchPlan(source, batch_size).row_ids(step, 3)
    own = [
        BatchPlan(source, batch_size, share=Share((i,), processes)).row_ids(step, 3)
        for i in range(processes)
    ]
    np.testing.assert_array_equal(np.concatenate(own, axis=1), whole)
    one_by_one = [BatchPlan(source, batch_size).row_ids(step + i, 1) for i in range(3)]
    np.testing.assert_array_equal(np.concatenate(one_by_one), whole)


@settings(max_examples=15)
@given(
    weights, st.integers(0, 30), st.integers(1, 7), st.integers(1, 7), st.integers(1, 5)
)
def test_a_run_resumes_inside_an_epoch_with_the_rows_that_follow(
    numbers, steps, before, after, chunk
):
    sizes = [5 + i for i in range(len(numbers))]
    whole = _stream(_mixture(sizes, numbers), steps * before + 3 * after)
    batches = as_train_batches(
        _mixture(sizes, numbers), batch_size=before, steps_per_chunk=chunk
    )
    place = json.loads(json.dumps(batches.state(steps)))
    batches.close()
    counts = np.bincount(whole[: steps * before] // 1000, minlength=len(numbers))
    assert list(place["parts"].values()) == counts.tolist()
    resumed = as_train_batches(
        _mixture(sizes, numbers),
        batch_size=after,
        steps_per_chunk=chunk,
        start_step=steps,
        place=place,
    )
    seen: list[int] = []
    while len(seen) < 3 * after:
        found = next(resumed)
        inside = max(0, steps - found.first_step)
        seen += found.features[inside:].reshape(-1).tolist()
    resumed.close()
    np.testing.assert_array_equal(seen[: 3 * after], whole[steps * before :])


@settings(max_examples=30)
@given(weights, st.integers(0, 60), st.data())
def test_changed_weights_continue_each_part_behind_the_rows_that_it_gave(
    numbers, seen, data
):
    others = data.draw(
        st.lists(st.integers(1, 60), min_size=len(numbers), max_size=len(numbers))
    )
    sizes = [9 + i for i in range(len(numbers))]
    place = BatchPlan(_mixture(sizes, numbers), 1).place(seen)
    resumed = BatchPlan(_mixture(sizes, others), 1, start_step=seen, place=place)
    before = _stream(_mixture(sizes, numbers), seen)
    after = resumed.rows(seen, 120)[0].reshape(-1)
    for part, rows in enumerate(sizes):
        own = [*before[before // 1000 == part], *after[after // 1000 == part]]
        alone = _stream(MixtureSource({f"p{part}": np.arange(rows)}), len(own))
        np.testing.assert_array_equal(np.array(own) - 1000 * part, alone)
    # Shares are exact from the change on, and so is a second resume.
    counts = np.cumsum(np.eye(len(sizes))[after // 1000], axis=0)
    expected = np.outer(np.arange(1, 121), np.array(others) / sum(others))
    assert abs(counts - expected).max() < 1
    again = BatchPlan(
        _mixture(sizes, others),
        2,
        start_step=seen + 20,
        start_row=seen + 20,
        place=json.loads(json.dumps(resumed.place(seen + 20))),
    )
    np.testing.assert_array_equal(again.rows(seen + 20, 50)[0].reshape(-1), after[20:])


def test_a_new_part_begins_at_its_start_and_a_removed_one_is_forgotten():
    old = MixtureSource({"a": np.arange(6), "b": np.arange(6) + 100})
    place = BatchPlan(old, 1).place(4)
    new = MixtureSource({"a": np.arange(6), "c": np.arange(6) + 200})
    plan = BatchPlan(new, 1, start_step=4, place=place, shuffle=False)
    assert plan.rows(4, 6)[0].reshape(-1).tolist() == [2, 200, 3, 201, 4, 202]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.data())
def test_epochs_give_no_row_twice_or_every_row_once(sizes, data):
    count = len(sizes)
    numbers = data.draw(st.lists(st.integers(1, 30), min_size=count, max_size=count))
    first = _mixture(sizes, numbers)
    stream = _stream(first, first.epoch_rows)
    assert len(set(stream.tolist())) == len(stream) or first.epoch_rows == 1
    every = _mixture(sizes, numbers, epoch="all_exhausted")
    stream = _stream(every, every.epoch_rows)
    assert len(set(stream.tolist())) == sum(sizes)


def test_without_weights_an_epoch_has_every_row_of_every_part_once():
    source = _mixture([70, 20, 10])
    assert source.epoch_rows == 100
    assert len(set(_stream(source, 100).tolist())) == 100
    length = epoch_length(source, batch_size=10)
    assert length is not None
    assert length.rows == 100
    assert source.weights["p0"] == Fraction(7, 10)


def test_a_temperature_flattens_the_shares_and_a_limit_caps_them():
    sizes = {"a": 1600, "b": 100}
    assert mixture_weights(sizes) == [16, 1]
    assert mixture_weights(sizes, temperature=2.0) == [4, 1]
    assert mixture_weights(sizes, temperature=4.0) == [2, 1]
    assert mixture_weights(sizes, limit=400) == [4, 1]
    low, high = mixture_weights(sizes, temperature=1e9)
    assert low == pytest.approx(high, rel=1e-5)
    # The formula of T5 in float64.
    rows = np.array([12_345, 678, 90.0])
    found = mixture_weights({"a": 12_345, "b": 678, "c": 90}, temperature=3.0)
    expected = rows ** (1 / 3) / (rows ** (1 / 3)).sum()
    np.testing.assert_allclose(np.array(found) / sum(found), expected, atol=1e-6)


def test_an_epoch_of_a_part_that_is_exhausted_at_once_has_one_row():
    assert mixture_epoch([1, 100], [9, 1], "first_exhausted") == 1


def test_a_part_keeps_its_own_order_where_it_is_not_shuffled():
    stream = _stream(_mixture([8, 8], [1, 1], shuffle={"p1": False}), 16)
    assert stream[stream >= 1000].tolist() == list(range(1000, 1008))
    assert stream[stream < 1000].tolist() != list(range(8))


def test_a_part_of_blocks_is_read_in_the_order_of_its_blocks():
    class Blocks(ArraySource):
        def row_order(self, seed, *, shuffle):
            return BlockOrder([4, 4, 4], window=4, seed=seed, shuffle=shuffle)

    source = MixtureSource({"a": Blocks(np.arange(12)), "b": np.arange(12) + 1000})
    own = [row for row in _stream(source, 24) if row < 1000]
    blocks = [{row // 4 for row in own[i : i + 4]} for i in (4, 8)]
    assert sorted(own) == list(range(12))
    assert all(len(block) == 1 for block in blocks)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.data())
def test_joined_rows_are_those_of_the_parts_in_order(sizes, data):
    arrays = [
        {"x": np.arange(2.0 * rows).reshape(rows, 2) + 100 * i, "n": np.arange(rows)}
        for i, rows in enumerate(sizes)
    ]
    source = JoinedSource(
        {f"p{i}": ArraySource(each, each["n"]) for i, each in enumerate(arrays)}
    )
    x = np.concatenate([each["x"] for each in arrays])
    rows = data.draw(st.lists(st.integers(0, len(x) - 1), max_size=12))
    features, labels = source.take(np.array(rows, np.int64))
    np.testing.assert_array_equal(features["x"], x[rows])
    np.testing.assert_array_equal(labels, features["n"])
    np.testing.assert_array_equal(source.column("features.x"), x)
    np.testing.assert_array_equal(source.take(slice(1, None))[0]["x"], x[1:])
    names = np.repeat([f"p{i}" for i in range(len(sizes))], sizes)
    assert source.ids["part"].tolist() == names.tolist()


def test_arrays_that_differ_are_all_named_with_part_and_feature():
    def part(width, dtype: Any = np.float32, **more):
        return {"x": np.zeros((3, width), dtype), **more}, np.zeros(3, np.int32)

    with pytest.raises(DataError) as caught:
        MixtureSource(
            {"a": part(2), "b": part(3), "c": part(2, np.int32, y=np.ones(3))}
        )
    assert [str(each) for each in caught.value.diagnostics] == [
        "part b, features.x: a row is float32[3]. Expected float32[2], as in part a.",
        "part c, features.x: a row is int32[2]. Expected float32[2], as in part a.",
        "part c, features.y: a row is float32[]. Expected no such array, as in part a.",
    ]


def test_weights_that_are_missing_unknown_or_not_above_zero_are_all_named():
    parts = {"a": np.arange(3), "b": np.arange(3), "c": np.arange(3)}
    with pytest.raises(DataError) as caught:
        MixtureSource(parts, weights={"a": 0, "b": float("nan"), "d": 1})
    assert [str(each) for each in caught.value.diagnostics] == [
        "weights.a: is 0. Expected a number above 0.",
        "weights.b: is nan. Expected a number above 0.",
        "weights.c: is missing. Expected a number above 0.",
        "weights.d: is 1. Expected no such weight: there is no part d.",
    ]


@pytest.mark.parametrize("parts", [{}, {"a": iter([])}])
def test_a_mixture_of_nothing_or_of_iterables_is_refused(parts):
    with pytest.raises(DataError):
        MixtureSource(parts)
