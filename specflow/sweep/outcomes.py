"""Outcomes of a sweep's trials: their order, and their table."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from specflow.runtime.formatting import column_names, columns, shortened

__all__ = ["Outcome", "pooled_line", "ranked", "records", "settings_of", "table"]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Result or error of one trial of a sweep."""

    overrides: tuple[str, ...]
    """Overrides that the sweeper gave this trial."""
    directory: str
    """Run directory, unless the overrides name another."""
    result: Mapping[str, Any] | None
    """Return value of the task; None if it failed."""
    error: str = ""
    """Message of the error if it failed."""
    metric: str = "loss"
    """Metric by which trials are ranked: that of `output.checkpoint.best`."""
    order: str = "lowest"
    """`lowest` or `highest`: the value of the metric that is best."""
    infeasible: str = ""
    """The constraints of a search that it exceeds, if any."""
    failure: str = ""
    """Kind of the failure if it failed; see `Failure`."""
    is_on_front: bool | None = None
    """Whether no other trial is as good in each objective of a search and better in
    one; None: it has a single objective."""

    @property
    def status(self) -> str:
        """`complete`, `infeasible`, `pruned` or `failed`; the first can be best."""
        if self.result is None:
            return "failed"
        if self.result.get("pruned"):
            return "pruned"
        return "infeasible" if self.infeasible else "complete"

    def __float__(self) -> float:
        """Returns the loss of the evaluation, which optimizing sweepers minimize."""
        loss = (self.result or {}).get("eval", {}).get("loss")
        return math.nan if loss is None else float(loss)


def ranked(outcomes: Sequence[Outcome]) -> list[int]:
    """Returns the numbers of the trials, best first.

    Those of the Pareto front come first, if there are several objectives; those that
    are pruned, infeasible, failed or without a value last.

    >>> losses = [0.5, float("nan"), 0.25]
    >>> ranked([Outcome((), "", {"eval": {"loss": loss}}) for loss in losses])
    [2, 0, 1]
    """

    def key(number: int) -> tuple[bool, bool, bool, float]:
        one = outcomes[number]
        value = (one.result or {}).get("eval", {}).get(one.metric)
        last = one.status != "complete", not one.is_on_front
        if not isinstance(value, int | float) or math.isnan(value):
            return *last, True, 0.0
        return *last, False, -value if one.order == "highest" else value

    return sorted(range(len(outcomes)), key=key)


def records(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Returns the outcomes as plain values, best first; numbers are not rounded."""
    return [
        {
            "trial": number,
            "overrides": settings_of(outcomes[number].overrides),
            "status": outcomes[number].status,
            "step": (outcomes[number].result or {}).get("step"),
            "eval": dict((outcomes[number].result or {}).get("eval", {})),
            "directory": outcomes[number].directory,
            "failure": outcomes[number].failure,
            "error": outcomes[number].error,
        }
        for number in ranked(outcomes)
    ]


def pooled_line(pooled: Mapping[str, Any]) -> str:
    """One line on pooled metrics.

    >>> pooled_line({"loss": 0.25, "accuracy": 0.9, "rows": 50, "runs": ["0", "1"]})
    'pooled over 50 rows of 2 folds: loss 0.25, accuracy 0.9'
    """
    numbers = [
        f"{name} {value:.6g}"
        for name, value in pooled.items()
        if isinstance(value, int | float) and name != "rows"
    ]
    rows, folds = pooled["rows"], len(pooled["runs"])
    return f"pooled over {rows:,} rows of {folds} folds: {', '.join(numbers)}"


def table(outcomes: Sequence[Outcome]) -> str:
    """Returns a table of the outcomes and the settings that vary, best first.

    >>> print(table([
    ...     Outcome(("seed=1", "a=x"), "runs/0", {"step": 9, "eval": {"loss": 0.5}}),
    ...     Outcome(("seed=2", "a=x"), "runs/1", None, "no rows.", failure="config"),
    ... ]))
    trial  seed  step  loss
    0      1     9     0.5
    1      2     failed (config): no rows.
    """
    settings = [settings_of(outcome.overrides) for outcome in outcomes]
    keys = list(dict.fromkeys(key for setting in settings for key in setting))
    varied = [key for key in keys if len({row.get(key) for row in settings}) > 1]
    results = [_figures(outcome.result or {}) for outcome in outcomes]
    figures = list(dict.fromkeys(name for result in results for name in result))
    are_excluded = {"pruned", "infeasible"} & {one.status for one in outcomes}
    status = ["status"] if are_excluded else []
    has_front = any(one.is_on_front is not None for one in outcomes)
    pareto = ["pareto"] if has_front else []
    names = column_names(figures, ("trial", *varied, *pareto, *status))
    # A column even where all trials failed: their errors must not widen the one before.
    rows = [["trial", *varied, *(names.values() or ("",)), *pareto, *status]]
    for number in ranked(outcomes):
        outcome = outcomes[number]
        own = (shortened(settings[number].get(key, "")) for key in varied)
        row = [str(number), *own]
        if outcome.result is None:
            first = (outcome.error.splitlines() or ["no reason given"])[0]
            kind = f" ({outcome.failure})" if outcome.failure else ""
            rows.append([*row, f"failed{kind}: {first}"])
        else:
            metrics = (results[number].get(name, "") for name in figures)
            about = outcome.infeasible and f": {outcome.infeasible}"
            marks = ["yes" if outcome.is_on_front else "" for _ in pareto]
            ended = [f"{outcome.status}{about}" for _ in status]
            rows.append([*row, *metrics, *marks, *ended])
    return columns(rows)


def settings_of(lines: Iterable[str]) -> dict[str, str]:
    """Returns key -> value as text of the overrides of a trial.

    >>> settings_of(["++optimizer.lr=0.1"])
    {'optimizer.lr': '0.1'}
    """
    pairs = (line.lstrip("+").partition("=") for line in lines)
    return {key: value for key, _, value in pairs}


def _figures(result: Mapping[str, Any]) -> dict[str, str]:
    """Returns the step and the scalar metrics of a result as text."""
    numbers = {"step": result.get("step"), **result.get("eval", {})}
    return {
        name: f"{value:.5g}" if isinstance(value, float) else str(value)
        for name, value in numbers.items()
        if isinstance(value, int | float)
    }
