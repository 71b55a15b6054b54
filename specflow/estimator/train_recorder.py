"""Records what training reads: a digest of every batch, and the user's objects."""

import contextlib
import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import xxhash
from numpy.typing import NDArray

from specflow.data import Chunk, TrackedIterator, TrainInput
from specflow.data.array_tree import named_leaves
from specflow.distributed import collectives
from specflow.loop import state_methods
from specflow.output import write_text

__all__ = ["TrainRecorder"]


class TrainRecorder:
    """Records the batches of training, for a comparison of two runs.

    `batches-<process>.jsonl` has a line for each step with a digest of every array, and
    one of the rows in any order; a line `{"start": step}` precedes those of each call
    to train. `objects-<process>.json` has the attributes of hooks, and of a source of
    the user's own, at the start of the last call and at its end.

    Args:
        folder: folder of the files; created.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self.losses: dict[int, float] = {}
        """Step, counted from 1 -> its loss; of this process alone."""
        self._objects: dict[str, Any] = {}
        self._before: dict[str, dict[str, str]] = {}

    def begin(self, step: int, value: Any, batches: TrainInput) -> TrainInput:
        """Records the start of a call to train.

        Args:
            step: steps taken before.
            value: the input, as the input function returned it.
            batches: its batches from this step on.

        Returns:
            The batches, which are recorded as they are read.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._objects, self._before = {}, {}
        tracked = isinstance(value, TrackedIterator)
        self.watch("the training data", [value.iterator if tracked else value])
        self._write({"start": step})
        return _Recorded(batches, step, self)

    def watch(self, role: str, values: Sequence[Any]) -> None:
        """Describes the attributes of objects before they are used.

        Args:
            role: role of the objects.
            values: the objects; those of libraries are left out, and hooks whose state
                is in the checkpoint.
        """
        for number, value in enumerate(values):
            kind = type(value)
            library = kind.__module__.partition(".")[0]
            if library in _LIBRARIES or not hasattr(value, "__dict__"):
                continue
            if role == "a hook" and state_methods(value) is not None:
                continue
            several = f" {number + 1}" if len(values) > 1 else ""
            name = f"{role}{several}, {kind.__module__}.{kind.__qualname__}"
            self._objects[name] = value
            self._before[name] = _attributes(value)

    def record(self, step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Records the batch of a step.

        Args:
            step: number of the step, counted from 1.
            arrays: path -> array of the batch, rows first.
        """
        digests = {path: _digest(array) for path, array in arrays.items()}
        rows = _digest_of_rows([*arrays.values()])
        self._write({"step": step, "arrays": digests, "rows": rows})

    def record_losses(self, steps: NDArray[np.integer], losses: NDArray[Any]) -> None:
        """Records the losses of consecutive steps, counted from 1."""
        self.losses |= dict(zip(steps.tolist(), losses.tolist(), strict=True))

    def finish(self) -> None:
        """Records the attributes of the objects after training."""
        objects = {
            name: {"before": self._before[name], "after": _attributes(value)}
            for name, value in self._objects.items()
        }
        write_text(self._path("objects", "json"), json.dumps(objects))

    def _write(self, line: Mapping[str, Any]) -> None:
        # Opened for each line: the process may be killed at any step.
        with self._path("batches", "jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _path(self, name: str, suffix: str) -> Path:
        return self._folder / f"{name}-{collectives.process_index()}.{suffix}"


_LIBRARIES = ("builtins", "collections", "grain", "jax", "numpy", "specflow", "types")


class _Recorded:
    """Training batches that are recorded as they are read."""

    def __init__(self, batches: TrainInput, start: int, recorder: TrainRecorder):
        self._batches, self._start, self._recorder = batches, start, recorder

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Chunk:
        chunk = next(self._batches)
        arrays = named_leaves(chunk.features, chunk.labels)
        # The first chunk may begin before the step at which training resumes.
        for index in range(max(0, self._start - chunk.first_step), chunk.steps):
            batch = {path: np.asarray(stacked[index]) for path, stacked in arrays}
            self._recorder.record(chunk.first_step + index + 1, batch)
        return chunk

    def state(self, step: int) -> dict[str, Any]:
        return self._batches.state(step)

    def part_rows(self, step: int) -> dict[str, int]:
        return self._batches.part_rows(step)

    def give_back(self, step: int) -> None:
        self._batches.give_back(step)

    def close(self) -> None:
        self._batches.close()


def _digest(array: np.ndarray) -> str:
    form = f"{array.dtype}{list(array.shape)}".encode()
    return xxhash.xxh3_128_hexdigest(form + np.ascontiguousarray(array).tobytes())


def _digest_of_rows(arrays: Sequence[np.ndarray]) -> str:
    """Returns a digest of the rows of a batch, whatever their order."""
    rows = len(arrays[0]) if arrays else 0
    digests = sorted(
        "".join(_digest(array[row]) for array in arrays) for row in range(rows)
    )
    return xxhash.xxh3_128_hexdigest("".join(digests).encode())


def _attributes(value: Any) -> dict[str, str]:
    """Returns name -> short text, or digest, of the attributes of an object."""
    described = {}
    for name, attribute in vars(value).items():
        if isinstance(attribute, bool | int | float | str | None):
            described[name] = repr(attribute)[:60]
            continue
        # What cannot be pickled, such as an open file, cannot be compared.
        with contextlib.suppress(Exception):
            described[name] = xxhash.xxh3_128_hexdigest(pickle.dumps(attribute))
    return described
