"""Tables of runs, whose columns sort by a click."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from specflow.reports.run_charts import tone
from specflow.reports.run_contents import RunContents
from specflow.runtime.html.html_text import Html, element
from specflow.runtime.html.sortable_table import (
    number_cell,
    sortable_table,
    text_cell,
)

__all__ = ["difference_table", "environment_table", "metric_table", "run_table"]


def run_table(runs: Sequence[RunContents]) -> Html:
    """Returns a row for each run: state, step, best and last value, time, tags."""
    columns = ["run", "experiment", "state", "step", "best", "at step", "last"]
    columns += ["seconds", "tags"]
    rows = []
    for index, run in enumerate(runs):
        entry = run.entry
        swatch = element("span", {"class": "swatch", **tone(index)})
        cells = [
            element("td", {"data-value": run.label}, swatch, run.label),
            text_cell(entry.name),
            text_cell(entry.state),
            number_cell(entry.step),
            number_cell(entry.best),
            number_cell(entry.best_step),
            number_cell(entry.last),
            number_cell(entry.seconds),
            text_cell(", ".join(entry.tags)),
        ]
        rows.append(element("tr", {**tone(index), "tabindex": 0}, *cells))
    numeric = {"step", "best", "at step", "last", "seconds"}
    return sortable_table("Runs", columns, rows, numeric)


def metric_table(runs: Sequence[RunContents]) -> Html | None:
    """Returns a row for each run, a column for each scalar of its last evaluation."""
    names = list(dict.fromkeys(name for run in runs for name in run.scalars))
    if not names:
        return None
    rows = [
        element(
            "tr",
            {**tone(index), "tabindex": 0},
            text_cell(run.label),
            *(number_cell(run.scalars.get(name)) for name in names),
        )
        for index, run in enumerate(runs)
    ]
    return sortable_table("Last evaluation", ["run", *names], rows, set(names))


def difference_table(
    runs: Sequence[RunContents], differences: Mapping[str, Sequence[Any]]
) -> Html:
    """Returns a row for each key, with its value in each run."""
    rows = [
        element("tr", None, _code(key), *(text_cell(_shown(value)) for value in values))
        for key, values in differences.items()
    ]
    return sortable_table("Config", ["key", *(run.label for run in runs)], rows, set())


def environment_table(runs: Sequence[RunContents]) -> Html:
    """Returns a row for each fact of the environment; differences stand out."""
    facts = [run.environment for run in runs]
    names = list(dict.fromkeys(name for values in facts for name in values))
    rows = []
    for name in names:
        values = [values.get(name, "") for values in facts]
        differs = len(set(values)) > 1
        cells = (text_cell(value) for value in values)
        kind = {"class": "differs"} if differs else None
        rows.append(element("tr", kind, text_cell(name), *cells))
    return sortable_table(
        "Environment", ["", *(run.label for run in runs)], rows, set()
    )


def _code(text: str) -> Html:
    return element("td", {"data-value": text}, element("code", None, text))


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    return value if isinstance(value, str) else json.dumps(value, default=str)
