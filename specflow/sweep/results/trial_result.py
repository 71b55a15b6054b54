"""One trial of a sweep, as its files show it."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from specflow.sweep.search.constraints import finite

__all__ = ["ResultStatus", "TrialResult", "scalars", "varied_keys"]

ResultStatus = str
"""`complete`, `infeasible` (it exceeds a constraint), `pruned`, `failed`, `running`, or
`stopped`: it has started, and its process is gone."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialResult:
    """A trial of a sweep.

    Args:
        number: of the trial.
        overrides: key -> value as text.
        directory: run directory, or that of its repeats.
        status: see `ResultStatus`.
        metrics: name -> value of the last evaluation; means if it has repeats.
        spread: name -> sample standard deviation over the repeats.
        step: last training step; None if unknown.
        seconds: from start to end.
        started: ISO 8601 time, with zone.
        reason: why the trial has no result, or cannot be the best.
        failure: kind of the failure; see `Failure`.
        runs: directories of its repeats; empty without.
    """

    number: int
    overrides: Mapping[str, str]
    directory: Path
    status: ResultStatus
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    spread: Mapping[str, float] = dataclasses.field(default_factory=dict)
    step: int | None = None
    seconds: float | None = None
    started: str = ""
    reason: str = ""
    failure: str = ""
    runs: tuple[Path, ...] = ()

    def value(self, metric: str) -> float | None:
        """Returns a metric that is finite, or None."""
        return finite(self.metrics.get(metric))


def scalars(metrics: Any) -> dict[str, float]:
    """Returns the members of a mapping that are numbers.

    >>> scalars({"loss": 0.5, "matrix": [[1, 0], [0, 1]], "auc": None})
    {'loss': 0.5}
    """
    if not isinstance(metrics, Mapping):
        return {}
    return {
        str(name): value
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def varied_keys(trials: Iterable[TrialResult]) -> list[str]:
    """Returns the keys whose values differ between trials, in their order."""
    every = [trial.overrides for trial in trials]
    keys = dict.fromkeys(key for overrides in every for key in overrides)
    return [key for key in keys if len({one.get(key) for one in every}) > 1]
