"""Evaluation and prediction: every row once, whatever the batch size."""

import dataclasses
import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import jax

from specflow.contract import Mode, TPUEstimatorSpec
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.distributed import collectives
from specflow.executor import Program, TrainState, first_rows, real_rows, to_host
from specflow.loop.hooks import StopTraining, call_hooks
from specflow.metrics import MetricTable

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
            the number of the batch and its loss. One that raises `StopTraining` ends
            the evaluation: the result is that of the batches so far.
        loss: whether the loss is the mean over examples, or over batches, as that of
            the reference was.

    What fails on the host in one of several processes, fails in all, after the last
    batch.

    Raises:
        DataError: there is no batch.
        SpecError: the metric function returned what is no metric.
    """
    table, losses, counts, parts = MetricTable(), [], [], []
    failed: list[Exception] = []
    pending: tuple[Any, TPUEstimatorSpec, Any, int] | None = None

    def read(out: Any, spec: TPUEstimatorSpec, mask: Any, here: int) -> None:
        found, rows = to_host(out), real_rows(mask, here)
        losses.append(float(found["loss"]))
        counts.append(rows if isinstance(rows, int) else len(rows))
        parts.append(found["mean_loss"])
        if failed:
            return
        try:
            if spec.eval_metrics is not None:
                table.update(spec.eval_metrics(first_rows(found["tensors"], rows)))
            if spec.host_call is not None:
                spec.host_call(first_rows(found["called"], rows))
            call_hooks(hooks, "after_step", len(losses), losses[-1])
        except StopTraining:
            raise
        except Exception as error:
            if collectives.process_count() == 1:
                raise
            failed.append(error)  # The others compute: it goes on with them to the end.

    hooks = list(hooks)
    masks: dict[tuple[int, int], Any] = {}  # All full batches share one.
    try:
        for batch in batches:
            is_first, form = not masks, (len(batch.mask), batch.rows)
            if form not in masks:
                masks[form] = program.feed(batch.mask)
            features, labels = program.feed((batch.features, batch.labels))
            if is_first:
                # The caller's hooks first, then those of the spec, which is known now.
                spec = program.spec(Mode.EVAL, features, labels)
                hooks.extend(spec.evaluation_hooks)
                call_hooks(hooks, "begin", 0)
            call_hooks(hooks, "before_step", len(losses))
            out = program.evaluate(state, features, labels, masks[form])
            spec = program.spec(Mode.EVAL, features, labels)
            if pending is not None:
                read(*pending)
            pending = (out, spec, masks[form], batch.rows)
            if hooks:  # They see each batch before the next one begins.
                ready, pending = pending, None
                read(*ready)
    except StopTraining:
        pass  # What was found up to there is the result.
    if pending is not None:
        read(*pending)
    if not masks:
        raise DataError(
            Diagnostic(
                "data",
                "the evaluation input has no rows",
                code="data-empty",
                expected="at least one row",
            )
        )
    with collectives.raise_on_all():
        if failed:
            raise failed[0]
        call_hooks(hooks, "end", len(losses))
        metrics = table.compute()
    if loss == "batches":
        mean = _weighted_mean(losses, [1] * len(losses))
    elif any(parts):
        mean = _joined(parts, counts)
    else:
        mean = _weighted_mean(losses, counts)
    return EvalResult(sum(counts), {"loss": mean, **metrics})


def _joined(parts: Sequence[Any], rows: Sequence[int]) -> float:
    """The loss of all batches together, of what each says in a `MeanLoss`."""
    totals, counts, others = zip(*parts, strict=True)
    found = [
        # Nothing divides a sum; over batches it is averaged, as any other loss.
        _weighted_mean(total, rows) if count[0] is None else _ratio(total, count)
        for total, count in zip(
            zip(*totals, strict=True), zip(*counts, strict=True), strict=True
        )
    ]
    return math.fsum(
        [*found, *(_weighted_mean(other, rows) for other in zip(*others, strict=True))]
    )


def _ratio(totals: Iterable[Any], counts: Iterable[Any]) -> float:
    count = math.fsum(map(float, counts))
    return math.fsum(map(float, totals)) / count if count else 0.0


def _weighted_mean(values: Iterable[Any], weights: Sequence[int]) -> float:
    if not any(weights):
        return math.nan
    return math.fsum(map(operator.mul, map(float, values), weights)) / sum(weights)


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
            the number of the batch and its predictions. One that raises
            `StopTraining` ends the predictions after its batch.

    Yields:
        (predictions, rows): arrays of `rows` rows.
    """
    hooks, done = list(hooks), 0
    pending: tuple[Any, TPUEstimatorSpec, Any, int] | None = None

    def read(out: Any, spec: TPUEstimatorSpec, mask: Any, here: int) -> tuple[Any, int]:
        found, rows = to_host(out), real_rows(mask, here)
        if spec.host_call is not None:
            spec.host_call(first_rows(found["called"], rows))
        predictions = _real_rows(found["predictions"], len(mask), rows)
        return predictions, rows if isinstance(rows, int) else len(rows)

    for batch in batches:
        features, mask = program.feed((batch.features, batch.mask))
        spec = program.spec(Mode.PREDICT, features)
        if not done and pending is None:
            hooks.extend(spec.prediction_hooks)
            if _asks_to_stop(hooks, "begin", 0):
                break
        if _asks_to_stop(hooks, "before_step", done):
            break
        out = program.predict(state, features, mask)
        if pending is not None:
            done += 1
            yield read(*pending)
        pending = (out, spec, mask, batch.rows)
        if hooks:  # They see each batch before the next one begins.
            ready, pending = read(*pending), None
            done += 1
            stops = _asks_to_stop(hooks, "after_step", done, ready[0])
            yield ready
            if stops:
                break
    if pending is not None:
        yield read(*pending)
    call_hooks(hooks, "end", done)


def _real_rows(predictions: Any, size: int, rows: Any) -> Any:
    """The predictions without padding; what is not batch-major has none."""
    return jax.tree.map(
        lambda array: first_rows(array, rows) if array.shape[:1] == (size,) else array,
        predictions,
    )


def _asks_to_stop(hooks: Sequence[Any], method: str, *args: Any) -> bool:
    """Calls a method of every hook; whether one of them raised `StopTraining`."""
    try:
        call_hooks(hooks, method, *args)
    except StopTraining:
        return True
    return False
