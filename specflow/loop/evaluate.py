"""Evaluation and prediction: every row once, whatever the batch size."""

import dataclasses
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import jax

from specflow.contract import Mode, TPUEstimatorSpec
from specflow.data import Batch
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.distributed import collectives
from specflow.executor import Program, TrainState, first_rows, real_rows, to_host
from specflow.executor.array_types import Array, Predictions, RowIndices, Tree
from specflow.loop.eval_progress import (
    EvalProgress,
    EvaluationStopped,
    OutdatedProgressError,
)
from specflow.loop.hooks import StopTraining, call_hooks, state_methods
from specflow.loop.state_values import decoded, names_in
from specflow.metrics import MetricTable

__all__ = ["EvalResult", "evaluate", "merged", "pooled", "predict"]


@dataclasses.dataclass(frozen=True, slots=True)
class EvalResult:
    """Result of an evaluation."""

    rows: int
    """Number of examples."""
    metrics: dict[str, Any]
    """`loss` (the mean over examples), and every metric by name."""


def evaluate(
    program: Program,
    state: TrainState,
    batches: Iterable[Batch],
    *,
    hooks: Sequence[Any] = (),
    loss: Literal["examples", "batches"] = "examples",
    progress: EvalProgress | None = None,
    should_stop: Callable[[], bool] | None = None,
    on_spec_hooks: Callable[[Sequence[Any]], None] | None = None,
) -> EvalResult:
    """Computes the metrics of a state over all rows.

    A batch is dispatched before the rows of the previous one are reduced, so that
    devices and host work at the same time. An error on the host of one of several
    processes is raised by all, after the last batch.

    Args:
        program: the compiled steps.
        state: provides parameters and model state.
        batches: padded batches, real rows first.
        hooks: objects with any of begin, before_step, after_step, end; after_step gets
            the number of the batch and its loss. `StopTraining` ends the evaluation
            with the result of the batches so far.
        loss: `examples`: mean over examples; `batches`: mean over batches, as in
            TensorFlow.
        progress: accumulators; those of a stopped evaluation, whose batches `batches`
            leaves out. If None, new ones.
        should_stop: called before every batch; true stops the evaluation.
        on_spec_hooks: called with the evaluation hooks of the spec, before they are.

    Raises:
        DataError: there is no batch.
        EvaluationStopped: `should_stop` returned true; `progress` has the batches so
            far.
        OutdatedProgressError: the evaluation is not the one of `progress`.
        SpecError: the metric function returned a value that is not a metric.
    """
    progress = EvalProgress() if progress is None else progress
    table, losses, counts = progress.table, progress.losses, progress.counts
    mean_losses, first_batch = progress.mean_losses, progress.batches
    is_stopped = False
    errors: list[Exception] = []
    pending: tuple[Tree, TPUEstimatorSpec, Array, int] | None = None

    def read(out: Tree, spec: TPUEstimatorSpec, mask: Array, local_rows: int) -> None:
        outputs, rows = to_host(out), real_rows(mask, local_rows)
        losses.append(float(outputs["loss"]))
        counts.append(rows if isinstance(rows, int) else len(rows))
        mean_losses.append(outputs["mean_loss"])
        if errors:
            return
        try:
            if spec.eval_metrics is not None:
                table.update(spec.eval_metrics(first_rows(outputs["tensors"], rows)))
            if spec.host_call is not None:
                spec.host_call(first_rows(outputs["called"], rows))
            call_hooks(hooks, "after_step", len(losses), losses[-1])
        except (StopTraining, OutdatedProgressError):
            raise
        except Exception as error:
            if collectives.process_count() == 1:
                raise
            errors.append(error)  # The others compute: this one joins them to the end.

    hooks = list(hooks)
    masks: dict[tuple[int, int], Array] = {}  # All full batches share one.
    try:
        for batch in batches:
            if should_stop is not None and should_stop():
                is_stopped = True
                break
            is_first, form = not masks, (len(batch.mask), batch.rows)
            if form not in masks:
                masks[form] = program.feed(batch.mask)
            features, labels = program.feed((batch.features, batch.labels))
            if is_first:
                # Hooks of the caller precede those of the spec, which is known now.
                spec = program.spec(Mode.EVAL, features, labels)
                progress.is_resumable = spec.host_call is None and all(
                    map(state_methods, (*hooks, *spec.evaluation_hooks))
                )
                if on_spec_hooks is not None:
                    on_spec_hooks(spec.evaluation_hooks)
                hooks.extend(spec.evaluation_hooks)
                progress.is_observed = bool(hooks) or spec.host_call is not None
                call_hooks(hooks, "begin", 0)
            call_hooks(hooks, "before_step", len(losses))
            out = program.evaluate(state, features, labels, masks[form])
            spec = program.spec(Mode.EVAL, features, labels)
            if is_first and first_batch:
                progress.compare_program(_fingerprint(program))
            if pending is not None:
                read(*pending)
            pending = (out, spec, masks[form], batch.rows)
            if hooks:  # They see each batch before the next one begins.
                ready, pending = pending, None
                read(*ready)
    except StopTraining:
        pass  # The batches so far are the result.
    if pending is not None:
        read(*pending)
    if is_stopped:
        with collectives.raise_on_all():
            if errors:
                raise errors[0]
        progress.compare_program(_fingerprint(program))
        raise EvaluationStopped
    if not masks and first_batch:
        raise OutdatedProgressError("its data has ended")
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
        if errors:
            raise errors[0]
        call_hooks(hooks, "end", len(losses))
        metrics = table.compute()
    mean = _mean_loss(progress, loss)
    return EvalResult(sum(counts), {"loss": mean, **metrics})


