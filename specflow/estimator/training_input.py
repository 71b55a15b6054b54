"""The training input: stacked batches from a step on, in step with other processes."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from specflow.config.epochs import EpochLength
from specflow.config.run_config import RunConfig
from specflow.data import Share, TrainInput, as_train_batches, epoch_length
from specflow.distributed import collectives
from specflow.estimator.input_functions import BatchForm
from specflow.estimator.synchronized_inputs import (
    TrainTogether,
    agree_on_rows,
    own_place,
)

__all__ = ["epoch_from", "stacked_steps", "training_input"]

_TIMED_STACK = 1_000
"""Batches stacked when `iterations_per_loop` is a time."""
_START = {"batches": 0, "rows": 0}
"""The place at which an input begins."""
_CHUNK_BYTES = 256 << 20
"""Limit of stacked batches in bytes, whatever `iterations_per_loop` is."""


def training_input(
    value: Any,
    form: BatchForm,
    open_input: Callable[[], Any],
    *,
    config: RunConfig,
    rows: int,
    seed: int,
    start_step: int,
    stop_step: int | None,
    place: Mapping[str, Any] | None,
    share: Share,
) -> TrainInput:
    """Stacks the batches of an input from a step on.

    Args:
        value: the input, as an input function returns it.
        form: shapes and dtypes of a batch.
        open_input: returns the input from its start, where it was read to its end.
        config: steps of a device loop, shuffling, and whether the input resumes.
        rows: rows of a batch, over all processes.
        seed: seed of the order of the rows.
        start_step: step at which training starts.
        stop_step: step at which it stops; None: unknown.
        place: place in the data at which the run resumes; None: at its start.
        share: parts of each batch that this process reads.
    """
    steps = stacked_steps(config, form, stop_step)
    batches = as_train_batches(
        value,
        batch_size=rows,
        steps_per_chunk=steps,
        seed=seed,
        shuffle=config.shuffle,
        start_step=start_step,
        place=_first_place(config, place),
        share=share,
        batch_rows=jax.tree.leaves(form)[0].shape[0],
        again=open_input,
    )
    if collectives.process_count() > 1 and not agree_on_rows("training", value):
        return TrainTogether(batches)
    return batches


def _first_place(
    config: RunConfig, place: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """Returns this process's place in the data at the first step of a call.

    Args:
        config: says whether the input resumes.
        place: of the checkpoint; None: there is none.
    """
    return _START if config.resume_input == "restart" else own_place(place)


def epoch_from(
    value: Any,
    config: RunConfig,
    rows: int,
    step: int,
    place: Mapping[str, Any] | None,
) -> EpochLength | None:
    """Returns the length of an epoch of an input, counted from a step.

    Args:
        value: the input, as an input function returns it.
        config: says whether the input resumes.
        rows: rows of a batch, over all processes.
        step: step at which training starts.
        place: place in the data of the checkpoint; None: there is none.
    """
    place = _first_place(config, place)
    return epoch_length(value, batch_size=rows, step=step, place=place)


def stacked_steps(config: RunConfig, form: BatchForm, stop: int | None) -> int:
    """Returns how many batches are stacked for one device loop.

    Args:
        config: gives the requested number.
        form: shapes and dtypes of a batch.
        stop: step at which training stops; None: unknown.
    """
    batch_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(form))
    fitting = max(1, _CHUNK_BYTES // max(1, batch_bytes))
    # A loop whose length is given in seconds takes part of a long stack of batches.
    wanted = config.tpu_config.loop_steps() or _TIMED_STACK
    return min(wanted, fitting, stop or wanted)
