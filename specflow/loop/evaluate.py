"""Evaluation and prediction: every row once, whatever the batch size."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from specflow.errors import DataError, Fault
from specflow.executor import Program, TrainState, first_rows, to_host
from specflow.loop.hooks import call_hooks
from specflow.metrics import MetricTable
from specflow.spec import Mode, TPUEstimatorSpec

__all__ = ["EvalResult", "evaluate", "predict"]


@dataclasses.dataclass(frozen=True, slots=True)
class EvalResult:
    """What an evaluation found."""

    rows: int
    """Examples evaluated."""
    metrics: dict[str, Any]
    """`loss` (the mean over examples), and every metric by name."""


def evaluate(
    program: Program,
    state: TrainState,
    batches: Iterable[Any],
    *,
    hooks: Sequence[Any] = (),
    loss: Literal["examples", "batches"] = "examples",
) -> EvalResult:
    """The metrics of a state over all rows.

    A batch is dispatched before the rows of the one before it are reduced, so that
    devices and host work at once.

    Args:
        program: the compiled steps.
        state: parameters and rest are used.
        batches: each with `features`, `labels`, `mask` and `rows`, the real ones first.
        hooks: objects with any of begin, before_step, after_step, end; after_step gets
            the number of the batch and its loss.
        loss: whether the loss is the mean over examples, or over batches, as that of
            the reference was.

    Raises:
        DataError: there is no batch.
        SpecError: the metric function returned what is no metric.
    """
    table, weighted, total = MetricTable(), [], 0
    pending: tuple[Any, TPUEstimatorSpec, int] | None = None

    def read(pending: tuple[Any, TPUEstimatorSpec, int]) -> int:
        out, spec, rows = pending
        found = to_host(out)
        batch_loss = float(found["loss"])
        weighted.append(batch_loss * (rows if loss == "examples" else 1))
        if spec.eval_metrics is not None:
            table.update(spec.eval_metrics(first_rows(found["tensors"], rows)))
        if spec.host_call is not None:
            spec.host_call(first_rows(found["called"], rows))
        call_hooks(hooks, "after_step", len(weighted), batch_loss)
        return rows

    hooks = list(hooks)
    masks: dict[tuple[int, int], Any] = {}  # All full batches share one.
    for batch in batches:
        if not masks:
            # The caller's hooks first, then those of the spec, which is known now.
            spec = program.spec(Mode.EVAL, batch.features, batch.labels)
            hooks.extend(spec.evaluation_hooks)
            call_hooks(hooks, "begin", 0)
        form = (len(batch.mask), batch.rows)
        if form not in masks:
            masks[form] = program.feed(batch.mask)
        features, labels = program.feed((batch.features, batch.labels))
        mask = masks[form]
        call_hooks(hooks, "before_step", len(weighted))
        out = program.evaluate(state, features, labels, mask)
        spec = program.spec(Mode.EVAL, features, labels)
        if pending is not None:
            total += read(pending)
        pending = (out, spec, batch.rows)
    if pending is None:
        raise DataError(
            Fault("data", "the evaluation input has no rows", code="data-empty",
                  expected="at least one row")
        )  # fmt: skip
    total += read(pending)
    call_hooks(hooks, "end", len(weighted))
    mean = math.fsum(weighted) / (total if loss == "examples" else len(weighted))
    return EvalResult(total, {"loss": mean, **table.compute()})


def predict(
    program: Program,
    state: TrainState,
    batches: Iterable[Any],
    *,
    hooks: Sequence[Any] = (),
) -> Iterator[tuple[Any, int]]:
    """The predictions for each batch on the host, padding gone, in order.

    Args:
        program: the compiled steps.
        state: parameters and rest are used.
        batches: each with `features`, `mask` and `rows`.
        hooks: objects with any of begin, before_step, after_step, end; after_step gets
            the number of the batch and its predictions.

    Yields:
        (predictions, rows): arrays of `rows` rows.
    """
    hooks, done = list(hooks), 0
    pending: tuple[Any, TPUEstimatorSpec, int] | None = None

    def read(pending: tuple[Any, TPUEstimatorSpec, int]) -> tuple[Any, int]:
        out, spec, rows = pending
        found = first_rows(to_host(out), rows)
        if spec.host_call is not None:
            spec.host_call(found["called"])
        call_hooks(hooks, "after_step", done, found["predictions"])
        return found["predictions"], rows

    for batch in batches:
        features, mask = program.feed((batch.features, batch.mask))
        spec = program.spec(Mode.PREDICT, features)
        if pending is None:
            hooks.extend(spec.prediction_hooks)
            call_hooks(hooks, "begin", 0)
        call_hooks(hooks, "before_step", done)
        out = program.predict(state, features, mask)
        if pending is not None:
            done += 1
            yield read(pending)
        pending = (out, spec, batch.rows)
    if pending is not None:
        done += 1
        yield read(pending)
        call_hooks(hooks, "end", done)
