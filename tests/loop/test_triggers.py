"""Triggers: when they are due, and the next step at which they are."""

from hypothesis import given
from hypothesis import strategies as st

from specflow.loop import EverySeconds, EverySteps, WhicheverFirst

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


def test_whichever_comes_first_of_steps_and_time():
    """Ten seconds between checkpoints at most, and steps 4, 8, 10, 12 in any case."""
    now = [0.0]
    seconds = EverySeconds(10.0, clock=lambda: now[0])
    trigger = WhicheverFirst([EverySteps(4), EverySteps(10)], seconds)
    assert [trigger.next_after(step) for step in (0, 4, 8, 10)] == [4, 8, 10, 12]
    due = {}
    # Steps 1 to 3 take 6 s each, 4 to 12 take 1 s each.
    for step in range(1, 13):
        now[0] += 6.0 if step <= 3 else 1.0
        if trigger.is_due(step):
            due[step] = now[0]
    assert due == {2: 12.0, 4: 19.0, 8: 23.0, 10: 25.0, 12: 27.0}
    slow = WhicheverFirst([EverySteps(0)], EverySeconds(10.0, clock=lambda: now[0]))
    assert slow.next_after(7) is None
    now[0] += 9.0
    assert not slow.is_due(13)
    now[0] += 1.0
    assert slow.is_due(14)
