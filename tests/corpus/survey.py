"""Survey of planted mistakes: found, placed, fixed and tracebacks, by kind.

The mistakes are edits of valid trees of config files, alone and up to five at once.
Two halves of the kinds are reported apart: edits of any tree (`structure`), and habits
of users (`habits`), which were collected without reading what specflow checks.
"""

import contextlib
import dataclasses
import io
import multiprocessing
import os
import random
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from specflow.compose import compose
from specflow.diagnostics.errors import ConfigError, Diagnostic
from tests.corpus import fixing
from tests.corpus.habits import in_files
from tests.corpus.habits_line import on_the_line
from tests.corpus.judge import is_valid
from tests.corpus.sources import OWN, Mistake, Sources, apply, lines
from tests.corpus.structure import structural
from tests.corpus.trees import tree

__all__ = ["Outcome", "Plan", "survey", "table"]

_ROUNDS = 9
"""Reports that a user reads to undo one mistake of several lines."""
HALVES = ("structure", "habits")


@dataclasses.dataclass(frozen=True)
class Plan:
    """Numbers of mistakes to plant."""

    seed: int = 1
    trees: int = 20
    each: int = 1
    """Mistakes of a kind, alone, in a tree."""
    share: float = 1.0
    """Share of the kinds that are planted in a tree."""
    combined: int = 20
    """Reports of two to five mistakes, in a tree."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one mistake was answered with."""

    half: str
    kind: str
    together: int
    """Number of mistakes that were planted at once."""
    found: bool
    placed: bool
    meant: bool
    """True if a fix is expected."""
    fixed: bool
    crash: str
    shown: str
    """The mistake and its report, for a reader."""


def survey(plan: Plan, processes: int = 1) -> list[Outcome]:
    """Plants mistakes and observes the reports, in forked processes if any."""
    seeds = [plan.seed * 1000 + number for number in range(plan.trees)]
    compose(["experiment=digits"])  # Before the fork, so that it is read once.
    if not processes:
        return [outcome for seed in seeds for outcome in _of_tree(plan, seed)]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        found = pool.starmap(_of_tree, [(plan, seed) for seed in seeds], chunksize=1)
    return [outcome for some in found for outcome in some]


def _of_tree(plan: Plan, seed: int) -> list[Outcome]:
    rng = random.Random(seed)
    sources = tree(rng)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        folder = Path(name).resolve()
        if sound := _report(sources).crash_or_errors():
            raise RuntimeError(f"valid files are refused: {sources}\n{sound}")
        certain: list[tuple[str, Mistake]] = []
        for half, mistake in _chosen(rng, sources, plan):
            if not mistake.certain and _is_no_mistake(sources, mistake, folder):
                continue
            certain.append((half, mistake))
            outcomes += _observe(sources, [(half, mistake)])
        for _ in range(plan.combined):
            size = rng.randrange(2, 6)
            several: list[tuple[str, Mistake]] = []
            for half, mistake in rng.sample(certain, min(len(certain), 40)):
                if mistake.hides:
                    continue
                if len(several) < size and not any(
                    mistake.overlaps(other) for _, other in several
                ):
                    several.append((half, mistake))
            if len(several) > 1:
                outcomes += _observe(sources, several)
    return outcomes


def _chosen(
    rng: random.Random, sources: Sources, plan: Plan
) -> Iterator[tuple[str, Mistake]]:
    for half, some in (
        ("structure", structural(rng, sources)),
        ("habits", in_files(rng, sources)),
        ("habits", on_the_line(rng, sources)),
    ):
        by_kind: dict[str, list[Mistake]] = {}
        for mistake in some:
            by_kind.setdefault(mistake.kind, []).append(mistake)
        for _, of_kind in sorted(by_kind.items()):
            if rng.random() < plan.share:
                for mistake in rng.sample(of_kind, min(plan.each, len(of_kind))):
                    yield half, mistake


def _is_no_mistake(sources: Sources, mistake: Mistake, folder: Path) -> bool:
    wrong = apply(sources, [mistake])
    with _written(wrong):
        return is_valid(wrong, folder)


@dataclasses.dataclass(frozen=True)
class _Report:
    diagnostics: tuple[Diagnostic, ...] = ()
    crash: str = ""
    tree: object = None

    def crash_or_errors(self) -> str:
        return self.crash or "\n".join(map(str, self.diagnostics))


