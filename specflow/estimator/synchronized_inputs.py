"""Inputs of several processes in step: a step is taken by all or by none."""

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
    DigestedSource,
    RepeatedBatches,
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
    "agree_on_batches",
    "agree_on_form",
    "agree_on_rows",
    "meet_after_error",
    "own_place",
]

_ERRORS = itertools.count()
"""Numbers of the barriers after an error, in the same order on all processes."""


def meet_after_error() -> None:
    """Waits until all processes have reached an error at the same step.

    The others keep computing if only one failed, so that it waits with a timeout and
    not in a computation.

    Raises:
        TimeoutError: the others did not arrive.
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
        split: split of the data, for the message.
        form: shapes and dtypes of this process's batches.

    Raises:
        ConfigError: they differ; the message names the array and the processes.
    """
    if collectives.process_count() > 1:
        flat, _ = jax.tree_util.tree_flatten_with_path(form)
        name = functools.partial(jax.tree_util.keystr, simple=True, separator=".")
        facts = {
            f"{split} batch, array {name(path)}": f"{leaf.dtype}{list(leaf.shape)}"
            for path, leaf in flat
        }
        collectives.check_equal("data", facts)


def agree_on_batches(value: Any) -> None:
    """Checks that an input that is repeated has as many batches in all processes.

    Raises:
        ConfigError: they have different numbers of batches, and so epochs.
    """
    if isinstance(value, RepeatedBatches):
        count = {"batches of the training input": value.count}
        collectives.check_equal("data", count)


def agree_on_rows(split: str, data: Any) -> bool:
    """Checks that all processes have the same rows in the same order.

    Each process reads its own share of them. All rows are compared up to 64 MiB, and
    blocks of that size in total beyond; of a source that knows the digest of its
    content, the digest.

    Returns:
        True if the data has random access to its rows; the rows of an iterable differ
        between processes.

    Raises:
        ConfigError: the rows differ; the message names the first one.
    """
    source = as_source(data)
    if source is None:
        return False
    facts: dict[str, Any] = {f"rows of the {split} data": len(source)}
    for path, form in row_forms(source).items():
        facts[f"a row of {path} of the {split} data"] = form
    if isinstance(source, DigestedSource):
        facts[f"digest of the files of the {split} data"] = source.digest
    collectives.check_equal("data", facts)
    if isinstance(source, DigestedSource):
        return True
    blocks = compared_blocks(source)
    first, *others = collectives.gather(_digests(source))
    # All processes get the same digests, and request the same rows.
    blocks_to_compare = {
        block for other in others if (block := _first_other(first, other))
    }
    if not blocks_to_compare:
        return True
    local_rows = [
        (block, path, row_digests(source, path, blocks[block]))
        for block, path in sorted(blocks_to_compare)
    ]
    gathered = collectives.gather([rows for _, _, rows in local_rows])
    differing: dict[str, Any] = {}
    for (block, path, rows), *each in zip(local_rows, *gathered, strict=True):
        for at, (_, shown) in enumerate(rows):
            # By digest: a row of NaN differs from itself.
            if any(other[at][0] != each[0][at][0] for other in each[1:]):
                row = blocks[block].start + at
                differing[f"row {row} of {path} of the {split} data"] = shown
                break
    collectives.check_equal("rows, in the same order,", differing)
    return True


_DIGESTS: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
"""Digests of sources that were read, since they are evaluated repeatedly."""


def _digests(source: Any) -> dict[str, list[str]]:
    try:
        if source not in _DIGESTS:
            _DIGESTS[source] = block_digests(source)
        return _DIGESTS[source]
    except TypeError:  # No hash, or no weak reference.
        return block_digests(source)


def _first_other(
    first: Mapping[str, list[str]], other: Mapping[str, list[str]]
) -> tuple[int, str] | None:
    """Returns the first block that differs, and its array."""
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
    """Training batches of an iterable, each process with its own part of each.

    Args:
        batches: the batches of this process.
    """

    def __init__(self, batches: TrainInput):
        self._batches = batches

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Chunk:
        """Returns the next chunk.

        Raises:
            ConfigError: another process has more steps, or fewer; the message names it.
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
        """Returns the place before `step`, in the data of each process."""
        places = collectives.gather(self._batches.state(step))
        if all(place == places[0] for place in places):
            return places[0]
        return {"next_step": step, "processes": places}

    def part_rows(self, step: int) -> dict[str, int]:
        return self._batches.part_rows(step)

    def give_back(self, step: int) -> None:
        """Returns the batches of `step` and later ones to the input."""
        self._batches.give_back(step)

    def close(self) -> None:
        """Stops what runs in the background."""
        self._batches.close()


def own_place(place: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Returns this process's place in the data from that of a checkpoint.

    Raises:
        DataError: it was written by another number of processes with their own places.
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
    """Evaluation batches of an iterable, each process with its own part of each.

    A process without further rows yields padding until all processes are done.

    Args:
        batches: the batches of this process.
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
                padding = np.zeros_like(last.mask)
                batch = dataclasses.replace(last, mask=padding, rows=0)
            if batch is not None:
                last = batch
                yield batch
