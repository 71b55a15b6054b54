"""Figures of cases, kept in a file, and their sums by campaign and experiment."""

import dataclasses
import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["OUTCOMES", "Records", "Tally", "failures", "skips", "table"]

OUTCOMES = ("survived", "lost", "silent", "hung")
"""What becomes of a fault; `tried` is their sum."""
_COUNTS = ("tried", *OUTCOMES, "skipped")


@dataclasses.dataclass
class Tally:
    """Figures of one case: a fault, or several in one run."""

    campaign: str
    experiment: str
    case: str = ""
    """Name of the case within its campaign and experiment."""
    seed: int = 0
    survived: int = 0
    lost: int = 0
    """Faults whose run did not resume, or ended with other values."""
    silent: int = 0
    """Faults after which wrong values were read, or other ones without a message."""
    hung: int = 0
    """Faults after which a process did not end."""
    skipped: int = 0
    """Faults that this machine does not allow."""
    steps_lost: int = 0
    """The most steps between the newest checkpoint and the last step of the log."""
    exit_s: list[float] = dataclasses.field(default_factory=list)
    """Times from a signal to the end of all processes."""
    notes: list[str] = dataclasses.field(default_factory=list)
    """One line for each problem."""
    reasons: list[str] = dataclasses.field(default_factory=list)
    """Why faults were skipped."""

    @property
    def tried(self) -> int:
        return sum(getattr(self, outcome) for outcome in OUTCOMES)

    @property
    def key(self) -> tuple[int, str, str, str]:
        """Identity of the case, by which a later campaign finds it."""
        return self.seed, self.campaign, self.experiment, self.case

    def add(self, outcome: str, *problems: str) -> None:
        """Counts one fault.

        Args:
            outcome: one of `OUTCOMES`.
            problems: what is wrong; none if the run survived.
        """
        assert outcome in OUTCOMES
        assert (outcome == "survived") == (not problems)
        setattr(self, outcome, getattr(self, outcome) + 1)
        where = f"{self.campaign}, {self.experiment}, {self.case}"
        self.notes += [f"{where}: {problem}" for problem in problems]

    def judge(self, problems: Iterable[str], outcome: str = "lost") -> None:
        """Counts one fault: as survived without problems, else with this outcome."""
        problems = list(problems)
        self.add(outcome if problems else "survived", *problems)

    def skip(self, reason: str) -> None:
        """Counts one fault that was not tried."""
        self.skipped += 1
        self.reasons.append(reason)


class Records:
    """The newest figures of each case, kept in a file if there is one.

    A campaign that is cut short resumes at its first case without figures. A case that
    failed or was skipped is tried again.

    Args:
        path: of the file, one JSON object a line; None: figures are not kept.
    """

    def __init__(self, path: Path | None = None):
        self._path = path
        self._tallies: dict[tuple[int, str, str, str], Tally] = {}
        if path is None or not path.exists():
            return
        text = path.read_text(encoding="utf-8")
        complete = text[: text.rfind("\n") + 1]
        if complete != text:  # This process was killed while it wrote a line.
            path.write_text(complete, encoding="utf-8")
        for line in complete.splitlines():
            tally = Tally(**json.loads(line))
            self._tallies[tally.key] = tally

    @property
    def tallies(self) -> list[Tally]:
        return list(self._tallies.values())

    def has_passed(self, key: tuple[int, str, str, str]) -> bool:
        """Returns whether a case was tried, without a failure or a skipped fault."""
        tally = self._tallies.get(key)
        return tally is not None and not tally.notes and not tally.skipped

    def add(self, tally: Tally) -> None:
        """Adds the figures of a case, in place of earlier ones."""
        self._tallies[tally.key] = tally
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dataclasses.asdict(tally)) + "\n")


def table(tallies: Iterable[Tally]) -> str:
    """The figures as text, one line for each campaign and experiment, and the total."""
    rows: dict[tuple[str, str], list[Tally]] = {}
    tallies = sorted(tallies, key=lambda tally: (tally.campaign, tally.experiment))
    for tally in tallies:
        rows.setdefault((tally.campaign, tally.experiment), []).append(tally)
    header = "campaign  experiment      tried  survived  steps lost  exit s (max)"
    lines = [f"{header}  lost  silent  hung  skipped"]
    lines += [_line(*name, _sums(row)) for name, row in rows.items()]
    return "\n".join([*lines, _line("all", "", _sums(tallies))])


def failures(tallies: Iterable[Tally]) -> list[str]:
    """One line for each problem; a soak without any has succeeded."""
    return [note for tally in tallies for note in tally.notes]


def skips(tallies: Iterable[Tally]) -> list[str]:
    """One line for each reason for which faults were skipped, with their number."""
    counts: dict[str, int] = {}
    for tally in tallies:
        for reason in tally.reasons:
            counts[reason] = counts.get(reason, 0) + 1
    return [f"skipped {count}: {reason}" for reason, count in counts.items()]


def _sums(tallies: list[Tally]) -> dict[str, Any]:
    counts = {name: sum(getattr(t, name) for t in tallies) for name in _COUNTS}
    return counts | {
        "steps_lost": max((tally.steps_lost for tally in tallies), default=0),
        "exit_s": [seconds for tally in tallies for seconds in tally.exit_s],
    }


def _line(campaign: str, experiment: str, row: dict[str, Any]) -> str:
    seconds = "-"
    if times := row["exit_s"]:
        seconds = f"{statistics.median(times):.2f} ({max(times):.2f})"
    return (
        f"{campaign:<8}  {experiment:<14}  {row['tried']:>5}  "
        f"{row['survived']:>8}  {row['steps_lost']:>10}  {seconds:>12}  "
        f"{row['lost']:>4}  {row['silent']:>6}  {row['hung']:>4}  {row['skipped']:>7}"
    )
