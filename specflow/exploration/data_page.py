"""The page of data: checks, statistics, distributions and rows, in one file."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from specflow.exploration.check_results import CheckResult
from specflow.exploration.column_statistics import QUANTILES, DataStatistics
from specflow.exploration.data_charts import distribution, picture, split_key
from specflow.exploration.pipeline_speed import PipelineSpeed
from specflow.exploration.shown_rows import ShownRow, as_text, picture_of
from specflow.runtime.html.html_text import Html, element, joined_html
from specflow.runtime.html.page_document import page_document
from specflow.runtime.html.sortable_table import (
    number_cell,
    sortable_table,
    text_cell,
)

__all__ = ["DataContents", "data_page"]

_MOST_CHARTS = 60
_LARGEST_PICTURE = 96
"""Side of a picture, in pixels."""


@dataclasses.dataclass(frozen=True, slots=True)
class DataContents:
    """What the page shows."""

    name: str
    """Name of the experiment."""
    statistics: DataStatistics
    checks: Sequence[CheckResult]
    rows: Sequence[ShownRow]
    """Some training rows."""
    speed: PipelineSpeed | None = None
    """None: it was not measured."""


def data_page(contents: DataContents) -> str:
    """Returns the page as HTML."""
    title = f"Data of {contents.name}"
    statistics = contents.statistics
    charts = [distribution(column) for column in statistics.columns[:_MOST_CHARTS]]
    left = len(statistics.columns) - _MOST_CHARTS
    more = [] if left <= 0 else [_note(f"{left} further columns are in the tables.")]
    body = joined_html(
        element("header", None, element("h1", None, title)),
        _tiles(contents),
        *_section("Checks", _checks(contents.checks), *_findings(contents.checks)),
        *_section("Statistics", _statistics(statistics)),
        *_section(
            "Distributions",
            split_key(statistics.rows),
            element("div", {"class": "charts"}, *(c for c in charts if c is not None)),
            *more,
        ),
        *_section("Rows as the model gets them", *_rows(contents.rows)),
        element("footer", None, "Made by specflow data."),
    )
    return page_document(title, body)


def _tiles(contents: DataContents) -> Html:
    statistics, speed = contents.statistics, contents.speed
    tiles = [
        _tile(f"Rows to {verb}", f"{statistics.rows[split]:,}", "")
        for split, verb in (
            ("train", "train on"),
            ("eval", "evaluate on"),
            ("test", "test"),
        )
        if split in statistics.rows
    ]
    columns = [column.role for column in statistics.columns]
    about = f"{_count(columns, 'label')}, {_count(columns, 'id')}"
    tiles.append(_tile("Columns", str(len(columns)), about))
    findings = [f.severity for check in contents.checks for f in check.findings]
    about = f"{_count(findings, 'error')}, {_count(findings, 'warning')}"
    tiles.append(_tile("Findings", str(len(findings)), about))
    if speed is not None:
        about = f"rows/s of the pipeline alone; waits for: {speed.slowest}"
        tiles.append(_tile("Speed", f"{speed.rows_per_second:,.0f}", about))
    return element("dl", {"class": "tiles"}, *tiles)


def _checks(checks: Sequence[CheckResult]) -> Html:
    rows = [
        element(
            "tr",
            None,
            text_cell(check.name),
            _severity(check.severity),
            text_cell(check.measured),
        )
        for check in checks
    ]
    return sortable_table("Checks", ["check", "severity", "measured"], rows)


def _findings(checks: Sequence[CheckResult]) -> Iterable[Html]:
    """Yields a table of the findings, if there are any."""
    rows = [
        element(
            "tr",
            None,
            text_cell(check.name),
            _severity(finding.severity),
            text_cell(finding.diagnostic.where),
            *(
                element("td", {"class": "reason", "data-value": text}, text)
                for text in (
                    finding.diagnostic.problem,
                    finding.diagnostic.expected,
                    finding.diagnostic.hint,
                )
            ),
        )
        for check in checks
        for finding in check.findings
    ]
    if rows:
        heads = ["check", "severity", "column", "found", "expected", "what to do"]
        yield element("h3", None, "Findings")
        yield sortable_table("Findings", heads, rows)


def _statistics(statistics: DataStatistics) -> Html:
    quantiles = [f"{round(100 * q)}%" for q in QUANTILES]
    numeric = ["count", "missing", "distinct", "mean", "std", "min", *quantiles, "max"]
    rows = []
    for column in statistics.columns:
        for split, found in column.by_split.items():
            top = ", ".join(f"{text}: {count:,}" for text, count in found.top[:3])
            values = found.quantiles or (None,) * len(QUANTILES)
            counts = (found.count, found.missing, found.distinct)
            numbers = (*counts, found.mean, found.std, found.min, *values, found.max)
            cells = [
                text_cell(column.name),
                text_cell(column.role),
                text_cell(column.kind),
            ]
            cells += [text_cell(split), *map(number_cell, numbers), text_cell(top)]
            rows.append(element("tr", None, *cells))
    heads = ["column", "role", "kind", "split", *numeric, "most frequent"]
    return sortable_table("Statistics", heads, rows, numeric)


def _rows(rows: Sequence[ShownRow]) -> Iterable[Html]:
    """Yields the rows: cells beside features and pictures, pictures, or text."""
    pictures = [
        picture(_title(row), pixels)
        for row in rows
        # The cells of a folder of images are their paths alone.
        if len(row.raw) <= 1 or row.epoch is not None
        for _, pixels in _pictures(row)
    ]
    if pictures:
        yield element("div", {"class": "thumbnails"}, *pictures)
        return
    for row in rows:
        shown = [picture(name, pixels) for name, pixels in _pictures(row)]
        text = element("code", None, as_text(row, draws=False))
        content = [element("pre", None, text)]
        if shown:
            content.append(element("div", {"class": "thumbnails"}, *shown))
        yield element("div", {"class": "card"}, *content)


def _pictures(row: ShownRow) -> Iterable[tuple[str, Any]]:
    """Yields the name and the pixels of the pictures of a row."""
    for path, feature in row.features.items():
        pixels = picture_of(feature, largest=_LARGEST_PICTURE)
        if pixels is not None:
            yield path.removeprefix("features."), pixels


def _title(row: ShownRow) -> str:
    """Number, epoch and labels of a row."""
    epoch = "" if row.epoch is None else f", epoch {row.epoch}"
    names = ", ".join(row.names.values()) or ", ".join(
        str(label) for label in row.labels.values() if label.ndim == 0
    )
    return f"row {row.row}{epoch}: {names}"


def _severity(severity: str) -> Html:
    kind = {"ok": "complete", "warning": "pruned", "error": "failed"}[severity]
    about = {"class": f"status {kind}", "data-value": severity}
    return element("td", about, severity)


def _tile(name: str, value: str, about: str) -> Html:
    small = element("small", None, about)
    pair = element("dt", None, name), element("dd", None, value, small)
    return element("div", None, *pair)


def _count(names: Sequence[str], name: str) -> str:
    count = names.count(name)
    return f"{count} {name}{'' if count == 1 else 's'}"


def _section(title: str, *content: Any) -> list[Html]:
    return [element("h2", None, title), *content]


def _note(text: str) -> Html:
    return element("p", {"class": "note"}, text)
