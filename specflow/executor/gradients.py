"""Gradients of a batch, optionally accumulated over micro-batches."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from specflow.contract import MeanLoss, TPUEstimatorSpec
from specflow.executor.array_types import (
    Batch,
    HostTensors,
    ModelState,
    Params,
    Tree,
)
from specflow.executor.traced_once import Traced

__all__ = ["GradientResult", "gradients", "host_tensors", "micro_batches"]

GradientResult: TypeAlias = tuple[dict[str, jax.Array], jax.Array, Any, HostTensors]
"""(gradients by path, loss, model state after, tensors of `host_call`)."""


def gradients(
    trained: dict[str, jax.Array],
    params: dict[str, jax.Array],
    model_state: ModelState,
    batch: Batch,
    *,
    forward: Traced,
    scale: jax.Array | None = None,
    micro_steps: int = 1,
    unroll: bool = False,
) -> GradientResult:
    """Computes the gradient of a batch's loss with respect to some parameters.

    With several micro-steps the result is the gradient of the full batch: a `MeanLoss`
    is divided by the counts of the full batch, which are summed first; any other loss
    is averaged over micro-batches. The model state carries over between micro-steps.

    Args:
        trained: parameters to differentiate with respect to.
        params: all parameters.
        model_state: non-parameter variables.
        batch: features and labels, batch-major.
        forward: the model function, traced for TRAIN with the rows of a micro-step.
        scale: float32[], factor of the differentiated loss, and so of the gradient.
            If None, it is 1.
        micro_steps: number of micro-batches; divides the rows.
        unroll: whether micro-steps are unrolled instead of scanned, for platforms with
            slow loops.
    """

    def loss_of(
        trained: dict[str, jax.Array],
        model_state: ModelState,
        batch: Batch,
        loss_term: Callable[[TPUEstimatorSpec], Any],
    ) -> tuple[jax.Array, Tree]:
        spec, model_state = forward({**params, **trained}, model_state, *batch)
        loss = loss_term(spec)
        # In float32: a scale that suits gradients would overflow a float16 loss.
        scaled = loss if scale is None else loss.astype(jnp.float32) * scale
        return scaled, (loss, _addends(spec), model_state, host_tensors(spec))

    differentiate = jax.grad(loss_of, has_aux=True)
    if micro_steps == 1:
        grads, auxiliary = differentiate(
            trained, model_state, batch, lambda spec: spec.loss
        )
        loss, _, model_state, host_call_outputs = auxiliary
        return grads, loss, model_state, host_call_outputs

    parts = micro_batches(batch, micro_steps)
    counts = _counts(params, model_state, parts, forward=forward)

    def share_of_loss(spec: TPUEstimatorSpec) -> Any:
        if spec.mean_loss is None:
            return spec.loss / micro_steps
        return spec.mean_loss.over(counts, 1 / micro_steps)

    def step(carry: Tree, part: Batch) -> tuple[Tree, HostTensors]:
        total, terms, model_state = carry
        grads, (_, addends, model_state, host_call_outputs) = differentiate(
            trained, model_state, part, share_of_loss
        )
        total = jax.tree.map(jnp.add, total, grads)
        terms = jax.tree.map(lambda a, b: a + jnp.float32(b), terms, addends)
        return (total, terms, model_state), host_call_outputs

    terms = jax.tree.map(
        lambda term: jnp.zeros(term.shape, jnp.float32), _addends(forward.result[0])
    )
    start = jax.tree.map(jnp.zeros_like, trained), terms, model_state
    (total, (totals, others), model_state), host_call_outputs = lax.scan(
        step, start, parts, unroll=micro_steps if unroll else 1
    )
    loss = MeanLoss.of(totals, counts, others).over(counts, 1 / micro_steps)
    return total, loss, model_state, jax.tree.map(_merge_rows, host_call_outputs)


def _addends(spec: TPUEstimatorSpec) -> tuple[Tree, Tree]:
    """Returns the loss terms that are summed over micro-steps: (totals, other terms).

    They are sums over rows, not yet divided: XLA for TPU and GPU moves an all-reduce
    out of a loop only if its result is added to a sum and used nowhere else.
    """
    if spec.mean_loss is None:
        return (), (spec.loss,)
    totals, _, others = spec.mean_loss.parts
    return totals, others


def host_tensors(spec: TPUEstimatorSpec) -> HostTensors:
    """Returns the tensors of the spec's `host_call`; `()` without one."""
    return () if spec.host_call is None else spec.host_call.tensors


def micro_batches(batch: Tree, count: int) -> Tree:
    """Splits a batch into micro-batches, stacked on a new first axis.

    Micro-batch m has the rows m, m + count, ...: on a mesh, each device keeps its rows.

    >>> micro_batches(jnp.arange(6), 2).tolist()
    [[0, 2, 4], [1, 3, 5]]
    """
    return jax.tree.map(
        lambda rows: jnp.moveaxis(rows.reshape(-1, count, *rows.shape[1:]), 1, 0), batch
    )


def _merge_rows(parts: jax.Array) -> jax.Array:
    """Undoes `micro_batches`: rows in their original order."""
    rows = jnp.moveaxis(parts, 0, 1)
    return rows.reshape(-1, *rows.shape[2:])


def _counts(
    params: Params, model_state: ModelState, parts: Batch, *, forward: Traced
) -> Tree:
    """Sums the divisors of a `MeanLoss` over the full batch; `()` without one."""
    if forward.result[0].mean_loss is None:
        return ()
    # Counts seldom depend on the model, which dead-code elimination then removes.
    count = forward.part(lambda result: result[0].mean_loss.counts)
    each = lax.map(lambda part: count(params, model_state, *part), parts)
    return jax.tree.map(lambda count: count.sum(axis=0), each)
