"""Evaluation and prediction: every row once, whatever the batch size."""

import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import Any

from specflow.errors import DataError, Fault
from specflow.executor import Program, TrainState, to_host, to_rows
from specflow.metrics import MetricTable
from specflow.spec import HostPair, Mode

__all__ = ["EvalResult", "evaluate", "predict"]


@dataclasses.dataclass(frozen=True, slots=True)
class EvalResult:
    """What an evaluation found."""

    rows: int
    """Examples evaluated."""
    metrics: dict[str, Any]
    """`loss` (the mean over examples), and every metric by name."""


def evaluate(program: Program, state: TrainState, batches: Iterable[Any]) -> EvalResult:
    """The metrics of a state over all rows.

    A batch is dispatched before the rows of the one before it are reduced, so that
    devices and host work at once.

    Args:
        program: the compiled steps.
        state: parameters and rest are used.
        batches: each with `features`, `labels`, `mask` and `rows`, the real ones first.

    Raises:
        DataError: there is no batch.
        SpecError: the metric function returned what is no metric.
    """
    table, weighted, total = MetricTable(), [], 0
    pending: tuple[Any, HostPair | None, int] | None = None

    def read(pending: tuple[Any, HostPair | None, int]) -> int:
        out, pair, rows = pending
        weighted.append(float(to_host(out["loss"])) * rows)
        if pair is not None:
            table.update(pair(to_rows(out["tensors"], rows)))
        return rows

    masks: dict[tuple[int, int], Any] = {}  # All full batches share one.
    for batch in batches:
        form = (len(batch.mask), batch.rows)
        if form not in masks:
            masks[form] = program.put(batch.mask)
        features, labels = program.put((batch.features, batch.labels))
        mask = masks[form]
        out = program.evaluate(state, features, labels, mask)
        pair = program.spec(Mode.EVAL, features, labels).eval_metrics
        if pending is not None:
            total += read(pending)
        pending = (out, pair, batch.rows)
    if pending is None:
        raise DataError(
            Fault("data", "the evaluation input has no rows", code="data-empty",
                  expected="at least one row")
        )  # fmt: skip
    total += read(pending)
    loss = math.fsum(weighted) / total
    return EvalResult(total, {"loss": loss, **table.compute()})


def predict(
    program: Program, state: TrainState, batches: Iterable[Any]
) -> Iterator[tuple[Any, int]]:
    """The predictions for each batch on the host, padding gone, in order.

    Args:
        program: the compiled steps.
        state: parameters and rest are used.
        batches: each with `features`, `mask` and `rows`.

    Yields:
        (predictions, rows): arrays of `rows` rows.
    """
    pending: tuple[Any, int] | None = None
    for batch in batches:
        features, mask = program.put((batch.features, batch.mask))
        out = program.predict(state, features, mask)
        if pending is not None:
            yield to_rows(*pending), pending[1]
        pending = (out, batch.rows)
    if pending is not None:
        yield to_rows(*pending), pending[1]
