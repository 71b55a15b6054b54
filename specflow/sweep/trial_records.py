"""Records of a sweep's trials: `trials.jsonl` in its directory."""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from specflow.diagnostics.errors import Diagnostic, OutputError
from specflow.sweep.pool.trial import TrialStatus

__all__ = ["TRIALS", "TrialRecord", "append_record", "read_records"]

TRIALS = "trials.jsonl"
"""Name of the file in the sweep's directory."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """A trial as it stood when the record was written.

    Args:
        number: of the trial.
        overrides: key -> value as text, of what differs between trials.
        directory: run directory, relative to that of the sweep.
        status: where the trial stands.
        values: objective -> value; empty if there is none.
        order: `lowest` or `highest`: the value that is best, of a single objective.
        step: last training step; None if unknown.
        seconds: from start to end.
        error: message of a failed trial.
        failure: kind of its failure; see `Failure`.
        attempts: how often it was started.
        started: ISO 8601 time, with zone.
    """

    number: int
    overrides: Mapping[str, str]
    directory: str
    status: TrialStatus
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)
    order: str = "lowest"
    step: int | None = None
    seconds: float | None = None
    error: str = ""
    failure: str = ""
    attempts: int = 1
    started: str = ""


def append_record(directory: str | Path, record: TrialRecord) -> None:
    """Appends a record; it is in the file when this returns.

    One write of one line: processes that share a directory do not mix theirs, and a
    line that was cut by a crash is ended first.

    Args:
        directory: of the sweep; made if it is missing.
        record: the trial as it stands.

    Raises:
        OutputError: the file cannot be written.
    """
    file = Path(directory) / TRIALS
    line = json.dumps(vars(record), ensure_ascii=False) + "\n"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # In bytes and without a buffer, so that the line is one write.
        with open(file, "ab+", buffering=0) as stream:
            size = stream.seek(0, os.SEEK_END)
            if size:
                stream.seek(size - 1)
                if stream.read(1) != b"\n":
                    line = f"\n{line}"
            stream.write(line.encode())
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        hint = "Free disk space or fix the permissions; the same command resumes."
        raise OutputError(
            Diagnostic(str(file), problem, hint=hint, code="output-unwritable")
        ) from error


def read_records(directory: str | Path) -> dict[int, TrialRecord]:
    """Returns number -> the last record of each trial, in the order of the numbers.

    Lines that are no record are skipped: a crash cuts the last one.

    Args:
        directory: of the sweep; without the file there are no records.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> for status in (TrialStatus.RUNNING, TrialStatus.COMPLETE):
    ...     append_record(folder, TrialRecord(
    ...         number=0, overrides={"seed": "1"}, directory="0", status=status))
    >>> read_records(folder)[0].status
    <TrialStatus.COMPLETE: 'complete'>
    """
    try:
        text = (Path(directory) / TRIALS).read_bytes()
    except FileNotFoundError:
        return {}
    records = (_record(line) for line in text.splitlines())
    last = {record.number: record for record in records if record is not None}
    return dict(sorted(last.items()))


def _record(line: bytes) -> TrialRecord | None:
    names = {field.name for field in dataclasses.fields(TrialRecord)}
    try:
        fields: dict[str, Any] = json.loads(line)
        known = {name: value for name, value in fields.items() if name in names}
        return TrialRecord(**{**known, "status": TrialStatus(known["status"])})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
