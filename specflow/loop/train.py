"""The training loop, readable from top to bottom."""

import contextlib
import dataclasses
import functools
import operator
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from specflow.contract import HostPair
from specflow.diagnostics.errors import Diagnostic, NanLossDuringTrainingError
from specflow.executor import (
    LEAST_SCALE,
    Program,
    StepOutputs,
    TrainState,
    to_host,
)
from specflow.loop.hooks import (
    Action,
    StopTraining,
    Trigger,
    call_all,
    call_hooks,
)
from specflow.loop.pace import Pace

__all__ = ["Measured", "Report", "Rescue", "TrainResult", "Watch", "train"]

Report = Callable[[int, str, Mapping[str, Any]], None]
"""(step, split, metrics): somebody writes them down."""

Rescue = Callable[[int, TrainState, Exception], None]
"""(step, state, error): saves the state of the last step, which an error would lose."""

Measured = Callable[[int], dict[str, float]]
"""Step -> what else it is reported with: its gradient norm and learning rates."""

Watch = Callable[[NDArray[Any], NDArray[Any], Measured], None]
"""(steps, losses, measured): consecutive steps, counted from 1, and the loss of each;
the third gives the other numbers of those that are `reported`, read when called."""


@dataclasses.dataclass(frozen=True, slots=True)
class TrainResult:
    """Where training ended."""

    step: int
    """Steps taken, over all runs."""
    state: TrainState
    loss: float | None
    """Loss of the last step, before its update; None if no step was taken."""
    data_ended: bool
    """Whether the input ended before `stop_step`."""


@dataclasses.dataclass(slots=True)
class _Pending:
    """Losses of steps that were dispatched but not read yet."""

    losses: jax.Array
    outputs: StepOutputs
    """What else the steps gave, stacked as the losses are."""
    first_step: int
    """Steps taken before that of the first entry of `losses`."""
    start: int
    stop: int
    labels: Any
    """Of these steps, stacked as the losses are."""


def _all(steps: NDArray[Any]) -> NDArray[np.bool_]:
    return np.ones(len(steps), bool)


def train(
    program: Program,
    state: TrainState,
    chunks: Iterable[Any],
    *,
    start_step: int,
    stop_step: int | None,
    watch: Watch | None = None,
    reported: Callable[[NDArray[Any]], NDArray[np.bool_]] = _all,
    skipped: Callable[[NDArray[Any]], None] | None = None,
    progress: Callable[[int, float], None] | None = None,
    triggers: Sequence[Trigger] = (),
    finish: Action | None = None,
    rescue: Rescue | None = None,
    nan_hint: Callable[[int, Any, int], str] | None = None,
    hooks: Sequence[Any] = (),
    should_stop: Callable[[], bool] | None = None,
    pace: Pace | None = None,
    host_call: HostPair | None = None,
    host_call_every: int = 1,
) -> TrainResult:
    """Trains from `start_step` until `stop_step` or the end of the data.

    The devices never wait for the host: a stretch of steps is dispatched before the
    losses of the one before it are read. Stretches end where a rhythm is due.

    Args:
        program: the compiled steps.
        state: what to start from; used up.
        chunks: stacked batches in order, each with `first_step`, `steps`, `features`
            and `labels`; the first one holds `start_step`.
        start_step: steps already taken.
        stop_step: step at which to stop; None for the end of the data.
        watch: takes the losses of every stretch, as far as they are finite.
        reported: steps, counted from 1 -> those of which `watch` reads `measured`; the
            same in all processes.
        skipped: takes the numbers of steps that were skipped, before `watch` takes the
            losses of the same stretch.
        progress: takes the step and its loss, after every stretch.
        triggers: actions on the state; every loss up to then is known to be finite.
        finish: an action on the last state, however training ended but for an error.
        rescue: called with the state of the last step when one of the actions, a hook
            after the step, `watch` or the like raises; every loss up to then is known
            to be finite. The error is raised all the same, and what this raises is
            added to it as a note. An error in the input does so with the
            last step before the chunk that was asked for; one in the step calls
            nothing.
        nan_hint: (step, stacked labels, its place among them) -> what to add to the
            message of a loss that is not finite.
        hooks: objects with any of begin, before_step, after_step, end. They follow the
            actions of their step, and their `end` follows `finish`.
        should_stop: asked after every stretch; true ends training there.
        pace: says how many steps a stretch may have, where its length is meant in
            seconds.
        host_call: called with the rows of steps that are done, in their order.
        host_call_every: steps between two such calls; the first step has one.

    Raises:
        NanLossDuringTrainingError: a loss is not finite, or a gradient at the least
            scale of the loss. No action sees that state.
    """
    step, pending, loss = start_step, None, None
    data_ended = is_taken = False  # Whether `state` is that of a step just taken.

    def read(pending: _Pending) -> float:
        losses = np.asarray(pending.losses)[pending.start : pending.stop]
        steps = pending.first_step + np.arange(pending.start, pending.stop) + 1
        scales = _skipped_at(pending)
        sound = np.isfinite(losses) & (scales != LEAST_SCALE)
        sound = np.logical_and.accumulate(sound)
        try:
            if skipped is not None and scales.any():
                skipped(steps[sound & (scales > 0)])
            if watch is not None:
                watch(
                    steps[sound],
                    losses[sound],
                    functools.partial(_measured_at, pending),
                )
        finally:
            if not sound.all():
                first = int(sound.sum())
                if np.isfinite(losses[first]):
                    raise _at_least_scale(int(steps[first]))
                bad, value = int(steps[first]), float(losses[first])
                index = bad - 1 - pending.first_step
                hint = nan_hint and nan_hint(bad, pending.labels, index)
                raise _not_finite(bad, value, hint)
        if host_call is not None:
            stacked = to_host(pending.outputs.host_call)
            for index in range(pending.start, pending.stop):
                if (pending.first_step + index) % host_call_every == 0:
                    host_call(jax.tree.map(operator.itemgetter(index), stacked))
        if progress is not None:
            progress(int(steps[-1]), float(losses[-1]))
        return float(losses[-1])

    @contextlib.contextmanager
    def rescued() -> Iterator[None]:
        try:
            yield
        except NanLossDuringTrainingError:
            raise
        except Exception as error:
            if rescue is not None and is_taken and _are_finite(pending):
                try:
                    rescue(step, state, error)
                except Exception as other:
                    error.add_note(f"The state of step {step} was not saved: {other}")
            raise

    iterator = iter(chunks)
    # Steps that were asked for are done where a hook stops; saved as at any end.
    with rescued(), contextlib.suppress(StopTraining):
        call_hooks(hooks, "begin", step)
        while stop_step is None or step < stop_step:
            is_taken = step > start_step  # No step is lost by an error of the input.
            with program.timing("input"):
                chunk = next(iterator, None)
            is_taken = False
            if chunk is None:
                data_ended = True
                break
            features, labels = program.put((chunk.features, chunk.labels), axis=1)
            end = chunk.first_step + chunk.steps
            of_chunk = reported(chunk.first_step + np.arange(1, chunk.steps + 1))
            while step < end and (stop_step is None or step < stop_step):
                until = _stretch(step, end, stop_step, triggers, pace)
                began = time.perf_counter()
                is_taken = False
                call_hooks(hooks, "before_step", step)
                start, stop = step - chunk.first_step, until - chunk.first_step
                state, losses, outputs = program.train(
                    state, features, labels, start, stop, of_chunk
                )
                former = pending
                pending = _Pending(
                    losses, outputs, chunk.first_step, start, stop, labels
                )
                step, is_taken = until, True
                if former is not None:
                    loss = read(former)
                due = [trigger for trigger in triggers if trigger.is_due(step)]
                if due or hooks or pace is not None:
                    # What an action saves or shows must be finite: read before it acts.
                    loss, pending = read(pending), None
                    if pace is not None:
                        pace.took(stop - start, time.perf_counter() - began)
                acts = [
                    functools.partial(trigger.action, step, state) for trigger in due
                ]
                acts.append(
                    functools.partial(call_hooks, hooks, "after_step", step, loss)
                )
                call_all(acts)
                if should_stop is not None and should_stop():
                    raise StopTraining
    is_taken = step > start_step
    with rescued():
        if pending is not None:
            loss, pending = read(pending), None
        if finish is not None:
            finish(step, state)
        call_hooks(hooks, "end", step)
    return TrainResult(step, state, loss, data_ended)


