"""Device loops whose length is given in seconds; expected numbers by hand."""

from specflow.loop import Pace


def test_the_first_loop_is_one_step():
    assert Pace(60.0).steps == 1


def test_the_number_follows_the_mean_of_the_last_twenty_loops():
    pace = Pace(10.0)
    pace.took(1, 1.0)
    assert pace.steps == 10
    pace.took(9, 4.0)  # 5 s for 10 steps: half a second each.
    assert pace.steps == 20


def test_it_never_falls_below_one():
    pace = Pace(1.0)
    pace.took(1, 100.0)
    assert pace.steps == 1


def test_it_is_held_once_it_is_stable_within_a_tenth():
    pace = Pace(10.0)
    for _ in range(20):
        assert not pace.is_held
        pace.took(10, 1.0)
    assert pace.is_held
    pace.took(10, 50.0)
    assert pace.steps == 100


def test_it_is_not_held_while_it_moves():
    pace = Pace(10.0)
    for loop in range(25):
        pace.took(1, 1.0 + 0.2 * loop)
    assert not pace.is_held
