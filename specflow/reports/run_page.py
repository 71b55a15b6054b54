"""The page of a run, or of several that are compared; one file, which loads nothing."""

import datetime
from collections.abc import Sequence
from typing import Any

from specflow.reports.row_pictures import RowPictures
from specflow.reports.run_charts import confusion_matrices, curves, goodput_bars
from specflow.reports.run_contents import (
    RunContents,
    config_differences,
    series_of,
)
from specflow.reports.run_tables import (
    difference_table,
    environment_table,
    metric_table,
    run_table,
)
from specflow.runtime.html.axes import number_label
from specflow.runtime.html.html_text import Html, element, joined_html
from specflow.runtime.html.page_document import page_document

__all__ = ["run_page"]


def run_page(
    runs: Sequence[RunContents],
    *,
    pictures: RowPictures | None = None,
    now: datetime.datetime | None = None,
) -> str:
    """Returns the page as HTML.

    Args:
        runs: one, or several that are compared.
        pictures: of the rows of an evaluation.
        now: time at which the runs were read; the current one if None.
    """
    read_at = (now or datetime.datetime.now().astimezone()).strftime("%Y-%m-%d %H:%M")
    first = runs[0]
    title = f"Run {first.label}" if len(runs) == 1 else f"{len(runs)} runs"
    names = ", ".join(dict.fromkeys(run.entry.name for run in runs))
    places = ", ".join(str(run.run.directory.resolve()) for run in runs)
    notes = [run.run.notes for run in runs if run.run.notes]
    body = joined_html(
        element(
            "header",
            None,
            element("h1", None, f"{title} of {names}"),
            *(element("p", None, note) for note in notes),
            element("p", None, f"{places}, read {read_at}"),
        ),
        _tiles(first) if len(runs) == 1 else "",
        *_section("Runs", run_table(runs) if len(runs) > 1 else None),
        *_section("Last evaluation", metric_table(runs)),
        *_config(runs),
        *_charts("Curves", [curves(runs, *item) for item in series_of(runs).items()]),
        *_charts("Confusion", confusion_matrices(runs)),
        *_charts("Rows of the evaluation", pictures.figures() if pictures else []),
        *_charts("Goodput", [goodput_bars(runs)]),
        *_section("Environment", environment_table(runs)),
        element("footer", None, "Made by specflow report."),
    )
    return page_document(f"{title} of {names}", body)


def _tiles(run: RunContents) -> Html:
    entry = run.entry
    steps = f"of {entry.steps:,}" if entry.steps else ""
    tiles = [_tile("State", entry.state, ", ".join(entry.tags))]
    tiles.append(_tile("Step", f"{entry.step:,}", steps))
    if entry.best is not None:
        at = f"at step {entry.best_step:,}"
        tiles.append(_tile(f"Best {entry.metric}", number_label(entry.best), at))
    shares = run.efficiency.get("shares")
    if shares:
        of = f"of {number_label(run.efficiency['total_s'])} s"
        tiles.append(_tile("Goodput", f"{shares['step']:.0%}", of))
    if run.efficiency.get("mfu") is not None:
        tiles.append(_tile("MFU", f"{run.efficiency['mfu']:.1%}", ""))
    return element("dl", {"class": "tiles"}, *tiles)


def _tile(name: str, value: str, about: str) -> Html:
    small = element("small", None, about)
    pair = element("dt", None, name), element("dd", None, value, small)
    return element("div", None, *pair)


def _config(runs: Sequence[RunContents]) -> list[Html]:
    if len(runs) > 1:
        differences = config_differences(runs)
        if not differences:
            note = "The configs are equal, except for their output."
            return _section("Config", element("p", {"class": "note"}, note))
        return _section("Config differences", difference_table(runs, differences))
    whole: dict[str, list[Any]] = {
        key: [value] for key, value in runs[0].run.flat_config.items()
    }
    inside = difference_table(runs, whole)
    summary = element("summary", None, f"{len(whole)} settings")
    return _section("Config", element("details", None, summary, inside))


def _section(title: str, content: Html | None) -> list[Html]:
    return [] if content is None else [element("h2", None, title), content]


def _charts(title: str, charts: Sequence[Html | None]) -> list[Html]:
    shown = [chart for chart in charts if chart is not None]
    if not shown:
        return []
    return _section(title, element("div", {"class": "charts"}, *shown))
