"""Rhythms: when they are due, and what comes next."""

from hypothesis import given
from hypothesis import strategies as st

from specflow.loop import EverySteps

TRIGGER = st.integers(0, 50)


@given(TRIGGER, st.integers(0, 500))
def test_the_next_step_is_the_first_after_it_at_which_the_rhythm_is_due(every, step):
    trigger = EverySteps(every, print)
    later = (at for at in range(step + 1, step + 51) if trigger.is_due(at))
    assert trigger.next_after(step) == next(later, None)


@given(st.integers(0, 500))
def test_a_rhythm_of_zero_is_never_due(step):
    assert not EverySteps(0, print).is_due(step)
    assert EverySteps(0, print).next_after(step) is None
