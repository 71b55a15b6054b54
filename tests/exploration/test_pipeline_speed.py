"""The stage that a pipeline waits for is named, by a clock that reads alone move."""

import types

import numpy as np
import pytest

from specflow.data import ArraySource, Data
from specflow.exploration.pipeline_speed import pipeline_speed


class Clock:
    """Moves by one second for every read."""

    seconds = 0.0

    def perf_counter(self):
        return self.seconds


class SlowSource(ArraySource):
    """Takes a second for every read."""

    def __init__(self, clock, *arrays):
        super().__init__(*arrays)
        self._clock = clock

    def take(self, rows):
        self._clock.seconds += 1.0
        return super().take(rows)


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_slow_source_is_what_a_pipeline_waits_for(shuffle, monkeypatch):
    clock = Clock()
    fake = types.SimpleNamespace(perf_counter=clock.perf_counter)
    monkeypatch.setattr("specflow.exploration.pipeline_speed.time", fake)
    arrays = {"x": np.zeros((64, 2))}, np.zeros(64, np.int32)
    data = Data(SlowSource(clock, *arrays), ArraySource(*arrays), shuffle=shuffle)
    settings = {"batch_size": 8, "steps_per_chunk": 2, "seed": 0, "open_seconds": 0.5}
    speed = pipeline_speed(data, **settings, seconds=3.0)
    # 16 rows in a chunk, of one read.
    assert speed.seconds_a_row["read"] == 1 / 16
    assert speed.seconds_a_row["order"] == speed.seconds_a_row["batch"] == 0.0
    assert speed.slowest == "read"
    assert speed.rows % 16 == 0
    assert "opened in 0.50 s" in str(speed)
