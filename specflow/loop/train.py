"""The training loop: batch, step, write, evaluate, save, in this order."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from specflow.contract import HostPair
from specflow.data import Chunk
from specflow.diagnostics.errors import NanLossDuringTrainingError
from specflow.executor import Program, TrainState
from specflow.loop.actions import Actions, NoActions
from specflow.loop.hooks import StopTraining, call_all, call_hooks
from specflow.loop.pace import Pace
from specflow.loop.step_losses import DispatchedSteps, LossWriter

__all__ = ["Report", "TrainResult", "train"]

Report = Callable[[int, str, Mapping[str, Any]], None]
"""Writes metrics down: (step, split, metrics)."""


@dataclasses.dataclass(frozen=True, slots=True)
class TrainResult:
    """Step and state at which training ended."""

    step: int
    """Steps taken, over all runs."""
    state: TrainState
    loss: float | None
    """Loss of the last step, before its update; None if no step was taken."""
    data_ended: bool
    """True if the input ended before `stop_step`."""


@dataclasses.dataclass(slots=True)
class _Run:
    """The variables of the loop that an error handler needs."""

    step: int
    state: TrainState
    pending: DispatchedSteps | None = None
    """The last device loop, while its losses are not read."""
    loss: float | None = None
    is_saveable: bool = False
    """True if `state` is that of a finished step, which an error would lose."""


def train(
    program: Program,
    state: TrainState,
    chunks: Iterable[Chunk],
    *,
    start_step: int,
    stop_step: int | None,
    actions: Actions | None = None,
    hooks: Sequence[Any] = (),
    pace: Pace | None = None,
    host_call: HostPair | None = None,
    host_call_every: int = 1,
) -> TrainResult:
    """Trains from `start_step` until `stop_step` or the end of the data.

    The devices never wait for the host: a device loop is dispatched before the losses
    of the previous one are read. Device loops end where an action is due.

    Args:
        program: The compiled steps.
        state: The state to start from; it is donated.
        chunks: Stacked batches in order; the first chunk contains `start_step`.
        start_step: Steps already taken.
        stop_step: Step at which to stop; None: at the end of the data.
        actions: Evaluate, save, export, log and profile; None: nothing does.
        hooks: Objects with any of begin, before_step, after_step, end. They follow the
            actions of their step, and their `end` follows `actions.finish`.
        pace: Limits the steps of a device loop whose length is given in seconds.
        host_call: Called with the rows of finished steps, in order.
        host_call_every: Steps between two host calls; the first step has one.

    Raises:
        NanLossDuringTrainingError: A loss is not finite, or a gradient is not at the
            smallest loss scale. No action gets that state.
    """
    actions = NoActions() if actions is None else actions
    writer = LossWriter(actions, host_call, host_call_every)
    run, data_ended = _Run(start_step, state), False
    del state  # Donated: only `run` refers to it.
    iterator = iter(chunks)
    # A hook that stops training lets the steps before it count as at any other end.
    with _rescued(run, actions), contextlib.suppress(StopTraining):
        call_hooks(hooks, "begin", run.step)
        while stop_step is None or run.step < stop_step:
            # 1. Batch. An error of the input loses no step: its state can be saved.
            run.is_saveable = run.step > start_step
            with program.timing("input"):
                chunk = next(iterator, None)
            run.is_saveable = False
            if chunk is None:
                data_ended = True
                break
            features, labels = program.put((chunk.features, chunk.labels), axis=1)
            end = chunk.first_step + chunk.steps
            is_logged = actions.is_logged(
                chunk.first_step + np.arange(1, chunk.steps + 1)
            )
            while run.step < end and (stop_step is None or run.step < stop_step):
                # 2. Step: as many as fit before the next action, in one call.
                until = _loop_end(run.step, end, stop_step, actions, pace)
                began_s = time.perf_counter()
                run.is_saveable = False
                call_hooks(hooks, "before_step", run.step)
                start, stop = run.step - chunk.first_step, until - chunk.first_step
                run.state, losses, outputs = program.train(
                    run.state, features, labels, start, stop, is_logged
                )
                previous, run.pending = (
                    run.pending,
                    DispatchedSteps(
                        losses, outputs, labels, chunk.first_step, start, stop
                    ),
                )
                run.step, run.is_saveable = until, True
                # 3. Write: the losses of the previous loop, while this one runs.
                if previous is not None:
                    run.loss = writer.write(previous)
                due = actions.due(run.step)
                if due or hooks or pace is not None:
                    # A state is saved and shown only if its own loss is finite.
                    run.loss, run.pending = writer.write(run.pending), None
                    if pace is not None:
                        pace.took(stop - start, time.perf_counter() - began_s)
                # 4. Evaluate before saving: the metrics judge the checkpoint.
                between = []
                if due.evaluate:
                    between.append(
                        functools.partial(actions.evaluate, run.step, run.state)
                    )
                if due.save:
                    between.append(functools.partial(actions.save, run.step, run.state))
                if due.profile:
                    between.append(functools.partial(actions.profile, run.step))
                between.append(
                    functools.partial(
                        call_hooks, hooks, "after_step", run.step, run.loss
                    )
                )
                call_all(between)
                if actions.should_stop():
                    raise StopTraining
    run.is_saveable = run.step > start_step
    with _rescued(run, actions):
        if run.pending is not None:
            run.loss, run.pending = writer.write(run.pending), None
        actions.finish(run.step, run.state)
        call_hooks(hooks, "end", run.step)
    return TrainResult(run.step, run.state, run.loss, data_ended)


@contextlib.contextmanager
def _rescued(run: _Run, actions: Actions) -> Iterator[None]:
    """Saves the last finished step when an action, a hook or the input raises."""
    try:
        yield
    except NanLossDuringTrainingError:
        raise
    except Exception as error:
        if run.is_saveable and (run.pending is None or run.pending.is_finite()):
            try:
                actions.rescue(run.step, run.state, error)
            except Exception as other:
                error.add_note(f"The state of step {run.step} was not saved: {other}")
        raise


def _loop_end(
    step: int, end: int, stop_step: int | None, actions: Actions, pace: Pace | None
) -> int:
    """Returns the step at which the next device loop ends."""
    ends = [end, actions.next_step(step), stop_step]
    if pace is not None:
        ends.append(step + pace.steps)
    return min(candidate for candidate in ends if candidate is not None)
