"""Measurement of the corpus: reported mistakes, their places, the time taken."""

import contextlib
import dataclasses
import io
import os
import re
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from specflow.cli.main import main
from specflow.compose import compose
from specflow.diagnostics.errors import ConfigError, Diagnostic
from tests.corpus.planted import Planted
from tests.corpus.whole import CONF, OWN, merged

__all__ = ["Outcome", "observe", "observe_together", "table", "written"]

_DIAGNOSTIC = re.compile(r"error\[(?P<code>[\w-]+)\] (?P<where>.*?): (?P<rest>.*)")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Report of one planted mistake."""

    planted: Planted
    diagnostics: tuple[Diagnostic, ...]
    milliseconds: float
    crash: str = ""
    """Traceback, or output, in place of a report."""

    @property
    def found(self) -> list[Diagnostic]:
        """Diagnostics that name the right key."""
        return [
            diagnostic
            for diagnostic in self.diagnostics
            if self.planted.is_named_by(diagnostic.where)
        ]

    @property
    def placed(self) -> bool:
        """True if one of them has the place of the mistake, to the column."""
        return any(
            diagnostic.origin == place or _line(diagnostic.origin) == place
            for diagnostic in self.found
            for place in self.planted.places
        )

    @property
    def offered(self) -> bool:
        """True if the report suggests the intended name."""
        asked = f"Did you mean {self.planted.near}?"
        return any(asked in diagnostic.hint for diagnostic in self.found)

    @property
    def alone(self) -> bool:
        """True if the report has no other diagnostic."""
        return len(self.diagnostics) == 1


def observe(planted: Planted, folder: Path) -> Outcome:
    """Composes one planted mistake, in a folder that becomes the current one."""
    with written(planted.files, folder):
        began = time.perf_counter()
        diagnostics, crash = (_told if planted.command else _composed)(planted)
        spent = time.perf_counter() - began
    return Outcome(planted, diagnostics, 1000 * spent, crash)


def observe_together(chosen: list[Planted], folder: Path) -> list[Outcome]:
    """Composes several planted mistakes at once."""
    own = (CONF / "experiment" / f"{chosen[0].experiment}.yaml").read_text()
    words, files = merged(chosen, own)
    whole = dataclasses.replace(chosen[0], words=words, files=tuple(files.items()))
    outcome = observe(whole, folder)
    return [dataclasses.replace(outcome, planted=one) for one in chosen]


def table(outcomes: Sequence[Outcome], together: Sequence[Outcome] = ()) -> str:
    """A line for each kind, and one for all.

    Args:
        outcomes: of single faults.
        together: of faults that were planted beside others.
    """
    kinds: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        kinds.setdefault(outcome.planted.kind, []).append(outcome)
    rows = [("kind", "count", "found", "placed", "offered", "alone", "first", "p95 ms")]
    for kind, some in sorted(kinds.items()):
        first = [one for one in together if one.planted.kind == kind]
        rows.append(_row(kind, some, first))
    rows.append(_row("all", outcomes, together))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            text.rjust(width) if place else text.ljust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _row(
    kind: str, some: Sequence[Outcome], first: Sequence[Outcome]
) -> tuple[str, str, str, str, str, str, str, str]:
    meant = [one for one in some if one.planted.near]
    times = [one.milliseconds for one in some]
    slow = statistics.quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
    return (
        kind,
        str(len(some)),
        _share(bool(one.found) for one in some),
        _share(one.placed for one in some),
        _share(one.offered for one in meant),
        _share(one.alone for one in some),
        _share(bool(one.found) for one in first),
        f"{slow:.0f}",
    )


def _share(of: Iterable[bool]) -> str:
    values = list(of)
    return f"{100 * sum(values) / len(values):.1f} %" if values else "-"


def _composed(planted: Planted) -> tuple[tuple[Diagnostic, ...], str]:
    try:
        compose(planted.words, config_dirs=[OWN] if planted.files else [])
    except ConfigError as error:
        return error.diagnostics, ""
    except BaseException as error:
        return (), f"{type(error).__name__}: {error}"
    return (), "no fault"


def _told(planted: Planted) -> tuple[tuple[Diagnostic, ...], str]:
    """The faults of a whole command, read from what it prints."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = main(planted.words)
    diagnostics = []
    for line in said.getvalue().splitlines():
        if told := _DIAGNOSTIC.fullmatch(line):
            place = re.search(r" \(([^()]*)\)", told["rest"])
            diagnostics.append(
                Diagnostic(
                    told["where"],
                    told["rest"],
                    hint=told["rest"],
                    origin=place[1] if place else "",
                )
            )
    return tuple(
        diagnostics
    ), "" if status == 2 else f"exit status {status}: {said.getvalue()}"


def _line(origin: str) -> str:
    """A place without its column, which YAML's syntax does not tell of."""
    return origin.rpartition(":")[0]


@contextlib.contextmanager
def written(files: Iterable[tuple[str, str]], folder: Path) -> Iterator[None]:
    """Files in a folder, which is the current one."""
    before = os.getcwd()
    texts = {folder / name: text for name, text in files}
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        for path in texts:
            path.unlink()
