"""Statistics and checks of data as text."""

from collections.abc import Iterator, Sequence

from specflow.diagnostics.rendering import line
from specflow.exploration.check_results import CheckResult
from specflow.exploration.column_statistics import (
    QUANTILES,
    DataStatistics,
    SplitStatistics,
)
from specflow.runtime.formatting import columns as aligned

__all__ = ["checks_text", "statistics_text"]

_MOST_TOP = 5
_LONGEST = 24


def statistics_text(
    statistics: DataStatistics, *, parts: Sequence[Sequence[str]] = ()
) -> str:
    """Returns a table of the numbers, and one of the texts; labels first.

    Args:
        statistics: of some splits.
        parts: rows of a table of the parts of a mixture.
    """
    lines = [
        ", ".join(f"{split}: {rows:,} rows" for split, rows in statistics.rows.items())
    ]
    lines += [
        f"note: every {every}th row of {split} was read"
        for split, every in statistics.every.items()
        if every > 1
    ]
    if parts:
        lines += ["", aligned(parts, right=range(1, 4))]
    quantiles = [f"{round(100 * q)}%" for q in QUANTILES]
    heads = ("count", "missing", "distinct", "mean", "std", "min", *quantiles, "max")
    numbers = [
        ("numbers", "split", *heads),
        *_rows(statistics, of_numbers=True),
    ]
    texts = [
        ("texts", "split", "count", "missing", "distinct", "most frequent"),
        *_rows(statistics, of_numbers=False),
    ]
    if len(texts) > 1:
        lines += ["", aligned(texts, right=range(2, 5))]
    if len(numbers) > 1:
        lines += ["", aligned(numbers, right=range(2, 13))]
    return "\n".join(lines)


def checks_text(results: Sequence[CheckResult]) -> str:
    """Returns a line for each check, then one for each finding."""
    rows = [(result.name, result.severity, result.measured) for result in results]
    findings = [
        line(finding.diagnostic, kind=finding.severity)
        for result in results
        for finding in result.findings
    ]
    return "\n".join([aligned(rows), *([""] if findings else []), *findings])


def _rows(statistics: DataStatistics, *, of_numbers: bool) -> Iterator[tuple[str, ...]]:
    for column in statistics.columns:
        if bool(column.edges) != of_numbers:
            continue
        name = (
            column.name
            if column.role == "feature"
            else f"{column.name} ({column.role})"
        )
        for split, found in column.by_split.items():
            counts = tuple(
                f"{n:,}" for n in (found.count, found.missing, found.distinct)
            )
            values = _numbers(found) if of_numbers else (_top(found),)
            yield (name, split, *counts, *values)
            name = ""


def _numbers(found: SplitStatistics) -> tuple[str, ...]:
    values = (found.mean, found.std, found.min, *found.quantiles, found.max)
    return tuple("" if value is None else f"{value:.4g}" for value in values)


def _top(found: SplitStatistics) -> str:
    shown = [
        f"{text if len(text) <= _LONGEST else text[: _LONGEST - 3] + '...'} "
        f"{count / found.count:.0%}"
        for text, count in found.top[:_MOST_TOP]
    ]
    return ", ".join(shown) + (", ..." if len(found.top) > _MOST_TOP else "")
