"""Brief turns of the interpreter, and their end."""

import sys

import pytest

from specflow.runtime.brief_turns import brief_turns


def test_the_last_of_overlapping_uses_restores_the_usual_turns():
    usual = sys.getswitchinterval()
    first, second = brief_turns(), brief_turns()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(0.0005)
    second.__exit__(None, None, None)
    assert sys.getswitchinterval() == usual


def test_briefer_turns_of_the_user_are_kept():
    usual = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    own = sys.getswitchinterval()
    try:
        with brief_turns():
            assert sys.getswitchinterval() == own
        assert sys.getswitchinterval() == own
    finally:
        sys.setswitchinterval(usual)


def test_an_error_restores_the_usual_turns():
    usual = sys.getswitchinterval()
    with pytest.raises(OSError, match="away"), brief_turns():
        raise OSError("away")
    assert sys.getswitchinterval() == usual
