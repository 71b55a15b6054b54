"""Trials of launchers that record nothing, by their run directories."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from specflow.sweep.results.recorded_trials import unfinished_trial
from specflow.sweep.results.run_files import last_state, read_json, run_directories
from specflow.sweep.results.trial_result import TrialResult

__all__ = ["trials_of_runs"]

_NOT_SWEPT = ("output.dir=", "run=", "trust=")
"""Overrides of a run that tell trials apart by their place alone."""


def trials_of_runs(folder: Path) -> list[TrialResult]:
    """Returns the trials of another launcher, by their run directories.

    It leaves `trials.json` at its end alone, which has the errors of failed trials.
    """
    listed = read_json(folder / "trials.json").get("trials")
    rows = {}
    for row in listed if isinstance(listed, list) else ():
        if isinstance(row, dict) and isinstance(row.get("trial"), int):
            rows[_place(folder, str(row.get("directory", "")))] = row
    places = dict.fromkeys([*run_directories(folder), *rows])
    numbers = _numbers([*places], {place: row["trial"] for place, row in rows.items()})
    return [_of_run(place, numbers[place], rows.get(place, {})) for place in places]


def _place(folder: Path, recorded: str) -> Path:
    """Returns the directory of a run, also if the sweep has been moved."""
    path = Path(recorded)
    if path.is_dir():
        # As typed, so that it compares with what is found below the sweep.
        inside = os.path.relpath(path.resolve(), folder.resolve())
        return (
            path if inside.startswith("..") else Path(os.path.normpath(folder / inside))
        )
    return folder / path.name


def _numbers(places: list[Path], known: Mapping[Path, int]) -> dict[Path, int]:
    """Returns the number of each run: as listed, its name, or the next."""
    numbers = dict(known)
    for place in places:
        if place not in numbers and place.name.isdecimal():
            number = int(place.name)
            if number not in numbers.values():
                numbers[place] = number
    free = iter(n for n in range(len(places) * 2) if n not in set(numbers.values()))
    return {
        place: numbers[place] if place in numbers else next(free) for place in places
    }


def _of_run(directory: Path, number: int, row: Mapping[str, Any]) -> TrialResult:
    manifest = read_json(directory / "manifest.json")
    lines = [str(line) for line in manifest.get("overrides", ())]
    own = (line.lstrip("+").partition("=") for line in lines if "=" in line)
    overrides = row.get("overrides") or {
        key: text for key, _, text in own if not f"{key}=".startswith(_NOT_SWEPT)
    }
    trial = TrialResult(
        number=number,
        overrides=overrides,
        directory=directory,
        status="running",
        started=str(manifest.get("started", "")),
    )
    if error := row.get("error"):
        step = last_state(directory)[1]
        return dataclasses.replace(trial, status="failed", reason=error, step=step)
    return unfinished_trial(trial)
