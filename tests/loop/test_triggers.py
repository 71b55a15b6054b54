"""Triggers: when they are due, and the next step at which they are."""

from hypothesis import given
from hypothesis import strategies as st

from specflow.loop import EverySteps

EVERY = st.integers(0, 50)


@given(EVERY, st.integers(0, 500))
def test_the_next_step_is_the_first_after_it_at_which_the_trigger_is_due(every, step):
    trigger = EverySteps(every)
    later = (at for at in range(step + 1, step + 51) if trigger.is_due(at))
    assert trigger.next_after(step) == next(later, None)


@given(st.integers(0, 500))
def test_a_trigger_of_zero_steps_is_never_due(step):
    assert not EverySteps(0).is_due(step)
    assert EverySteps(0).next_after(step) is None
