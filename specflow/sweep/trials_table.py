"""Writes the trials of a sweep as tables, `trials.csv` and `trials.json`."""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from specflow.distributed import collectives
from specflow.output import set_aside, to_plain, write_text
from specflow.output.json_values import to_json
from specflow.runtime.formatting import column_names
from specflow.sweep.results.run_files import read_json

__all__ = ["save_trials"]


def save_trials(rows: Sequence[Mapping[str, Any]]) -> Path | None:
    """Writes `trials.csv` and `trials.json` into the common folder of all runs.

    A metric with the name of another column becomes `eval.<name>`, such as `error`. A
    table of other trials in the folder becomes `trials.1.csv` and so on; one of some of
    these trials, as of a search that has had more since, is replaced.

    Args:
        rows: `trial`, `overrides`, `status`, `step`, `eval`, `directory`, `failure` and
            `error` of each trial, the best first.

    Returns:
        The CSV file, which has scalars; the JSON has arrays too. None if there are no
        trials, or another process writes.

    Raises:
        OutputError: a file cannot be written.
    """
    if not rows or not collectives.is_process_zero():
        return None
    folder = Path(os.path.commonpath([Path(row["directory"]).parent for row in rows]))
    plain = [to_plain(row) for row in rows]
    file = folder / "trials.csv"
    texts = {folder / "trials.json": to_json({"trials": plain}), file: _as_csv(plain)}
    earlier = read_json(folder / "trials.json").get("trials")
    are_these = isinstance(earlier, list) and _named(earlier) <= _named(plain)
    for path, text in texts.items():
        if not are_these and path.exists() and path.read_bytes() != text.encode():
            set_aside(path)
        write_text(path, text)
    # Relative, unless it leads up to another part of the file system.
    return Path(min(os.path.relpath(file), os.path.abspath(file), key=len))


def _named(rows: Sequence[Any]) -> set[str]:
    """Returns numbers and overrides of trials, by which those of a sweep are known."""
    return {
        json.dumps([row.get("trial"), row.get("overrides")])
        if isinstance(row, dict)
        else json.dumps(row)
        for row in rows
    }


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
    before = ("trial", *keys, "step")
    after = ("status", "directory", "failure", "error")
    columns = column_names(names, (*before, *after))
    writer.writerow([*before, *columns.values(), *after])
    for row in rows:
        writer.writerow(
            [
                row["trial"],
                *(row["overrides"].get(key, "") for key in keys),
                row["step"],
                *(row["eval"].get(name, "") for name in names),
                row["status"],
                row["directory"],
                row["failure"],
                row["error"],
            ]
        )
    return text.getvalue()
