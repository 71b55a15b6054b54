"""Laws of the splits of a table."""

import collections

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from specflow.data.table import row_splits

FRACTIONS = st.tuples(st.floats(0.0, 0.45), st.floats(0.0, 0.45))
GROUPS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60)
SEEDS = st.integers(0, 5)


def groups_by_split(groups, split):
    return [
        {groups[row] for row in np.flatnonzero(split == number)} for number in range(3)
    ]


@hypothesis.given(st.integers(1, 200), FRACTIONS, SEEDS)
def test_random_splits_have_the_rounded_number_of_rows(rows, fractions, seed):
    split = row_splits.randomly(rows, fractions, seed)
    counts = np.bincount(split, minlength=3)
    assert counts[1:].tolist() == [round(rows * fraction) for fraction in fractions]


@hypothesis.given(GROUPS, FRACTIONS, SEEDS)
def test_a_group_is_in_one_split_and_stays_there_when_rows_are_appended(
    groups, fractions, seed
):
    units = row_splits.hash_units(groups, seed)
    split = row_splits.by_hash(units, fractions)
    train, evaluated, tested = groups_by_split(groups, split)
    assert len(train | evaluated | tested) == len(train) + len(evaluated) + len(tested)
    longer = row_splits.hash_units([*groups, "new", *groups], seed)
    appended = row_splits.by_hash(longer, fractions)
    assert appended[: len(groups)].tolist() == split.tolist()


def test_hashed_splits_have_their_fractions_of_many_rows():
    units = row_splits.hash_units([f"row {row}" for row in range(20_000)], 0)
    shares = np.bincount(row_splits.by_hash(units, (0.2, 0.1))) / 20_000
    # Four standard deviations of a binomial share.
    np.testing.assert_allclose(shares, [0.7, 0.2, 0.1], atol=4 * 0.5 / 20_000**0.5)


def test_a_larger_evaluation_split_leaves_the_test_split_as_it_is():
    units = row_splits.hash_units([str(row) for row in range(500)], 0)
    small, large = (row_splits.by_hash(units, (share, 0.2)) for share in (0.1, 0.5))
    assert np.array_equal(small == 2, large == 2)
    assert np.all((large == 1)[small == 1])


@hypothesis.given(GROUPS, FRACTIONS, SEEDS)
def test_strata_are_divided_to_the_row(strata, fractions, seed):
    split = row_splits.by_stratum(strata, fractions, seed)
    for stratum, rows in collections.Counter(strata).items():
        inside = split[[text == stratum for text in strata]]
        for number, fraction in enumerate(fractions, 1):
            assert abs(int((inside == number).sum()) - rows * fraction) <= 1.0


@hypothesis.given(st.lists(st.integers(0, 9), min_size=1, max_size=40), FRACTIONS)
def test_later_splits_are_later_and_rows_of_one_time_stay_together(times, fractions):
    split = row_splits.by_time(np.array(times, float), fractions)
    for number in range(2):
        earlier = [
            time for time, part in zip(times, split, strict=True) if part <= number
        ]
        later = [time for time, part in zip(times, split, strict=True) if part > number]
        assert not earlier or not later or max(earlier) < min(later)


@pytest.mark.parametrize("rule", ["random", "strata", "hash"])
@hypothesis.given(groups=GROUPS, folds=st.integers(2, 6), seed=SEEDS)
def test_every_row_but_the_test_rows_is_evaluated_in_one_fold(
    rule, groups, folds, seed
):
    units = row_splits.hash_units(groups, seed)
    tested = 0.2 if rule == "hash" else 0.0
    start = row_splits.by_hash(units, (0.0, tested))
    settings = {
        "strata": {"strata": groups},
        "hash": {"units": units, "tested": tested},
    }
    parts = [
        row_splits.folded(start, folds, fold, seed=seed, **settings.get(rule, {}))
        for fold in range(folds)
    ]
    times_evaluated = np.sum([part == 1 for part in parts], axis=0)
    assert np.array_equal(times_evaluated, (start != 2).astype(int))
    assert all(np.array_equal(part == 2, start == 2) for part in parts)
    sizes = [int((part == 1).sum()) for part in parts]
    if rule == "hash":
        for part in parts:
            train, evaluated, _ = groups_by_split(groups, part)
            assert not train & evaluated
    else:
        assert max(sizes) - min(sizes) <= 1


def test_folds_of_strata_are_as_even_as_those_of_scikit_learn():
    strata = ["a"] * 50 + ["b"] * 30 + ["c"] * 20
    start = np.zeros(100, np.int8)
    for fold, (_, expected) in enumerate(
        StratifiedKFold(5).split(np.zeros(100), strata)
    ):
        part = row_splits.folded(start, 5, fold, seed=0, strata=strata)
        inside = collections.Counter(np.array(strata)[part == 1].tolist())
        assert inside == collections.Counter(np.array(strata)[expected].tolist())
