"""Training, evaluation and prediction steps: pure functions of state and batch."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from specflow.diagnostics.errors import Diagnostic, spec_error
from specflow.executor.array_types import (
    Features,
    HostTensors,
    Labels,
    Mask,
    ModelState,
    Params,
    Tree,
)
from specflow.executor.gradients import gradients, host_tensors
from specflow.executor.grouped_reductions import Groups, all_finite
from specflow.executor.optimizer_step import Optimizer
from specflow.executor.step_metrics import StepMetrics
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
    """Outputs of a training step besides its state and its loss."""

    host_call: HostTensors
    """The tensors of `host_call`."""
    skipped: Tree
    """float32[]: loss scale if the step was skipped, else 0; `()` if the scale is not
    dynamic."""
    measured: StepMetrics = StepMetrics((), ())
    """Gradient norm and learning rates. A lowered program contains the names of these
    fields: renaming one changes all fingerprints."""


Step: TypeAlias = Callable[..., tuple[TrainState, jax.Array, StepOutputs]]
"""`train_step` with its optimizer bound."""


def train_step(
    state: TrainState,
    features: Features,
    labels: Labels,
    is_logged: jax.Array | None = None,
    *,
    forward: Traced,
    optimizer: Optimizer,
    groups: Groups,
    micro_steps: int = 1,
    unroll: bool = False,
) -> tuple[TrainState, jax.Array, StepOutputs]:
    """Computes the loss of a batch and updates the state.

    Args:
        state: the state before the step.
        features: batch-major arrays.
        labels: batch-major arrays, or None.
        is_logged: bool[], whether the step is logged. If None, it is treated as True.
        forward: the model function, traced for TRAIN with the rows of a micro-step.
        optimizer: the `train_op`.
        groups: paths of parameters that are alike; see `groups_of`.
        micro_steps: micro-batches to accumulate gradients over.
        unroll: whether micro-steps are unrolled instead of scanned.

    Returns:
        The state after the update; float32[], the loss before it; other outputs.
    """
    if optimizer.is_function:
        spec, _ = forward(state.params, state.model_state, features, labels)
        after = _returned_state(optimizer.train_op(state, (features, labels)))
        after = after._replace(step=state.step + 1)
        outputs = StepOutputs(host_tensors(spec), ())
        return after, spec.loss.astype(jnp.float32), outputs

    trained = {path: state.params[path] for path in optimizer.trained}
    grads, loss, model_state, host_call_outputs = gradients(
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
    updated, opt_state = optimizer.update(
        grads, state.opt_state, trained, model_state, groups=groups
    )
    skipped = optimizer.skipped(state.opt_state, opt_state)
    if isinstance(skipped, jax.Array):
        # Statistics of a skipped step may be non-finite, so keep the previous ones.
        model_state |= {
            name: jnp.where(skipped > 0, state.model_state[name], model_state[name])
            for name in optimizer.statistics
        }
    params = {**state.params, **updated}
    after = TrainState(state.step + 1, params, model_state, opt_state)
    step_metrics = optimizer.step_metrics(
        grads,
        state.opt_state,
        opt_state,
        state.step,
        groups=groups,
        is_logged=is_logged,
    )
    outputs = StepOutputs(host_call_outputs, skipped, step_metrics)
    return after, loss.astype(jnp.float32), outputs


def single_step(
    state: TrainState,
    losses: jax.Array,
    outputs: StepOutputs,
    features: Features,
    labels: Labels,
    log_mask: jax.Array,
    index: jax.Array,
    *,
    forward: Traced,
    step: Step,
    groups: Groups,
) -> tuple[TrainState, jax.Array, StepOutputs]:
    """Runs the step of one stacked batch; like `train_loop` with one trip."""
    carry = (state, losses, outputs)
    state, losses, outputs = indexed_step(
        carry, features, labels, log_mask, index, forward=forward, step=step
    )
    return state, mark_nonfinite_params(state, losses, index, groups), outputs


def indexed_step(
    carry: tuple[TrainState, jax.Array, StepOutputs],
    features: Features,
    labels: Labels,
    log_mask: jax.Array,
    index: jax.Array,
    *,
    forward: Traced,
    step: Step,
) -> tuple[TrainState, jax.Array, StepOutputs]:
    """Runs the step of one stacked batch and writes its outputs at its index.

    Args:
        carry: the state before the step; float32[steps], the losses so far; the other
            outputs so far, stacked likewise.
        features: stacked batches `[steps, batch, ...]`.
        labels: likewise, or None.
        log_mask: bool[steps], whether the step of each stacked batch is logged.
        index: int32[], the batch to use.
        forward: the model function, traced for TRAIN.
        step: `train_step` with its optimizer bound.

    Returns:
        The carry after the step.
    """
    batch = jax.tree.map(
        lambda rows: lax.dynamic_index_in_dim(rows, index, keepdims=False),
        (features, labels, log_mask),
    )
    state, losses, outputs = carry
    state, *results = step(state, *batch, forward=forward)
    losses, outputs = jax.tree.map(
        lambda stack, result: stack.at[index].set(result),
        (losses, outputs),
        tuple(results),
    )
    return state, losses, outputs


def mark_nonfinite_params(
    state: TrainState, losses: jax.Array, last: jax.Array, groups: Groups
) -> jax.Array:
    """Sets the loss of step `last` to NaN if a parameter is not finite after it.

    An update can make parameters non-finite though its loss was finite. The next loss
    would show it, but a checkpoint may be saved before. The norm of the parameters
    would not do: it overflows where they do not.
    """
    finite = all_finite(state.params, groups)
    return losses.at[last].set(jnp.where(finite, losses[last], jnp.nan))


def train_loop(
    state: TrainState,
    losses: jax.Array,
    outputs: StepOutputs,
    features: Features,
    labels: Labels,
    log_mask: jax.Array,
    start: jax.Array,
    stop: jax.Array,
    *,
    forward: Traced,
    step: Step,
    groups: Groups,
) -> tuple[TrainState, jax.Array, StepOutputs]:
    """Runs steps in a device loop, without returning to the host.

    The bounds are inputs of the program, so one program serves any number of steps
    between two reports, evaluations or checkpoints.

    Args:
        state: the state before the first step.
        losses: float32[steps], losses so far.
        outputs: the other outputs so far, stacked likewise.
        features: stacked batches `[steps, batch, ...]`.
        labels: likewise, or None.
        log_mask: bool[steps], whether the step of each stacked batch is logged.
        start: int32[], first batch to use.
        stop: int32[], one past the last batch to use.
        forward: the model function, traced for TRAIN.
        step: `train_step` with its optimizer bound.
        groups: paths of parameters that are alike; see `groups_of`.

    Returns:
        The state after the last step; losses and outputs with those of these steps set.
    """

    def body(index: jax.Array, carry: Tree) -> Tree:
        return indexed_step(
            carry, features, labels, log_mask, index, forward=forward, step=step
        )

    carry = (state, losses, outputs)
    state, losses, outputs = lax.fori_loop(start, stop, body, carry)
    return state, mark_nonfinite_params(state, losses, stop - 1, groups), outputs


def eval_step(
    params: Params,
    model_state: ModelState,
    features: Features,
    labels: Labels,
    mask: Mask,
    *,
    forward: Traced,
) -> dict[str, Any]:
    """Computes the loss of a batch and the tensors of its metrics and `host_call`.

    Returns:
        `loss`, `mean_loss` (its parts, or `()`), batch-major `tensors` and `called`.
    """
    spec, _ = forward(params, model_state, features, labels, mask)
    pair = spec.eval_metrics
    return {
        "loss": spec.loss,
        "mean_loss": () if spec.mean_loss is None else spec.mean_loss.parts,
        "tensors": () if pair is None else pair.tensors,
        "called": host_tensors(spec),
    }


def predict_step(
    params: Params,
    model_state: ModelState,
    features: Features,
    mask: Mask,
    *,
    forward: Traced,
) -> dict[str, Any]:
    """Computes the predictions of a batch and the tensors of `host_call`.

    Returns:
        Batch-major `predictions` and `called`.
    """
    spec, _ = forward(params, model_state, features, None, mask)
    return {"predictions": spec.predictions, "called": host_tensors(spec)}


def _returned_state(returned: object) -> TrainState:
    """Checks the result of a `train_op` that is a function, and returns its state.

    Raises:
        SpecError: (also a TypeError) the result is not (state, metrics).
    """
    if isinstance(returned, tuple) and len(returned) == 2:
        state, _ = returned
        if isinstance(state, TrainState):
            return state
    raise spec_error(
        Diagnostic(
            "train_op",
            f"is a function that returned {describe(returned)}",
            expected="(state, metrics), the state being the updated TrainState",
            hint="Call the optimizer's constructor: train_op=optax.sgd(0.1)."
            if hasattr(returned, "update")
            else "",
            kind=TypeError,
            code="train-op",
        )
    )
