"""The table of a sweep's trials, saved beside their runs."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from specflow import peers
from specflow.output import to_plain, write_text
from specflow.output.plain import to_json

__all__ = ["save_trials"]


def save_trials(rows: Sequence[Mapping[str, Any]]) -> Path | None:
    """Writes `trials.csv` and `trials.json` into the folder that all runs are in.

    Args:
        rows: of each job `job`, `overrides`, `step`, `eval`, `directory` and `error`,
            the best first.

    Returns:
        The CSV file, which has the single numbers; the JSON has arrays too. None where
        there were no jobs, or another process writes.

    Raises:
        OutputError: a file cannot be written.
    """
    if not rows or not peers.is_first():
        return None
    folder = Path(os.path.commonpath([Path(row["directory"]).parent for row in rows]))
    plain = [to_plain(row) for row in rows]
    write_text(folder / "trials.json", to_json({"trials": plain}))
    file = folder / "trials.csv"
    write_text(file, _as_csv(plain))
    return Path(os.path.relpath(file))


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    keys = list(dict.fromkeys(key for row in rows for key in row["overrides"]))
    names = list(
        dict.fromkeys(
            name
            for row in rows
            for name, value in row["eval"].items()
            if not isinstance(value, list | dict)
        )
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["job", *keys, "step", *names, "directory", "error"])
    for row in rows:
        writer.writerow(
            [
                row["job"],
                *(row["overrides"].get(key, "") for key in keys),
                row["step"],
                *(row["eval"].get(name, "") for name in names),
                row["directory"],
                row["error"],
            ]
        )
    return text.getvalue()
