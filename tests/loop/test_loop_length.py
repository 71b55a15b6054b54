"""Device loops whose length is given in seconds; expected numbers by hand."""

from specflow.loop import LoopLengthEstimator


def test_the_first_loop_is_one_step():
    assert LoopLengthEstimator(60.0).steps_per_loop == 1


def test_the_number_follows_the_mean_of_the_last_twenty_loops():
    estimator = LoopLengthEstimator(10.0)
    estimator.record(1, 1.0)
    assert estimator.steps_per_loop == 10
    estimator.record(9, 4.0)  # 5 s for 10 steps: half a second each.
    assert estimator.steps_per_loop == 20


def test_it_never_falls_below_one():
    estimator = LoopLengthEstimator(1.0)
    estimator.record(1, 100.0)
    assert estimator.steps_per_loop == 1


def test_it_is_fixed_once_it_is_stable_within_a_tenth():
    estimator = LoopLengthEstimator(10.0)
    for _ in range(20):
        assert not estimator.is_stable
        estimator.record(10, 1.0)
    assert estimator.is_stable
    estimator.record(10, 50.0)
    assert estimator.steps_per_loop == 100


def test_it_is_not_held_while_it_moves():
    estimator = LoopLengthEstimator(10.0)
    for loop in range(25):
        estimator.record(1, 1.0 + 0.2 * loop)
    assert not estimator.is_stable
