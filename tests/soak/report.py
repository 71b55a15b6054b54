"""Figures of the campaigns, by experiment."""

import dataclasses
import json
import statistics
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Tally", "failures", "read", "record", "table"]


@dataclasses.dataclass
class Tally:
    """Figures of one campaign over one experiment."""

    campaign: str
    experiment: str
    tried: int = 0
    survived: int = 0
    steps_lost: int = 0
    """The most steps between the newest checkpoint and the last step of the log."""
    exit_s: list[float] = dataclasses.field(default_factory=list)
    """Times from a signal to the end of all processes."""
    lost: int = 0
    """Runs that did not resume, or ended with other values than the reference."""
    silent: int = 0
    """Wrong values, or a changed file that gave other values without a message."""
    hung: int = 0
    notes: list[str] = dataclasses.field(default_factory=list)
    """One line for each failure."""
    skipped: list[str] = dataclasses.field(default_factory=list)
    """Faults that this machine does not allow, with the reason."""

    def survive(self, *problems: str, kind: str = "lost") -> None:
        """Counts one attempt, as survived if there is no problem."""
        self.tried += 1
        if problems:
            setattr(self, kind, getattr(self, kind) + 1)
            self.notes += [f"{self.campaign}, {self.experiment}: {p}" for p in problems]
        else:
            self.survived += 1


def table(tallies: Iterable[Tally]) -> str:
    """The figures as text, one line for each campaign and experiment, and the total."""
    header = "campaign  experiment      tried  survived  steps lost  exit s (max)"
    lines = [f"{header}  lost  silent  hung"]
    total = Tally("all", "")
    for tally in merged(tallies):
        lines.append(_line(tally))
        for field in ("tried", "survived", "lost", "silent", "hung"):
            added = getattr(total, field) + getattr(tally, field)
            setattr(total, field, added)
        total.steps_lost = max(total.steps_lost, tally.steps_lost)
        total.exit_s += tally.exit_s
    return "\n".join([*lines, _line(total)])


def merged(tallies: Iterable[Tally]) -> list[Tally]:
    """Joins the figures of the same campaign and experiment."""
    joined: dict[tuple[str, str], Tally] = {}
    for tally in tallies:
        key = tally.campaign, tally.experiment
        into = joined.setdefault(key, Tally(*key))
        for field in ("tried", "survived", "lost", "silent", "hung", "exit_s", "notes"):
            setattr(into, field, getattr(into, field) + getattr(tally, field))
        into.steps_lost = max(into.steps_lost, tally.steps_lost)
    return sorted(joined.values(), key=lambda tally: (tally.campaign, tally.experiment))


def failures(tallies: Iterable[Tally]) -> list[str]:
    """One line for each failure; a soak without any has succeeded."""
    return [note for tally in tallies for note in tally.notes]


def record(path: Path, tally: Tally) -> None:
    """Appends figures to a file, so that a soak may be done in parts."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(dataclasses.asdict(tally)) + "\n")


def read(path: Path) -> list[Tally]:
    """Figures that were recorded earlier."""
    if not path.exists():
        return []
    return [Tally(**json.loads(line)) for line in path.read_text().splitlines()]


def _line(tally: Tally) -> str:
    seconds = "-"
    if tally.exit_s:
        seconds = f"{statistics.median(tally.exit_s):.2f} ({max(tally.exit_s):.2f})"
    return (
        f"{tally.campaign:<8}  {tally.experiment:<14}  {tally.tried:>5}  "
        f"{tally.survived:>8}  {tally.steps_lost:>10}  {seconds:>12}  "
        f"{tally.lost:>4}  {tally.silent:>6}  {tally.hung:>4}"
    )
