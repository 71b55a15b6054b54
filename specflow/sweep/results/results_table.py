"""The trials of a sweep as a table: text, CSV, JSON or Parquet."""

import csv
import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest
from specflow.output.files import replacing
from specflow.runtime.formatting import column_names, columns, shortened
from specflow.sweep.results.best_trial import pareto_front, ranked_trials
from specflow.sweep.results.sweep_results import SweepResults
from specflow.sweep.results.trial_result import TrialResult

__all__ = [
    "as_csv",
    "as_plain",
    "as_text",
    "sorted_trials",
    "typed_value",
    "write_parquet",
]

_BEFORE, _AFTER = ("trial",), ("status", "reason", "step", "seconds", "directory")
_LONGEST = 100
"""Characters of a reason in the text; the other formats have all."""


def sorted_trials(
    results: SweepResults, key: str | None = None, *, is_reversed: bool = False
) -> list[TrialResult]:
    """Returns the trials in the order of a column.

    Args:
        results: of the sweep.
        key: `trial`, `status`, `step`, `seconds`, a metric or a parameter; None: the
            best first, or by number if there are several objectives.
        is_reversed: turn the order; trials without a value stay last.

    Raises:
        ConfigError: there is no such column.
    """
    trials = list(results.trials)
    if key is None:
        if len(results.objectives) == 1:
            trials = ranked_trials(trials, results.objectives[0])
        return trials[::-1] if is_reversed else trials
    known = [*_BEFORE, *results.keys, *results.metrics, *_AFTER]
    if key not in known:
        raise ConfigError(
            Diagnostic(
                "--sort",
                f"there is no column {key}",
                f"one of {', '.join(dict.fromkeys(known))}",
                did_you_mean(nearest(key, known)),
                "command line",
                "usage",
            )
        )
    values = {trial.number: _sort_value(results, trial, key) for trial in trials}
    missing = [trial for trial in trials if values[trial.number] is None]
    present = [trial for trial in trials if values[trial.number] is not None]
    numeric = all(isinstance(values[trial.number], float) for trial in present)
    present.sort(
        key=lambda trial: (
            values[trial.number] if numeric else str(values[trial.number])
        ),
        reverse=is_reversed,
    )
    return present + missing


def as_plain(
    results: SweepResults, trials: Sequence[TrialResult]
) -> list[dict[str, Any]]:
    """Returns the trials as plain values, with every digit."""
    front = _front(results)
    return [
        {
            "trial": trial.number,
            "overrides": dict(trial.overrides),
            "metrics": dict(trial.metrics),
            **({"spread": dict(trial.spread)} if trial.spread else {}),
            **({} if front is None else {"pareto": trial.number in front}),
            "status": trial.status,
            "failure": trial.failure,
            "reason": trial.reason,
            "step": trial.step,
            "seconds": trial.seconds,
            "started": trial.started,
            "directory": str(trial.directory),
            **({"runs": [str(run) for run in trial.runs]} if trial.runs else {}),
        }
        for trial in trials
    ]


def as_text(results: SweepResults, trials: Sequence[TrialResult]) -> str:
    """Returns an aligned table; numbers are shortened, and reasons to one line."""
    keys, metrics, front = results.keys, results.metrics, _front(results)
    names = column_names(metrics, (*_BEFORE, *keys, *_AFTER))
    pareto = [] if front is None else ["pareto"]
    head = [*_BEFORE, *keys, *names.values(), *pareto]
    rows = [[*head, "status", "step", "seconds", "directory", "reason"]]
    for trial in trials:
        marks = ["yes" if trial.number in front else "" for _ in pareto if front]
        rows.append(
            [
                str(trial.number),
                *(shortened(trial.overrides.get(key, "")) for key in keys),
                *(_with_spread(trial, name) for name in metrics),
                *(marks or ["" for _ in pareto]),
                trial.status,
                "" if trial.step is None else f"{trial.step:,}",
                "" if trial.seconds is None else f"{trial.seconds:.1f}",
                results.shown(trial.directory),
                _one_line(trial),
            ]
        )
    right = [place for place, name in enumerate(rows[0]) if name in ("step", "seconds")]
    return columns([row if row[-1] else row[:-1] for row in rows], right=right)


