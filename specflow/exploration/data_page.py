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
    """Yields the rows: cells beside features, pictures, or their text."""
    pictures = []
    for row in rows:
        epoch = "" if row.epoch is None else f", epoch {row.epoch}"
        names = ", ".join(row.names.values()) or ", ".join(
            str(label) for label in row.labels.values() if label.ndim == 0
        )
        for feature in row.features.values():
            if (pixels := picture_of(feature)) is not None:
                pictures.append(picture(f"row {row.row}{epoch}: {names}", pixels))
    if pictures:
        yield element("div", {"class": "thumbnails"}, *pictures)
        return
    for row in rows:
        text = element("code", None, as_text(row))
        yield element("div", {"class": "card"}, element("pre", None, text))


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
