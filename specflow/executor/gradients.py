"""The gradient of a batch: at once, or part by part with the memory of one part."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from specflow.contract import MeanLoss
from specflow.executor.traced_once import Traced

__all__ = ["Found", "gradients", "host_tensors", "micro_batches"]

Found = tuple[dict[str, jax.Array], jax.Array, Any, Any]
"""(gradients by path, loss, what the model carries, the tensors of `host_call`)."""


def gradients(
    trained: dict[str, jax.Array],
    params: dict[str, jax.Array],
    model_state: dict[str, Any],
    batch: tuple[Any, Any],
    *,
    forward: Traced,
    scale: jax.Array | None = None,
    micro_steps: int = 1,
    unroll: bool = False,
) -> Found:
    """The gradient of the loss of a batch with respect to some of the parameters.

    Over several micro-steps it is that of the whole batch: a `MeanLoss` is divided by
    the counts of the whole batch, which are added up first; another loss is averaged
    over the parts. What the model carries goes from one micro-step to the next.

    Args:
        trained: the parameters to differentiate by.
        params: all of them.
        model_state: what the model carries beside parameters.
        batch: features and labels, rows first.
        forward: the model function, traced for TRAIN with the rows of a micro-step.
        scale: factor of the loss while it is differentiated, float32[]; the gradient
            has it too. None: 1.
        micro_steps: parts of the batch; they divide its rows.
        unroll: whether the parts are written out one after the other, for where loops
            are slow.
    """

    def loss_of(
        trained: dict[str, jax.Array],
        model_state: Any,
        batch: Any,
        weigh: Callable[..., Any],
    ) -> tuple[jax.Array, Any]:
        spec, model_state = forward({**params, **trained}, model_state, *batch)
        loss = weigh(spec)
        # In float32: a scale that serves gradients would overflow a float16 loss.
        scaled = loss if scale is None else loss.astype(jnp.float32) * scale
        return scaled, (loss, _addends(spec), model_state, host_tensors(spec))

    differentiate = jax.grad(loss_of, has_aux=True)
    if micro_steps == 1:
        found, others = differentiate(
            trained, model_state, batch, lambda spec: spec.loss
        )
        loss, _, model_state, called = others
        return found, loss, model_state, called

    parts = micro_batches(batch, micro_steps)
    counts = _counts(params, model_state, parts, forward=forward)

    def weigh(spec: Any) -> Any:
        if spec.mean_loss is None:
            return spec.loss / micro_steps
        return spec.mean_loss.over(counts, 1 / micro_steps)

    def step(carry: Any, part: Any) -> tuple[Any, Any]:
        total, terms, model_state = carry
        found, (_, addends, model_state, called) = differentiate(
            trained, model_state, part, weigh
        )
        total = jax.tree.map(jnp.add, total, found)
        terms = jax.tree.map(lambda a, b: a + jnp.float32(b), terms, addends)
        return (total, terms, model_state), called

    terms = jax.tree.map(
        lambda term: jnp.zeros(term.shape, jnp.float32), _addends(forward.result[0])
    )
    start = jax.tree.map(jnp.zeros_like, trained), terms, model_state
    (total, (totals, others), model_state), called = lax.scan(
        step, start, parts, unroll=micro_steps if unroll else 1
    )
    loss = MeanLoss.of(totals, counts, others).over(counts, 1 / micro_steps)
    return total, loss, model_state, jax.tree.map(_joined, called)


def _addends(spec: Any) -> tuple[Any, Any]:
    """The terms of the loss that are summed over micro-steps: (totals, other terms).

    Sums over rows, not yet divided: XLA for TPU and GPU moves a reduction over the
    devices out of a loop only where its result is added to a sum and to nothing else.
    """
    if spec.mean_loss is None:
        return (), (spec.loss,)
    totals, _, others = spec.mean_loss.parts
    return totals, others


def host_tensors(spec: Any) -> Any:
    """The tensors of the spec's `host_call`; without one, a tree of nothing."""
    return () if spec.host_call is None else spec.host_call.tensors


def micro_batches(batch: Any, count: int) -> Any:
    """A batch cut into parts, on a new first axis.

    Part m has the rows m, m + count, ...: on a mesh, each device keeps its own rows.

    >>> micro_batches(jnp.arange(6), 2).tolist()
    [[0, 2, 4], [1, 3, 5]]
    """
    return jax.tree.map(
        lambda rows: jnp.moveaxis(rows.reshape(-1, count, *rows.shape[1:]), 1, 0), batch
    )


def _joined(parts: jax.Array) -> jax.Array:
    """What `micro_batches` cut, in the order of its rows."""
    rows = jnp.moveaxis(parts, 0, 1)
    return rows.reshape(-1, *rows.shape[2:])


def _counts(params: Any, model_state: Any, parts: Any, *, forward: Traced) -> Any:
    """What the totals of a `MeanLoss` are divided by in the whole batch."""
    if forward.result[0].mean_loss is None:
        return ()
    # Weights and masks seldom depend on the model, which is then no part of this.
    count = forward.part(lambda result: result[0].mean_loss.counts)
    each = lax.map(lambda part: count(params, model_state, *part), parts)
    return jax.tree.map(lambda count: count.sum(axis=0), each)
