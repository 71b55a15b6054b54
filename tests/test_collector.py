"""The garbage collector rests while a process starts, once."""

import gc

import pytest

from specflow import collector


@pytest.fixture(autouse=True)
def a_fresh_process(monkeypatch):
    monkeypatch.setattr(collector, "_over", False)
    monkeypatch.setattr(collector, "_paused", False)
    was_on = gc.isenabled()
    gc.enable()
    yield
    gc.enable() if was_on else gc.disable()


def test_nothing_is_collected_until_the_start_is_over():
    collector.pause()
    assert not gc.isenabled()
    collector.resume()
    assert gc.isenabled()


def test_what_the_start_made_is_not_searched_again():
    before = gc.get_freeze_count()
    collector.pause()
    collector.resume()
    assert gc.get_freeze_count() > before


def test_a_second_run_of_the_process_collects_as_ever():
    collector.pause()
    collector.resume()
    collector.pause()
    assert gc.isenabled()


def test_who_has_no_collector_is_not_given_one():
    gc.disable()
    collector.pause()
    collector.resume()
    assert not gc.isenabled()
