"""What one step computes: pure functions of state and batch, for each mode."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from specflow.diagnostics.errors import Diagnostic, spec_error
from specflow.executor.gradients import gradients, host_tensors
from specflow.executor.measured import Measured
from specflow.executor.optimizer_step import Optimizer
from specflow.executor.traced_once import Traced
from specflow.executor.train_state import TrainState
from specflow.runtime.typing import describe

__all__ = [
    "StepOutputs",
    "eval_step",
    "predict_step",
    "single_step",
    "train_loop",
    "train_step",
]


class StepOutputs(NamedTuple):
    """What a training step gives beside its state and its loss."""

    host_call: Any
    """The tensors of `host_call`."""
    skipped: Any
    """The scale of the loss at which the step was skipped, 0 where it was taken,
    float32[]; `()` where the scale is not dynamic."""
    measured: Measured = Measured((), ())
    """What the step is reported with beside its loss."""


Step = Callable[..., tuple[TrainState, jax.Array, StepOutputs]]


def train_step(
    state: TrainState,
    features: Any,
    labels: Any,
    wanted: jax.Array | None = None,
    *,
    forward: Traced,
    optimizer: Optimizer,
    micro_steps: int = 1,
    unroll: bool = False,
) -> tuple[TrainState, jax.Array, StepOutputs]:
    """One step: the loss before the update, and the state after it.

    Args:
        state: what the step starts from.
        features: arrays, rows first.
        labels: arrays, rows first, or None.
        wanted: bool[], whether the step is reported; None: not known, it may be.
        forward: the model function, traced for TRAIN with the rows of a micro-step.
        optimizer: its `train_op`.
        micro_steps: parts in which the batch is computed.
        unroll: whether they are written out one after the other.

    Returns:
        The state after the update; the loss, float32[]; what else it gives.
    """
    if optimizer.is_function:
        spec, _ = forward(state.params, state.model_state, features, labels)
        after = _state_of(optimizer.train_op(state, (features, labels)))
        after = after._replace(step=state.step + 1)
        outputs = StepOutputs(host_tensors(spec), ())
        return after, spec.loss.astype(jnp.float32), outputs

    trained = {path: state.params[path] for path in optimizer.trained}
    found, loss, model_state, called = gradients(
        trained,
        state.params,
        state.model_state,
        (features, labels),
        forward=forward,
        scale=optimizer.scale(state.opt_state),
        micro_steps=micro_steps,
        unroll=unroll,
    )
    model_state |= {
        name: state.model_state[name] for name in optimizer.frozen_statistics
    }
    moved, opt_state = optimizer.update(found, state.opt_state, trained, model_state)
    skipped = optimizer.skipped(state.opt_state, opt_state)
    if isinstance(skipped, jax.Array):
        # What overflowed may be in them, and would stay there.
        model_state |= {
            name: jnp.where(skipped > 0, state.model_state[name], model_state[name])
            for name in optimizer.statistics
        }
    params = {**state.params, **moved}
    after = TrainState(state.step + 1, params, model_state, opt_state)
    measured = optimizer.measured(
        found, state.opt_state, opt_state, state.step, wanted=wanted
    )
    outputs = StepOutputs(called, skipped, measured)
    return after, loss.astype(jnp.float32), outputs


def single_step(
    state: TrainState,
    losses: jax.Array,
    outputs: StepOutputs,
    features: Any,
    labels: Any,
    wanted: jax.Array,
    index: jax.Array,
    *,
    forward: Traced,
    step: Step,
) -> tuple[TrainState, jax.Array, StepOutputs]:
    """What `train_loop` does, for one of the stacked batches alone."""
    carry = (state, losses, outputs)
    state, losses, outputs = indexed_step(
        carry, features, labels, wanted, index, forward=forward, step=step
    )
    return state, checked(state, losses, index), outputs


def indexed_step(
    carry: tuple[TrainState, jax.Array, StepOutputs],
    features: Any,
    labels: Any,
    wanted: jax.Array,
    index: jax.Array,
    *,
    forward: Traced,
    step: Step,
) -> tuple[TrainState, jax.Array, StepOutputs]:
    """One step on one of several stacked batches; what it says is laid to the others'.

    Args:
        carry: what the step starts from, and what the steps before it said: losses,
            float32, and the other outputs, one for each stacked batch.
        features: batches, stacked on a new first axis.
        labels: likewise, or None.
        wanted: bool, for each stacked batch whether its step is reported.
        index: int32[], the batch to use.
        forward: the model function, traced for TRAIN.
        step: `train_step`, all but its batch and `forward` given.
    """
    batch = jax.tree.map(
        lambda rows: lax.dynamic_index_in_dim(rows, index, keepdims=False),
        (features, labels, wanted),
    )
    state, losses, outputs = carry
    state, *said = step(state, *batch, forward=forward)
    losses, outputs = jax.tree.map(
        lambda stack, one: stack.at[index].set(one), (losses, outputs), tuple(said)
    )
    return state, losses, outputs


def checked(state: TrainState, losses: jax.Array, last: jax.Array) -> jax.Array:
    """The losses, with NaN for that of step `last` if a parameter is not finite.

    An update can ruin the parameters of a step whose loss was still finite: nobody
    would notice before the next loss, and a checkpoint may come between.
    """
    whole = jnp.array(True)
    for array in jax.tree.leaves(state.params):
        if jnp.issubdtype(array.dtype, jnp.inexact):
            whole &= jnp.isfinite(array).all()
    return losses.at[last].set(jnp.where(whole, losses[last], jnp.nan))


def train_loop(
    state: TrainState,
    losses: jax.Array,
    outputs: StepOutputs,
    features: Any,
    labels: Any,
    wanted: jax.Array,
    start: jax.Array,
    stop: jax.Array,
    *,
    forward: Traced,
    step: Step,
) -> tuple[TrainState, jax.Array, StepOutputs]:
    """Several steps without returning to the host.

    The bounds are inputs of the program, so that one program serves every stretch
    between two reports, evaluations or checkpoints, and nothing is compiled twice.

    Args:
        state: what the first step starts from.
        losses: float32, one for each stacked batch.
        outputs: what else the steps gave, stacked likewise.
        features: batches, stacked on a new first axis.
        labels: likewise, or None.
        wanted: bool, for each stacked batch whether its step is reported.
        start: int32[], first batch to use.
        stop: int32[], one past the last batch to use.
        forward: the model function, traced for TRAIN.
        step: `train_step`, all but its batch and `forward` given.

    Returns:
        The state after the last step, and losses and outputs with those of these steps
        set.
    """

    def body(index: jax.Array, carry: Any) -> Any:
        return indexed_step(
            carry, features, labels, wanted, index, forward=forward, step=step
        )

    carry = (state, losses, outputs)
    state, losses, outputs = lax.fori_loop(start, stop, body, carry)
    return state, checked(state, losses, stop - 1), outputs


def eval_step(
    params: Any,
    model_state: Any,
    features: Any,
    labels: Any,
    mask: Any,
    *,
    forward: Traced,
) -> dict[str, Any]:
    """The loss of a batch, its eval tensors and those of `host_call`, batch-major."""
    spec, _ = forward(params, model_state, features, labels, mask)
    pair = spec.eval_metrics
    return {
        "loss": spec.loss,
        "mean_loss": () if spec.mean_loss is None else spec.mean_loss.parts,
        "tensors": () if pair is None else pair.tensors,
        "called": host_tensors(spec),
    }


def predict_step(
    params: Any, model_state: Any, features: Any, mask: Any, *, forward: Traced
) -> dict[str, Any]:
    """The predictions of a batch and the tensors of `host_call`, batch-major."""
    spec, _ = forward(params, model_state, features, None, mask)
    return {"predictions": spec.predictions, "called": host_tensors(spec)}


def _state_of(returned: Any) -> TrainState:
    """The state in what a `train_op` that is a function returned.

    Raises:
        SpecError: (also a TypeError) it returned something else.
    """
    if isinstance(returned, tuple) and len(returned) == 2:
        state, _ = returned
        if isinstance(state, TrainState):
            return state
    raise spec_error(
        Diagnostic(
            "train_op",
            f"is a function that returned {describe(returned)}",
            expected="(state, metrics), the state being the one given, changed",
            hint="An optimizer is made by a call: train_op=optax.sgd(0.1)."
            if hasattr(returned, "update")
            else "",
            kind=TypeError,
            code="train-op",
        )
    )
