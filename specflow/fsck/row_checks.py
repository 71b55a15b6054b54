"""Checks of files of rows: metrics, and predictions as JSON lines, CSV or Parquet."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from specflow.fsck.verdicts import Finding, Rewrite, Verdict

__all__ = ["check_metrics", "check_rows", "last_step"]


def check_metrics(
    path: Path, *, newest: int | None = None, in_order: bool = False
) -> Finding:
    """Checks a `metrics.jsonl`: each line has a step and a split.

    Args:
        path: the file.
        newest: step of the newest checkpoint; later rows are noted, since they are
            removed when the run resumes. None: they are not noted.
        in_order: whether the steps of each split increase, as in the rows of a run;
            evaluations can be of any checkpoint.
    """
    seen: dict[str, int] = {}

    def problem(row: Any) -> str:
        if not isinstance(row, dict) or not _is_step(row.get("step")):
            return "has no step"
        if not isinstance(split := row.get("split"), str):
            return "has no split"
        step, before = row["step"], seen.get(split, -1)
        seen[split] = step
        if in_order and step <= before:
            return f"is of step {step}, after step {before}"
        return ""

    finding = _check_lines(path, problem)
    late = max(seen.values(), default=0)
    if finding.verdict is Verdict.OK and newest is not None and late > newest:
        note = f"rows up to step {late} are after the newest checkpoint, step {newest}"
        return Finding(path, reason=f"{note}; they are written again")
    return finding


def check_rows(path: Path) -> Finding:
    """Checks a file of predictions; its suffix is its format."""
    if path.suffix == ".jsonl":
        return _check_lines(path, lambda row: "")
    if path.suffix == ".csv":
        return _check_csv(path)
    return _check_parquet(path)


def last_step(path: Path) -> int | None:
    """Returns the largest step of the rows of a `metrics.jsonl`; None without rows."""
    steps = []
    for line in path.read_bytes().splitlines():
        try:
            steps.append(json.loads(line)["step"])
        except (ValueError, TypeError, KeyError):
            continue
    return max(filter(_is_step, steps), default=None)


def _is_step(step: Any) -> bool:
    return isinstance(step, int) and not isinstance(step, bool) and step >= 0


def _check_lines(path: Path, problem: Callable[[Any], str]) -> Finding:
    """Checks that a file consists of JSON lines, each without a problem."""
    good: list[tuple[int, int]] = []
    bad = ""
    start = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            stop = start + len(line)
            if not line.endswith(b"\n"):
                if not bad:
                    repair = Rewrite(tuple(good), keeps_copy=False)
                    reason = f"line {number} is torn"
                    return Finding(path, Verdict.INCOMPLETE, reason, repair)
                break
            try:
                why = problem(json.loads(line))
            except ValueError:
                why = "is no JSON"
            if not why:
                good.append((start, stop))
            bad = bad or (f"line {number} {why}" if why else "")
            start = stop
    if bad:
        repair = Rewrite(tuple(good), keeps_copy=True)
        return Finding(path, Verdict.DAMAGED, bad, repair)
    return Finding(path)


def _check_csv(path: Path) -> Finding:
    """Checks that all rows are as long as the header."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            columns = len(next(reader, ()))
            for row in reader:
                if len(row) != columns:
                    reason = f"line {reader.line_num} has {len(row)} of {columns} cells"
                    return Finding(path, Verdict.DAMAGED, reason)
    except (csv.Error, UnicodeDecodeError) as error:
        return Finding(path, Verdict.DAMAGED, f"is no CSV: {error}")
    content_end = path.read_bytes()[-1:]
    if content_end != b"\n":
        return Finding(path, Verdict.DAMAGED, "the last line is torn")
    return Finding(path)


def _check_parquet(path: Path) -> Finding:
    """Reads all pages with their checksums, or only the marks without pyarrow."""
    content = path.read_bytes()
    if len(content) < 12 or content[:4] != b"PAR1" or content[-4:] != b"PAR1":
        return Finding(path, Verdict.DAMAGED, "is no Parquet file")
    try:
        import pyarrow.parquet
    except ImportError:
        return Finding(path, reason="pyarrow, which would read it, is not installed")
    try:
        with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            for _ in file.iter_batches():
                pass
    except Exception as error:  # pyarrow raises OSError, ValueError and others.
        reason = str(error).split("\n")[0]
        return Finding(path, Verdict.DAMAGED, f"cannot be read: {reason}")
    return Finding(path)
