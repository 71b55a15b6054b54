"""Inputs of several processes, kept in step: a step is one of all, or of none."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import numpy as np

from specflow import peers
from specflow.aside import Aside
from specflow.data import Batch, Chunk, TrainInput, as_source
from specflow.errors import DataError, Fault

__all__ = [
    "EvalTogether",
    "TrainTogether",
    "agree_on_rows",
    "meet_after_error",
    "own_place",
]

_ERRORS = itertools.count()
"""Numbers for the lines on which processes meet after an error, in one order."""


def meet_after_error() -> None:
    """Returns when all processes have come, each with an error at the same step.

    One that fails alone would wait for the others in vain, which compute: it waits for
    a while, and not in a computation.

    Raises:
        TimeoutError: the others have not come.
    """
    if peers.count() > 1:
        line = Aside(f"errors/{next(_ERRORS)}")
        line.hurry()
        line.each(lambda: None)


def agree_on_rows(split: str, data: Any) -> bool:
    """Checks that all processes have as many rows; each one reads its own share.

    Returns:
        Whether the data says how many there are; an iterable does not.

    Raises:
        ConfigError: one has more or fewer; it is named.
    """
    source = as_source(data)
    if source is None:
        return False
    peers.agree("data", {f"rows of the {split} data": len(source)})
    return True


class TrainTogether:
    """The training batches of an iterable, each process its own part of each.

    Args:
        batches: those of this process.
    """

    def __init__(self, batches: TrainInput):
        self._batches = batches

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Chunk:
        """The next chunk.

        Raises:
            ConfigError: another process has more steps, or fewer; it is named.
        """
        chunk = next(self._batches, None)
        have = "none" if chunk is None else f"{chunk.steps} from {chunk.first_step}"
        peers.agree("number of batches", {"next batches of the training input": have})
        if chunk is None:
            raise StopIteration
        return chunk

    def state(self, step: int) -> dict[str, Any]:
        """The place before `step`, in each process's own data."""
        places = peers.gather(self._batches.state(step))
        if all(place == places[0] for place in places):
            return places[0]
        return {"next_step": step, "processes": places}

    def give_back(self, step: int) -> None:
        """Puts the batches back that were drawn for `step` and later ones."""
        self._batches.give_back(step)

    def close(self) -> None:
        """Stops what runs in the background."""
        self._batches.close()


def own_place(place: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What a checkpoint says of this process's place in the data.

    Raises:
        DataError: it was written by another number of processes, each with a place of
            its own.
    """
    places = (place or {}).get("processes")
    if places is None:
        return place
    if len(places) != peers.count():
        raise DataError(
            Fault(
                "place",
                f"is that of {len(places)} processes, and there are {peers.count()}",
                expected="as many as wrote the checkpoint, as each had its own input",
                mend="Start as many, or RunConfig(resume_input='restart').",
                code="data-place",
            )
        )
    return places[peers.index()]


class EvalTogether:
    """The evaluation batches of an iterable, each process its own part of each.

    A process whose rows are at an end goes on with padding until all are.

    Args:
        batches: those of this process.
    """

    def __init__(self, batches: Iterable[Batch]):
        self._batches = batches

    def __iter__(self) -> Iterator[Batch]:
        iterator, last = iter(self._batches), None
        while True:
            batch = next(iterator, None)
            if last is None:
                has = "none" if batch is None else "some"
                peers.agree("data", {"rows of the input": has})
            if not peers.any_of(batch is not None):
                return
            if batch is None and last is not None:
                nothing = np.zeros_like(last.mask)
                batch = dataclasses.replace(last, mask=nothing, rows=0)
            if batch is not None:
                last = batch
                yield batch
