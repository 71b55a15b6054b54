"""The table of trials, whose columns sort by a click."""

from collections.abc import Sequence
from typing import Any

from specflow.runtime.formatting import column_names, shortened
from specflow.runtime.html.axes import number_label
from specflow.runtime.html.html_text import Html, element
from specflow.sweep.report.importance import numbers_of
from specflow.sweep.results.sweep_results import SweepResults
from specflow.sweep.results.trial_result import TrialResult

__all__ = ["trials_table"]

_OWN = ("trial", "status", "step", "seconds", "directory", "reason")


def trials_table(results: SweepResults, trials: Sequence[TrialResult]) -> Html:
    """Returns a row for each trial.

    Args:
        results: of the sweep.
        trials: in the order of the rows.
    """
    keys, metrics = results.keys, results.metrics
    names = column_names(metrics, (*_OWN, *keys))
    numeric = {
        key
        for key in keys
        if numbers_of([one.overrides[key] for one in trials if key in one.overrides])
    }
    head = [
        _head("trial", is_number=True),
        *(_head(key, is_number=key in numeric) for key in keys),
        *(_head(names[name], is_number=True) for name in metrics),
        _head("status"),
        _head("step", is_number=True),
        _head("seconds", is_number=True),
        _head("directory"),
        _head("reason"),
    ]
    rows = [_row(results, trial, numeric) for trial in trials]
    table = element(
        "table",
        None,
        element("thead", None, element("tr", None, *head)),
        element("tbody", None, *rows),
    )
    about = {"class": "table", "tabindex": 0, "role": "region", "aria-label": "Trials"}
    return element("div", about, table)


def _head(name: str, *, is_number: bool = False) -> Html:
    kind = "number" if is_number else None
    button = element("button", {"type": "button"}, name)
    return element("th", {"scope": "col", "class": kind}, button)


def _row(results: SweepResults, trial: TrialResult, numeric: set[str]) -> Html:
    cells = [_number(trial.number, str(trial.number))]
    for key in results.keys:
        text = trial.overrides.get(key, "")
        about: dict[str, Any] = {"data-value": text, "title": text}
        about["class"] = "number" if key in numeric else None
        cells.append(element("td", about, shortened(text)))
    for name in results.metrics:
        value, spread = trial.value(name), trial.spread.get(name)
        text = "" if value is None else number_label(value)
        text += "" if spread is None or not text else f" ± {spread:.2g}"
        cells.append(_number(value, text))
    status = element("span", {"class": f"status {trial.status}"}, trial.status)
    cells.append(element("td", {"data-value": trial.status}, status))
    cells.append(_number(trial.step, "" if trial.step is None else f"{trial.step:,}"))
    seconds = trial.seconds
    cells.append(_number(seconds, "" if seconds is None else f"{seconds:,.1f}"))
    directory = results.shown(trial.directory)
    cells.append(element("td", {"data-value": directory}, directory))
    reason = f"{trial.failure}: {trial.reason}" if trial.failure else trial.reason
    cells.append(element("td", {"class": "reason", "data-value": reason}, reason))
    return element("tr", {"data-trial": trial.number}, *cells)


def _number(value: float | None, text: str) -> Html:
    shown = "" if value is None else repr(value)
    return element("td", {"class": "number", "data-value": shown}, text)
