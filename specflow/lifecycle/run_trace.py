"""What a run left on disk, for a comparison with another run of the same experiment."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from specflow.output import Checkpointer, read_rows

__all__ = ["BatchDigests", "Objects", "RunTrace", "last_start"]

BatchDigests = tuple[Mapping[str, Any], ...]
"""For each process: `arrays`, path -> digest; `rows`, digest of rows in any order."""
Objects = dict[str, dict[str, dict[str, str]]]
"""Name of an object -> `before` and `after` training -> attribute -> description."""

_TIMES = ("steps_per_s", "examples_per_s", "time")
"""Keys of metrics that differ between two runs of any experiment."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RunTrace:
    """Batches, metrics and checkpoints of one run."""

    batches: dict[int, BatchDigests]
    """Step, counted from 1 -> its batch."""
    metrics: dict[tuple[int, str], dict[str, Any]]
    """(step, split) -> metrics."""
    arrays: dict[str, tuple[Any, ...]]
    """Name -> shape, dtype and digest in the last checkpoint."""
    host_state: dict[str, Any]
    """State of each part of the run on the host in the last checkpoint: `input`, ..."""
    objects: Objects
    """Attributes of hooks and sources of the user's own."""
    last_step: int
    start_step: int
    """Step at which the last call to train began."""

    @classmethod
    def read(cls, run: Path, recorded: Path) -> Self:
        """Reads a run that has ended.

        Args:
            run: its directory.
            recorded: folder of its `TrainRecorder`.

        Raises:
            CheckpointError: it has no checkpoint, or a damaged one.
        """
        with Checkpointer(run / "checkpoints") as checkpoints:
            last_step = checkpoints.latest_step() or 0
            arrays = {
                name: (array.shape, array.dtype, array.digest)
                for name, array in checkpoints.saved(last_step).items()
            }
            host_state = checkpoints.data_position(last_step)
        by_process = [
            _last_batches(file) for file in sorted(recorded.glob("batches-*.jsonl"))
        ]
        steps = set().union(*by_process) if by_process else set()
        return cls(
            batches={
                step: tuple(batches.get(step, {}) for batches in by_process)
                for step in sorted(steps)
                if step <= last_step
            },
            metrics={
                (row["step"], row["split"]): {
                    name: value
                    for name, value in row.items()
                    if name not in ("step", "split", *_TIMES)
                }
                for row in read_rows(run / "metrics.jsonl")
            },
            arrays=arrays,
            host_state=host_state,
            objects=_objects(recorded),
            last_step=last_step,
            start_step=last_start(recorded) or 0,
        )

    def steps_of(self, split: str) -> list[int]:
        """Steps with metrics of a split, ascending."""
        return sorted(step for step, name in self.metrics if name == split)


def last_start(recorded: Path) -> int | None:
    """Step at which the last call to train began; None if there was none."""
    file = recorded / "batches-0.jsonl"
    if not file.is_file():
        return None
    starts = [line["start"] for line in _lines(file) if "start" in line]
    return starts[-1] if starts else None


def _last_batches(file: Path) -> dict[int, Mapping[str, Any]]:
    """Step -> its batch in the call that counts; later calls replace earlier steps."""
    batches: dict[int, Mapping[str, Any]] = {}
    for line in _lines(file):
        if "start" in line:
            batches = {step: b for step, b in batches.items() if step <= line["start"]}
        else:
            batches[line.pop("step")] = line
    return batches


def _lines(file: Path) -> list[dict[str, Any]]:
    # A killed process may leave a partial line, which has no line break.
    text = file.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def _objects(recorded: Path) -> Objects:
    file = recorded / "objects-0.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
