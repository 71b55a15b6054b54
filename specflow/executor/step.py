"""What one step computes: pure functions of state and batch, for each mode."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from specflow.errors import Fault, spec_error
from specflow.executor.state import TrainState
from specflow.paths import matches
from specflow.spec import TrainOp

__all__ = [
    "Optimizer",
    "eval_step",
    "host_tensors",
    "predict_step",
    "single_step",
    "train_loop",
    "train_step",
]

Forward = Callable[..., Any]
"""(params, rest, features, labels, mask) -> (spec, rest), traced for one mode."""


class Optimizer:
    """A `train_op` seen by a step: how it starts, and how it moves the state.

    Args:
        train_op: as the spec holds it.
        params: path -> anything; the parameters that there are.

    Raises:
        SpecError: `wrt` names no parameter.
    """

    def __init__(self, train_op: Any, params: Mapping[str, Any]):
        self.train_op = train_op
        wrt = train_op.wrt if isinstance(train_op, TrainOp) else ("**",)
        self.transformation = (
            train_op.optimizer if isinstance(train_op, TrainOp) else train_op
        )
        self.trained = tuple(
            path for path in params if any(matches(glob, path) for glob in wrt)
        )
        if not self.trained:
            raise spec_error(
                Fault(
                    "train_op.wrt",
                    f"{', '.join(wrt)} matches no parameter",
                    expected=f"globs over {', '.join(list(params)[:8])}",
                    code="wrt",
                )
            )

    @property
    def is_function(self) -> bool:
        """Whether it is a function (state, batch) -> (state, metrics)."""
        return not hasattr(self.transformation, "update")

    def init(self, params: Mapping[str, Any]) -> Any:
        """The optimizer's state at the start."""
        if self.is_function:
            return getattr(self.transformation, "init", lambda _: ())(params)
        return self.transformation.init({path: params[path] for path in self.trained})


def train_step(
    state: TrainState,
    features: Any,
    labels: Any,
    *,
    forward: Forward,
    optimizer: Optimizer,
) -> tuple[TrainState, jax.Array, Any]:
    """One step: the loss before the update, and the state after it.

    Args:
        state: what the step starts from.
        features: arrays, rows first.
        labels: arrays, rows first, or None.
        forward: the model function, traced for TRAIN.
        optimizer: its `train_op`.

    Returns:
        The state after the update; the loss, float32[]; the tensors of `host_call`.
    """
    if optimizer.is_function:
        spec, _ = forward(state.params, state.rest, features, labels)
        state, _ = optimizer.train_op(state, (features, labels))
        after = state._replace(step=state.step + 1)
        return after, spec.loss.astype(jnp.float32), host_tensors(spec)

    trained = {path: state.params[path] for path in optimizer.trained}

    def loss_of(trained: dict[str, jax.Array]) -> tuple[jax.Array, Any]:
        spec, rest = forward({**state.params, **trained}, state.rest, features, labels)
        return spec.loss, (rest, host_tensors(spec))

    (loss, (rest, called)), gradients = jax.value_and_grad(loss_of, has_aux=True)(
        trained
    )
    updates, opt_state = optimizer.transformation.update(
        gradients, state.opt_state, trained
    )
    moved: Any = optax.apply_updates(trained, updates)
    params = {**state.params, **moved}
    after = TrainState(state.step + 1, params, rest, opt_state)
    return after, loss.astype(jnp.float32), called


def host_tensors(spec: Any) -> Any:
    """The tensors of the spec's `host_call`; without one, a tree of nothing."""
    return () if spec.host_call is None else spec.host_call.tensors


def single_step(
    state: TrainState,
    losses: jax.Array,
    called: Any,
    features: Any,
    labels: Any,
    index: jax.Array,
    *,
    forward: Forward,
    optimizer: Optimizer,
) -> tuple[TrainState, jax.Array, Any]:
    """What `train_loop` does, for one of the stacked batches alone."""
    step = functools.partial(indexed_step, forward=forward, optimizer=optimizer)
    state, losses, called = step((state, losses, called), features, labels, index)
    return state, checked(state, losses, index), called


def indexed_step(
    carry: tuple[TrainState, jax.Array, Any],
    features: Any,
    labels: Any,
    index: jax.Array,
    *,
    forward: Forward,
    optimizer: Optimizer,
) -> tuple[TrainState, jax.Array, Any]:
    """One step on one of several stacked batches; what it says is laid to the others'.

    Args:
        carry: what the step starts from, and what the steps before it said: losses,
            float32, and the tensors of `host_call`, one for each stacked batch.
        features: batches, stacked on a new first axis.
        labels: likewise, or None.
        index: int32[], the batch to use.
        forward: the model function, traced for TRAIN.
        optimizer: its `train_op`.
    """
    batch = jax.tree.map(
        lambda rows: lax.dynamic_index_in_dim(rows, index, keepdims=False),
        (features, labels),
    )
    state, losses, called = carry
    state, *said = train_step(state, *batch, forward=forward, optimizer=optimizer)
    losses, called = jax.tree.map(
        lambda stack, one: stack.at[index].set(one), (losses, called), tuple(said)
    )
    return state, losses, called


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
    called: Any,
    features: Any,
    labels: Any,
    start: jax.Array,
    stop: jax.Array,
    *,
    forward: Forward,
    optimizer: Optimizer,
) -> tuple[TrainState, jax.Array, Any]:
    """Several steps without returning to the host.

    The bounds are inputs of the program, so that one program serves every stretch
    between two reports, evaluations or checkpoints, and nothing is compiled twice.

    Args:
        state: what the first step starts from.
        losses: float32, one for each stacked batch.
        called: tensors of `host_call`, stacked likewise.
        features: batches, stacked on a new first axis.
        labels: likewise, or None.
        start: int32[], first batch to use.
        stop: int32[], one past the last batch to use.
        forward: the model function, traced for TRAIN.
        optimizer: its `train_op`.

    Returns:
        The state after the last step, and losses and tensors with those of these steps
        set.
    """

    def body(index: jax.Array, carry: Any) -> Any:
        return indexed_step(
            carry, features, labels, index, forward=forward, optimizer=optimizer
        )

    carry = (state, losses, called)
    state, losses, called = lax.fori_loop(start, stop, body, carry)
    return state, checked(state, losses, stop - 1), called


def eval_step(
    params: Any, rest: Any, features: Any, labels: Any, mask: Any, *, forward: Forward
) -> dict[str, Any]:
    """The loss of a batch, its eval tensors and those of `host_call`, batch-major."""
    spec, _ = forward(params, rest, features, labels, mask)
    pair = spec.eval_metrics
    return {
        "loss": spec.loss,
        "tensors": () if pair is None else pair.tensors,
        "called": host_tensors(spec),
    }


def predict_step(
    params: Any, rest: Any, features: Any, mask: Any, *, forward: Forward
) -> dict[str, Any]:
    """The predictions of a batch and the tensors of `host_call`, batch-major."""
    spec, _ = forward(params, rest, features, None, mask)
    return {"predictions": spec.predictions, "called": host_tensors(spec)}
