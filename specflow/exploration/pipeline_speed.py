"""Speed of the input pipeline alone, and the stage that it waits for."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import Any

from specflow.data import BatchPlan, Data, Source, TrainBatches
from specflow.data.row_order import OrderedSource, epoch_rows

__all__ = ["PipelineSpeed", "pipeline_speed"]

_SECONDS = 1.0
"""Time that is measured, once without and once with the background thread."""


@dataclasses.dataclass(frozen=True, slots=True)
class PipelineSpeed:
    """Rows per second of the training input, without a model."""

    rows_per_second: float
    rows: int
    """Rows that were measured."""
    seconds_a_row: dict[str, float]
    """Stage -> seconds for each row in one thread: `order` draws the rows, `read` takes
    them from the source, `batch` checks and stacks them, `queue` hands chunks over from
    the thread that makes them."""
    open_seconds: float
    """Seconds to open the data: reading files, splitting, fitting columns."""

    @property
    def slowest(self) -> str:
        """The stage that takes the most time."""
        return max(self.seconds_a_row, key=self.seconds_a_row.__getitem__)

    def to_json(self) -> dict[str, Any]:
        """The speed as plain values."""
        return dataclasses.asdict(self) | {"slowest": self.slowest}

    def __str__(self) -> str:
        total = sum(self.seconds_a_row.values()) or 1.0
        shares = ", ".join(
            f"{stage} {seconds / total:.0%}"
            for stage, seconds in self.seconds_a_row.items()
        )
        return (
            f"{self.rows_per_second:,.0f} rows/s over {self.rows:,} rows, "
            f"waits for: {shares}; opened in {self.open_seconds:.2f} s"
        )


class _Timed:
    """A source whose reads are timed."""

    def __init__(self, source: Source):
        self._source, self.seconds = source, 0.0
        self.spec, self.column = source.spec, source.column
        self.epoch_rows = epoch_rows(source)
        if isinstance(source, OrderedSource):
            # A mixture, or a table that is larger than memory.
            self.row_order = source.row_order

    def __len__(self) -> int:
        return len(self._source)

    def take(self, rows: Any) -> Any:
        """Takes rows, and adds the time that it took."""
        begin = time.perf_counter()
        taken = self._source.take(rows)
        self.seconds += time.perf_counter() - begin
        return taken


def pipeline_speed(
    data: Data,
    *,
    batch_size: int,
    steps_per_chunk: int,
    seed: int,
    open_seconds: float,
    seconds: float = _SECONDS,
) -> PipelineSpeed:
    """Measures the training input as the loop reads it, without a device.

    Args:
        data: of an experiment.
        batch_size: rows of a step.
        steps_per_chunk: steps of one device loop.
        seed: of the order.
        open_seconds: seconds that it took to open the data.
        seconds: time of each of two measurements.
    """
    shuffle = bool(data.shuffle)
    timed = _Timed(data.train)
    plan = BatchPlan(timed, batch_size, seed=seed, shuffle=shuffle)
    rows_a_chunk = batch_size * steps_per_chunk
    drawn, repeated, whole, chunks = 0.0, 0.0, 0.0, 0
    for first in _until(seconds, steps_per_chunk):
        times = [time.perf_counter()]
        for work in (plan.row_ids, plan.row_ids, plan.rows):
            work(first, steps_per_chunk)
            times.append(time.perf_counter())
        drawn += times[1] - times[0]
        # The plan keeps the order of an epoch: rows() looks it up, as this call does.
        repeated += times[2] - times[1]
        whole += times[3] - times[2]
        chunks += 1
    rows = chunks * rows_a_chunk
    stages = {
        "order": drawn / rows,
        "read": timed.seconds / rows,
        "batch": max(0.0, whole - timed.seconds - repeated) / rows,
    }
    plan = BatchPlan(data.train, batch_size, seed=seed, shuffle=shuffle)
    batches = TrainBatches(plan, steps_per_chunk=steps_per_chunk)
    with contextlib.closing(batches):
        for _ in range(2):  # The first ones start the thread.
            next(batches)
        begin, chunks = time.perf_counter(), 0
        for _ in _until(seconds, steps_per_chunk):
            next(batches)
            chunks += 1
        lasted = time.perf_counter() - begin
    measured = chunks * rows_a_chunk
    stages["queue"] = max(0.0, lasted / measured - sum(stages.values()))
    return PipelineSpeed(measured / lasted, measured, stages, open_seconds)


def _until(seconds: float, steps: int) -> Iterator[int]:
    """Yields the first step of one chunk after another, at least once."""
    begin, first = time.perf_counter(), 0
    while not first or time.perf_counter() - begin < seconds:
        yield first
        first += steps