def _stretch(
    step: int,
    end: int,
    stop_step: int | None,
    triggers: Sequence[Trigger],
    pace: Pace | None,
) -> int:
    """Where the next stretch of steps ends."""
    ends = [end, *(trigger.next_after(step) for trigger in triggers), stop_step]
    if pace is not None:
        ends.append(step + pace.steps)
    return min(found for found in ends if found is not None)


def _are_finite(pending: _Pending | None) -> bool:
    """Whether losses that nobody has read yet are finite, and can be read."""
    if pending is None:
        return True
    try:
        losses = np.asarray(pending.losses)[pending.start : pending.stop]
        scales = _skipped_at(pending)
    except Exception:
        return False  # The step itself failed: its error is on the way already.
    return bool((np.isfinite(losses) & (scales != LEAST_SCALE)).all())


def _measured_at(pending: _Pending, step: int) -> dict[str, float]:
    """What a step is reported with beside its loss."""
    return pending.outputs.measured.at(step - 1 - pending.first_step)


def _skipped_at(pending: _Pending) -> NDArray[Any]:
    """The scale of the loss at which each step was skipped; 0 where it was taken."""
    scales = pending.outputs.skipped
    if isinstance(scales, tuple):
        return np.zeros(pending.stop - pending.start, np.float32)
    return np.asarray(scales)[pending.start : pending.stop]


def _at_least_scale(step: int) -> NanLossDuringTrainingError:
    return NanLossDuringTrainingError(
        Diagnostic(
            f"step {step}",
            "the gradient is not finite, and the dynamic loss scale is already "
            f"{LEAST_SCALE:g}, its least: the step was skipped, as all like it would "
            "be",
            expected="finite gradients",
            hint="Look at the rows of that step for what has no derivative there, such "
            "as the square root of 0 or the norm of zeros.",
            code="loss-scale",
        )
    )


def _not_finite(
    step: int, loss: float, hint: str | None = None
) -> NanLossDuringTrainingError:
    return NanLossDuringTrainingError(
        Diagnostic(
            f"step {step}",
            f"the loss, or a parameter after the update, is {loss}",
            expected="finite numbers",
            hint="No checkpoint was written of it. Lower optimizer.lr, set "
            "optimizer.clip_norm, or look at the rows of that step."
            + (f" {hint}" if hint else ""),
            code="nan-loss",
        )
    )
