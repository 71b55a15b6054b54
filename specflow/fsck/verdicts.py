"""Verdicts on the objects of a run directory, and the repair of each."""

import dataclasses
import enum
from pathlib import Path
from typing import TypeAlias

__all__ = ["Finding", "Remove", "Repair", "Rewrite", "SetAside", "Verdict"]


class Verdict(enum.StrEnum):
    """State of one object of a run directory."""

    OK = "ok"
    INCOMPLETE = "incomplete"
    """A process ended while writing it."""
    LEFTOVER = "leftover"
    """A temporary file, or a checkpoint whose removal was interrupted."""
    OTHER_FORMAT = "other format"
    """Intact or not: this specflow cannot read it."""
    DAMAGED = "damaged"
    """It is not what was written, or is missing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Remove:
    """Removes a file or folder without anything to keep."""


@dataclasses.dataclass(frozen=True, slots=True)
class SetAside:
    """Moves a file or folder to `damaged/` of the run."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rewrite:
    """Keeps the readable parts of a file."""

    spans: tuple[tuple[int, int], ...]
    """Start and stop of each part, in bytes."""
    keeps_copy: bool
    """Whether the file as it is now is copied to `damaged/` of the run: not if what is
    dropped is the last line or record, torn off in the middle."""


Repair: TypeAlias = Remove | SetAside | Rewrite


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """Verdict on one object."""

    path: Path
    verdict: Verdict = Verdict.OK
    reason: str = ""
    """Reason of the verdict, in one line; of `ok`, a note, mostly empty."""
    repair: Repair | None = None
    """Change that `--repair` makes; None: it makes none."""
