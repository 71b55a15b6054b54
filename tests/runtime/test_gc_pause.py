"""The garbage collector rests while a process starts, once."""

import gc

import pytest

from specflow.runtime import gc_pause


@pytest.fixture(autouse=True)
def a_fresh_process(monkeypatch):
    monkeypatch.setattr(gc_pause, "_over", False)
    monkeypatch.setattr(gc_pause, "_paused", False)
    was_on = gc.isenabled()
    gc.enable()
    yield
    gc.enable() if was_on else gc.disable()


def test_nothing_is_collected_until_the_start_is_over():
    gc_pause.pause()
    assert not gc.isenabled()
    gc_pause.resume()
    assert gc.isenabled()


def test_what_the_start_made_is_not_searched_again():
    before = gc.get_freeze_count()
    gc_pause.pause()
    gc_pause.resume()
    assert gc.get_freeze_count() > before


def test_a_second_run_of_the_process_collects_as_ever():
    gc_pause.pause()
    gc_pause.resume()
    gc_pause.pause()
    assert gc.isenabled()


def test_who_has_no_collector_is_not_given_one():
    gc.disable()
    gc_pause.pause()
    gc_pause.resume()
    assert not gc.isenabled()