def pooled(
    own: EvalProgress,
    stored: Iterable[Mapping[str, Any]],
    *,
    loss: Literal["examples", "batches"] = "examples",
) -> EvalResult:
    """Computes the metrics over the rows of several evaluations, as if of one.

    Args:
        own: one of them; its metrics have the classes of all.
        stored: results of `EvalProgress.to_json` of all, in the order of their rows.
        loss: see `evaluate`.

    Raises:
        ValueError: the evaluations have other metrics.
    """
    names = names_in(own.table.states)

    def part(value: Mapping[str, Any]) -> EvalProgress:
        progress = EvalProgress.from_json(value)
        states = decoded(value["metrics"], names)
        progress.table = MetricTable()
        progress.table.update({name: states[name] for name in own.table.states})
        return progress

    return merged(map(part, stored), loss=loss)


def merged(
    parts: Iterable[EvalProgress],
    *,
    loss: Literal["examples", "batches"] = "examples",
) -> EvalResult:
    """Computes the metrics over the rows of several evaluations, as if of one.

    Args:
        parts: accumulators of finished evaluations, in the order of their rows.
        loss: see `evaluate`.
    """
    table, whole = MetricTable(), EvalProgress()
    for part in parts:
        whole.losses += part.losses
        whole.counts += part.counts
        whole.mean_losses += part.mean_losses
        table.update(part.table.states)
    mean = _mean_loss(whole, loss)
    return EvalResult(sum(whole.counts), {"loss": mean, **table.compute()})


def _mean_loss(
    progress: EvalProgress, loss: Literal["examples", "batches"] = "examples"
) -> float:
    losses, counts = progress.losses, progress.counts
    if loss == "batches":
        return _weighted_mean(losses, [1] * len(losses))
    if any(progress.mean_losses):
        return _merged_loss(progress.mean_losses, counts)
    return _weighted_mean(losses, counts)


def _fingerprint(program: Program) -> str | None:
    return program.fingerprints().get("eval")


def _merged_loss(mean_losses: Sequence[Any], rows: Sequence[int]) -> float:
    """Merges the losses of batches from the sums and counts of their `MeanLoss`."""
    totals, counts, others = zip(*mean_losses, strict=True)
    means = [
        # A sum without a count is averaged over batches, as any other loss.
        _weighted_mean(total, rows) if count[0] is None else _ratio(total, count)
        for total, count in zip(
            zip(*totals, strict=True), zip(*counts, strict=True), strict=True
        )
    ]
    return math.fsum(
        [*means, *(_weighted_mean(other, rows) for other in zip(*others, strict=True))]
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
    batches: Iterable[Batch],
    *,
    hooks: Sequence[Any] = (),
) -> Iterator[tuple[Predictions, int]]:
    """Yields the predictions for each batch on the host, in order, without padding.

    Args:
        program: the compiled steps.
        state: provides parameters and model state.
        batches: padded batches, real rows first.
        hooks: objects with any of begin, before_step, after_step, end; after_step gets
            the number of the batch and its predictions. `StopTraining` ends the
            predictions after its batch.

    Yields:
        (predictions, rows): arrays of `rows` rows.
    """
    hooks, done = list(hooks), 0
    pending: tuple[Tree, TPUEstimatorSpec, Array, int] | None = None

    def read(
        out: Tree, spec: TPUEstimatorSpec, mask: Array, local_rows: int
    ) -> tuple[Predictions, int]:
        outputs, rows = to_host(out), real_rows(mask, local_rows)
        if spec.host_call is not None:
            spec.host_call(first_rows(outputs["called"], rows))
        predictions = _real_rows(outputs["predictions"], len(mask), rows)
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


def _real_rows(predictions: Predictions, size: int, rows: RowIndices) -> Predictions:
    """Drops the padding of batch-major predictions."""
    return jax.tree.map(
        lambda array: first_rows(array, rows) if array.shape[:1] == (size,) else array,
        predictions,
    )


def _asks_to_stop(hooks: Sequence[Any], method: str, *args: Any) -> bool:
    """Calls a method of every hook; returns whether one raised `StopTraining`."""
    try:
        call_hooks(hooks, method, *args)
    except StopTraining:
        return True
    return False
