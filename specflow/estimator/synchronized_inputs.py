"""Inputs of several processes, kept in step: a step is one of all, or of none."""

import dataclasses
import functools
import itertools
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import jax
import numpy as np

from specflow.data import (
    Batch,
    Chunk,
    TrainInput,
    as_source,
    block_digests,
    compared_blocks,
    row_digests,
    row_forms,
)
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.distributed import collectives
from specflow.distributed.side_channel import SideChannel

__all__ = [
    "EvalTogether",
    "TrainTogether",
    "agree_on_form",
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
    if collectives.process_count() > 1:
        channel = SideChannel(f"errors/{next(_ERRORS)}")
        channel.expire_soon()
        try:
            channel.on_every_process(lambda: None)
        except TimeoutError:
            channel.retract()
            raise


def agree_on_form(split: str, form: Any) -> None:
    """Checks that the batches of all processes have the same shapes and dtypes.

    Args:
        split: of the data, for the message.
        form: shapes and dtypes of this process's batches.

    Raises:
        ConfigError: one has others; the array and the processes are named.
    """
    if collectives.process_count() > 1:
        flat, _ = jax.tree_util.tree_flatten_with_path(form)
        name = functools.partial(jax.tree_util.keystr, simple=True, separator=".")
        facts = {
            f"{split} batch, array {name(path)}": f"{leaf.dtype}{list(leaf.shape)}"
            for path, leaf in flat
        }
        collectives.check_equal("data", facts)


def agree_on_rows(split: str, data: Any) -> bool:
    """Checks that all processes have the same rows in the same order; each one reads
    its own share of them.

    Up to 64 MiB all rows are compared, of more as many in blocks.

    Returns:
        Whether the data has random access to its rows; an iterable does not, and each
        process has rows of its own.

    Raises:
        ConfigError: one has other rows; the first one is named.
    """
    source = as_source(data)
    if source is None:
        return False
    facts: dict[str, Any] = {f"rows of the {split} data": len(source)}
    for path, form in row_forms(source).items():
        facts[f"a row of {path} of the {split} data"] = form
    collectives.check_equal("data", facts)
    blocks = compared_blocks(source)
    first, *others = collectives.gather(_digests(source))
    # Everyone sees the same digests, and asks for the same rows.
    asked = {found for other in others if (found := _first_other(first, other))}
    if not asked:
        return True
    asked_rows = [
        (block, path, row_digests(source, path, blocks[block]))
        for block, path in sorted(asked)
    ]
    told = collectives.gather([rows for _, _, rows in asked_rows])
    differing: dict[str, Any] = {}
    for (block, path, rows), *each in zip(asked_rows, *told, strict=True):
        for at, (_, shown) in enumerate(rows):
            # By their digests alone: NaN is shown, and differs from itself.
            if any(other[at][0] != each[0][at][0] for other in each[1:]):
                row = blocks[block].start + at
                differing[f"row {row} of {path} of the {split} data"] = shown
                break
    collectives.check_equal("rows, in the same order,", differing)
    return True


_DIGESTS: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
"""Of sources that were read, for they are evaluated again and again."""


def _digests(source: Any) -> dict[str, list[str]]:
    try:
        if source not in _DIGESTS:
            _DIGESTS[source] = block_digests(source)
        return _DIGESTS[source]
    except TypeError:  # It has no hash, or takes no weak reference.
        return block_digests(source)


def _first_other(
    first: Mapping[str, list[str]], other: Mapping[str, list[str]]
) -> tuple[int, str] | None:
    """The first block that differs, and of which array."""
    return min(
        (
            (block, path)
            for path, digests in first.items()
            for block, digest in enumerate(digests)
            if digest != other[path][block]
        ),
        default=None,
    )


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
        collectives.check_equal(
            "number of batches", {"next batches of the training input": have}
        )
        if chunk is None:
            raise StopIteration
        return chunk

    def state(self, step: int) -> dict[str, Any]:
        """The place before `step`, in each process's own data."""
        places = collectives.gather(self._batches.state(step))
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
    if len(places) != collectives.process_count():
        raise DataError(
            Diagnostic(
                "place",
                f"is that of {len(places)} processes, and there are "
                f"{collectives.process_count()}",
                expected="as many as wrote the checkpoint, as each had its own input",
                hint="Start as many, or RunConfig(resume_input='restart').",
                code="data-place",
            )
        )
    return places[collectives.process_index()]


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
                collectives.check_equal("data", {"rows of the input": has})
            if not collectives.any_process(batch is not None):
                return
            if batch is None and last is not None:
                nothing = np.zeros_like(last.mask)
                batch = dataclasses.replace(last, mask=nothing, rows=0)
            if batch is not None:
                last = batch
                yield batch