def _report(sources: Sources) -> _Report:
    with _written(sources), contextlib.redirect_stderr(io.StringIO()):
        try:
            composed = compose(sources.overrides, config_dirs=[OWN])
        except ConfigError as error:
            return _Report(error.diagnostics)
        except BaseException as error:
            return _Report(crash=f"{type(error).__name__}: {str(error)[:300]}")
    return _Report(tree=composed.tree)


@contextlib.contextmanager
def _written(sources: Sources) -> Iterator[None]:
    files = sources.files
    for name, text in files.items():
        os.makedirs(os.path.dirname(name), exist_ok=True)
        Path(name).write_text(text)
    yield
    for name in files:
        os.unlink(name)


def _observe(
    sources: Sources, planted: Sequence[tuple[str, Mistake]]
) -> Iterable[Outcome]:
    mistakes = [mistake for _, mistake in planted]
    wrong = apply(sources, mistakes)
    report = _report(wrong)
    for half, mistake in planted:
        wanted = lines(sources, mistake, mistakes)
        placed = [one for one in report.diagnostics if _line(one.origin) in wanted]
        named = [
            one
            for one in report.diagnostics
            if any(one.where == key for key in mistake.keys if key)
        ]
        found = [*placed, *(one for one in named if one not in placed)]
        others = apply(sources, [one for one in mistakes if one is not mistake])
        meant = mistake.fix
        fixed = meant and any(
            _fixes(wrong, one, others, alone=len(mistakes) == 1) for one in found
        )
        fixed = fixed or (meant and len(mistakes) == 1 and _all(wrong, found, others))
        yield Outcome(
            half,
            mistake.kind,
            len(mistakes),
            bool(found),
            bool(placed),
            meant,
            fixed,
            report.crash,
            f"{[change.text for change in mistake.changes]} at {sorted(wanted)}"
            + "".join(f"\n      {str(one)[:500]}" for one in report.diagnostics[:6])
            + (report.crash and f"\n      {report.crash}"),
        )


def _fixes(
    wrong: Sources, diagnostic: Diagnostic, others: Sources, *, alone: bool
) -> bool:
    """Returns whether a proposal undoes a mistake, and leaves the others."""
    fixed = _applied(wrong, diagnostic)
    if fixed is None:
        return False
    return fixing.are_equal(fixed, others) or (alone and _same_tree(fixed, others))


def _all(wrong: Sources, found: Sequence[Diagnostic], others: Sources) -> bool:
    """Returns whether all proposals of a report together undo a mistake."""
    for _ in range(_ROUNDS):
        for diagnostic in found:
            if (fixed := _applied(wrong, diagnostic)) is not None:
                break
        else:
            return False
        wrong, report = fixed, _report(fixed)
        if report.tree is not None:
            return fixing.are_equal(wrong, others) or _same_tree(wrong, others)
        found = report.diagnostics
    return False


def _same_tree(fixed: Sources, others: Sources) -> bool:
    after = _report(fixed)
    return after.tree is not None and after.tree == _report(others).tree


def _applied(wrong: Sources, diagnostic: Diagnostic) -> Sources | None:
    try:
        return fixing.applied(wrong, diagnostic)
    except (LookupError, TypeError, ValueError, AttributeError):
        return None  # What cannot be applied is no fix.


def _line(origin: str) -> str:
    """Returns a place without its column."""
    if origin.startswith("override ") or origin.count(":") < 2:
        return origin
    return origin.rpartition(":")[0]


def table(outcomes: Sequence[Outcome]) -> str:
    """Returns the shares by kind, by number of mistakes at once, and in all."""
    rows = [("", "count", "found", "placed", "fixed", "of", "tracebacks")]
    for half in HALVES:
        mine = [one for one in outcomes if one.half == half]
        for kind in sorted({one.kind for one in mine}):
            rows.append(_row(kind, [one for one in mine if one.kind == kind]))
        rows.append(_row(half.upper(), mine))
    for size in sorted({one.together for one in outcomes}):
        of_size = [one for one in outcomes if one.together == size]
        rows.append(_row(f"{size} AT ONCE", of_size))
    rows.append(_row("ALL", outcomes))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            text.rjust(width) if place else text.ljust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _row(name: str, some: Sequence[Outcome]) -> tuple[str, ...]:
    meant = [one for one in some if one.meant]
    return (
        name,
        str(len(some)),
        _share([one.found for one in some]),
        _share([one.placed for one in some]),
        _share([one.fixed for one in meant]),
        str(len(meant)),
        str(sum(bool(one.crash) for one in some)),
    )


def _share(values: Sequence[bool]) -> str:
    return f"{100 * sum(values) / len(values):.1f} %" if values else "-"