def as_csv(results: SweepResults, trials: Sequence[TrialResult]) -> str:
    """Returns the trials as CSV with every digit, a row each."""
    names, rows = _records(results, trials)
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_parquet(
    results: SweepResults, trials: Sequence[TrialResult], path: str | Path
) -> None:
    """Writes the trials as Parquet; parameters that are numbers are columns of such.

    Args:
        results: of the sweep.
        trials: in the order of the rows.
        path: of the file.

    Raises:
        ConfigError: pyarrow is not installed.
        OutputError: the file cannot be written.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(
            Diagnostic(
                "--format",
                "parquet needs the package pyarrow, which is not installed",
                hint="pip install 'specflow-jax[parquet]'.",
                origin="command line",
                code="package-missing",
            )
        )
    import pyarrow as pa
    import pyarrow.parquet as pq

    names, rows = _records(results, trials)
    table = pa.table({name: _typed([row[name] for row in rows]) for name in names})
    with replacing(Path(path)) as temporary:
        pq.write_table(table, temporary)


def typed_value(text: str) -> int | float | str:
    """Returns a number, if a text is one.

    >>> typed_value("64"), typed_value("1e-3"), typed_value("adamw")
    (64, 0.001, 'adamw')
    """
    number = _number(text)
    if number is None:
        return text
    return int(text) if text.lstrip("+-").isdecimal() else number


def _records(
    results: SweepResults, trials: Sequence[TrialResult]
) -> tuple[list[str], list[dict[str, Any]]]:
    """Returns the names of the columns, and the rows."""
    keys, metrics, front = results.keys, results.metrics, _front(results)
    spread = list(dict.fromkeys(name for one in trials for name in one.spread))
    taken = (*_BEFORE, *keys, *_AFTER, "started", "failure", "pareto")
    names = column_names([*metrics, *(f"{name}.spread" for name in spread)], taken)
    rows = []
    for trial in trials:
        row: dict[str, Any] = {"trial": trial.number}
        row |= {key: trial.overrides.get(key) for key in keys}
        row |= {names[name]: trial.metrics.get(name) for name in metrics}
        row |= {names[f"{name}.spread"]: trial.spread.get(name) for name in spread}
        if front is not None:
            row["pareto"] = trial.number in front
        row |= {
            "status": trial.status,
            "failure": trial.failure,
            "reason": trial.reason,
            "step": trial.step,
            "seconds": trial.seconds,
            "started": trial.started,
            "directory": str(trial.directory),
        }
        rows.append(row)
    pareto = [] if front is None else ["pareto"]
    head = ["trial", *keys, *names.values(), *pareto, "status", "failure", "reason"]
    return [*head, "step", "seconds", "started", "directory"], rows


def _typed(values: list[Any]) -> list[Any]:
    """Returns the texts of a parameter as numbers, if all are."""
    texts = [value for value in values if isinstance(value, str)]
    numbers = [_number(text) for text in texts]
    if not texts or None in numbers:
        return values
    whole = all(isinstance(typed_value(text), int) for text in texts)
    convert = int if whole else float
    return [None if value is None else convert(value) for value in values]


def _sort_value(results: SweepResults, trial: TrialResult, key: str) -> Any:
    if key in results.keys:
        text = trial.overrides.get(key)
        number = None if text is None else _number(text)
        return text if number is None else number
    if key in results.metrics:
        return trial.value(key)
    if key == "trial":
        return float(trial.number)
    value = getattr(trial, key)
    return float(value) if isinstance(value, int | float) else str(value) or None


def _front(results: SweepResults) -> set[int] | None:
    several = len(results.objectives) > 1
    return pareto_front(results.trials, results.objectives) if several else None


def _with_spread(trial: TrialResult, name: str) -> str:
    value, spread = trial.metrics.get(name), trial.spread.get(name)
    if value is None:
        return ""
    text = f"{value:.5g}" if isinstance(value, float) else str(value)
    return text if spread is None else f"{text} ± {spread:.2g}"


def _one_line(trial: TrialResult) -> str:
    """Returns the kind of a failure and the beginning of its message."""
    first = (trial.reason.splitlines() or [""])[0]
    text = f"{trial.failure}: {first}" if trial.failure else first
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
