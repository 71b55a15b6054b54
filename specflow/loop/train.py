"""The training loop: batch, step, write, evaluate, save, in this order."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specflow.contract import HostPair
from specflow.data import Chunk
from specflow.diagnostics.errors import NanLossDuringTrainingError
from specflow.executor import Program, TrainState
from specflow.executor.array_types import Features, Labels
from specflow.executor.device_loops import (
    DeviceLoop,
    DeviceLoops,
    HeldState,
    read_state,
)
from specflow.loop.actions import Actions, Due, NoActions
from specflow.loop.hooks import StopTraining, call_all, call_hooks, state_methods
from specflow.loop.loop_length import LoopLengthEstimator
from specflow.loop.step_losses import DispatchedSteps, LossWriter

__all__ = ["MetricsCallback", "TrainResult", "train"]

MetricsCallback = Callable[[int, str, Mapping[str, Any]], None]
"""Reports metrics: (step, split, metrics)."""


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
    state: TrainState | HeldState
    pending: DispatchedSteps | None = None
    """The last device loop, while its losses are not read."""
    loss: float | None = None
    is_saveable: bool = False
    """True if `state` has progress that an error would lose."""


def train(
    program: Program,
    state: TrainState,
    chunks: Iterable[Chunk],
    *,
    start_step: int,
    stop_step: int | None,
    actions: Actions | None = None,
    hooks: Sequence[Any] = (),
    loop_length: LoopLengthEstimator | None = None,
    host_call: HostPair | None = None,
    host_call_every: int = 1,
) -> DeviceLoops[TrainResult]:
    """Trains from `start_step` until `stop_step` or the end of the data.

    A generator: it yields each device loop, and is sent its result. `run_alone`
    dispatches them one by one; a `Pack` dispatches those of several trainings at once.

    Normally the next device loop is dispatched before the losses of the previous one
    are read. Where an action is due, and after every loop with hooks or `loop_length`,
    the losses are read first. Device loops end where an action is due.

    Args:
        program: the compiled steps.
        state: the state to start from; it is donated.
        chunks: stacked batches in order; the first chunk contains `start_step`.
        start_step: steps already taken.
        stop_step: step at which to stop. If None, the end of the data.
        actions: evaluation, saving, export, logging and profiling between device
            loops. If None, none are run.
        hooks: objects with any of begin, before_step, after_step, end. They follow the
            actions of their step, and their `end` follows `actions.finish`. Those with
            `state_methods` precede the actions: a checkpoint has their state after the
            step.
        loop_length: limits the steps of a device loop whose length is given in seconds.
        host_call: called with the rows of finished steps, in order.
        host_call_every: steps between two host calls; the first step has one.

    Returns:
        Where training ended.

    Raises:
        NanLossDuringTrainingError: the loss is NaN or infinite, or gradients are still
            non-finite at the minimum loss scale. No action receives that state.
    """
    actions = NoActions() if actions is None else actions
    writer = LossWriter(actions, host_call, host_call_every)
    run, data_ended = _Run(start_step, state), False
    del state  # Donated: only `run` refers to it.
    iterator = iter(chunks)
    # StopTraining ends the loop normally: the completed steps are kept.
    with _save_on_error(run, actions, writer), contextlib.suppress(StopTraining):
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
            log_mask = actions.log_mask(
                chunk.first_step + np.arange(1, chunk.steps + 1)
            )
            while run.step < end and (stop_step is None or run.step < stop_step):
                # 2. Step: as many as fit before the next action, in one call.
                loop_start = run.step
                loop_stop = _loop_stop(run.step, end, stop_step, actions, loop_length)
                start_time_s = time.perf_counter()
                run.is_saveable = False
                call_hooks(hooks, "before_step", run.step)
                previous = run.pending
                dispatched = yield from _run_device_loop(
                    run, program, chunk, (features, labels, log_mask), loop_stop
                )
                # Asked before anything can fail: a state that is saved after an error
                # then knows that its evaluation has not begun.
                due = actions.due(run.step)
                # 3. Write: the losses of the previous loop, while this one runs.
                if previous is not None:
                    run.loss = writer.write(previous)
                if due or hooks or loop_length is not None:
                    # A state is saved and shown only if its own loss is finite.
                    run.pending = None
                    run.loss = writer.write(dispatched)
                    if loop_length is not None:
                        loop_length.record(
                            loop_stop - loop_start, time.perf_counter() - start_time_s
                        )
                # 4. Evaluate and save.
                _run_due_actions(run, due, actions, hooks)
                if actions.should_stop():
                    raise StopTraining
    run.is_saveable = run.step > start_step
    with _save_on_error(run, actions, writer):
        if run.pending is not None:
            pending, run.pending = run.pending, None
            run.loss = writer.write(pending)
        state = read_state(run.state)
        actions.finish(run.step, state)
        call_hooks(hooks, "end", run.step)
    return TrainResult(run.step, state, run.loss, data_ended)


def _run_device_loop(
    run: _Run,
    program: Program,
    chunk: Chunk,
    batches: tuple[Features, Labels, NDArray[np.bool_]],
    loop_stop: int,
) -> DeviceLoops[DispatchedSteps]:
    """Has the steps dispatched until `loop_stop`, and updates `run`.

    Args:
        run: the step and state before.
        program: the compiled steps.
        chunk: the stacked batches that contain the steps.
        batches: its features and labels on the mesh, and its mask of logged steps.
        loop_stop: steps taken after the loop.

    Returns:
        The device loop, which is now pending.
    """
    features, labels, log_mask = batches
    start, stop = run.step - chunk.first_step, loop_stop - chunk.first_step
    host_batches = chunk.features, chunk.labels
    run.state, losses, outputs = yield DeviceLoop(
        program, run.state, features, labels, log_mask, start, stop, host_batches
    )
    run.pending = DispatchedSteps(
        losses, outputs, labels, chunk.first_step, start, stop
    )
    run.step, run.is_saveable = loop_stop, True
    return run.pending


def _run_due_actions(
    run: _Run, due: Due, actions: Actions, hooks: Sequence[Any]
) -> None:
    """Runs the actions that are due, then the hooks.

    Hooks with a state precede the actions, which save it: it includes this step.
    """
    stateful = [hook for hook in hooks if state_methods(hook) is not None]
    others = [hook for hook in hooks if state_methods(hook) is None]
    callbacks: list[Callable[[], Any]] = [
        functools.partial(call_hooks, stateful, "after_step", run.step, run.loss)
    ]
    # Evaluate before saving: the metrics judge the checkpoint.
    if due.evaluate:
        callbacks.append(lambda: actions.evaluate(run.step, read_state(run.state)))
    if due.save:
        callbacks.append(lambda: actions.save(run.step, read_state(run.state)))
    if due.profile:
        callbacks.append(functools.partial(actions.profile, run.step))
    callbacks.append(
        functools.partial(call_hooks, others, "after_step", run.step, run.loss)
    )
    # call_all runs all of them even if one raises StopTraining.
    call_all(callbacks)


@contextlib.contextmanager
def _save_on_error(run: _Run, actions: Actions, writer: LossWriter) -> Iterator[None]:
    """Saves the last finished step when an action, a hook or the input raises.

    Its loss is written before: a resumed run does not take these steps again.
    """
    try:
        yield
    except NanLossDuringTrainingError:
        raise
    except Exception as error:
        if run.is_saveable and (run.pending is None or run.pending.is_finite()):
            if run.pending is not None:
                with contextlib.suppress(Exception):  # The first error is raised.
                    writer.write(run.pending)
            try:
                actions.save_on_error(run.step, read_state(run.state), error)
            except Exception as other:
                error.add_note(f"The state of step {run.step} was not saved: {other}")
        raise


def _loop_stop(
    step: int,
    end: int,
    stop_step: int | None,
    actions: Actions,
    loop_length: LoopLengthEstimator | None,
) -> int:
    """Returns the step at which the next device loop ends."""
    ends = [end, actions.next_step(step), stop_step]
    if loop_length is not None:
        ends.append(step + loop_length.steps_per_loop)
    return min(candidate for candidate in ends if candidate is not None)
