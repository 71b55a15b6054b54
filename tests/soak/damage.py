"""Every file of every kind of checkpoint flipped, cut and removed."""

import contextlib
import functools
import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from specflow.diagnostics.errors import CheckpointError
from specflow.output import Checkpointer
from tests.soak.cases import Case
from tests.soak.kills import final_problems
from tests.soak.processes import TIMEOUT_S, Ended, Workplace
from tests.soak.report import Tally
from tests.soak.runs import KINDS, Reference, files_of

__all__ = ["Copy", "damage_cases", "faults", "judge"]

_PROCESSES = ("flip middle", "half", "removed")
"""Faults that real processes of `evaluate` and `train` meet as well."""


class Copy:
    """A directory of two checkpoints, one to damage and the one before it.

    Args:
        folder: of the copy.
        source: a directory of checkpoints.
        steps: the two to copy, the good one and the one to damage.
    """

    def __init__(self, folder: Path, source: Path, steps: tuple[int, int]):
        self.folder, self.good, self.damaged = folder, *steps
        shutil.rmtree(folder, ignore_errors=True)
        for step in steps:
            shutil.copytree(source / str(step), folder / str(step))
        with Checkpointer(folder) as checkpointer:
            self.expected = {step: checkpointer.arrays(step) for step in steps}
            self.positions = {step: checkpointer.data_position(step) for step in steps}
            saved = checkpointer.saved(self.damaged)
        self.abstract: dict[str, Any] = {}
        for name, array in saved.items():
            part, _, rest = name.partition("/")
            leaf = jax.ShapeDtypeStruct(array.shape, array.dtype)
            if rest:
                self.abstract.setdefault(part, {})[rest] = leaf
            else:
                self.abstract[part] = leaf

    def differences(self, step: int, state: dict[str, Any]) -> list[str]:
        """Names of restored arrays that do not have the values that were saved."""
        flat = {}
        for part, value in state.items():
            parts = value if isinstance(value, dict) else {"": value}
            flat |= {f"{part}/{name}" if name else part: a for name, a in parts.items()}
        expected = self.expected[step]
        return [
            name
            for name in sorted(flat.keys() | expected.keys())
            if name not in flat
            or name not in expected
            or np.asarray(flat[name]).tobytes() != expected[name].tobytes()
        ]


def faults(
    path: Path, rng: random.Random, flips: int
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name and action of each fault of a file; `flips` bytes are chosen at random."""
    size = path.stat().st_size
    places = {"start": 0, "middle": size // 2, "end": size - 1}
    for number in range(flips):
        places[f"byte {number}"] = rng.randrange(max(1, size))
    for name, place in places.items() if size else ():
        bit = 1 << rng.randrange(8)
        yield f"flip {name}", lambda place=place, bit=bit: _flip(path, place, bit)
    for name, left in (("half", size // 2), ("empty", 0), ("short", max(0, size - 1))):
        yield name, lambda left=left: os.truncate(path, left)
    yield "longer", lambda: path.write_bytes(path.read_bytes() + b"\0")
    yield "removed", path.unlink


def judge(copy: Copy) -> tuple[str, str]:
    """Restores from a directory with a damaged checkpoint.

    Returns:
        (kind of failure, or nothing, what happened).
    """
    notes: list[str] = []
    try:
        with (
            _alarm(TIMEOUT_S),
            Checkpointer(copy.folder, on_warning=notes.append) as checkpointer,
        ):
            restored = checkpointer.restore(copy.abstract)
    except _HangError:
        return "hung", f"did not end in {TIMEOUT_S:.0f} s"
    except CheckpointError as error:
        return "lost", f"did not fall back: {error}"
    except Exception as error:
        return "lost", f"ended in {type(error).__name__}: {error}"
    if wrong := copy.differences(restored.step, restored.state):
        return "silent", f"restored wrong values of {wrong[:3]}"
    if restored.data != copy.positions[restored.step]:
        return "silent", f"restored another position in the data: {restored.data}"
    if restored.step == copy.good:
        if len(notes) == 1 and f"step {copy.damaged} is damaged" in notes[0]:
            return "", notes[0]
        return "silent", f"fell back with the notes {notes}"
    # What was damaged has no meaning for the values: they are the right ones.
    return "", "restored the right values"


def damage_cases(
    reference: Reference, *, seed: int, flips: int = 200, commands: int = 3
) -> Iterator[Case]:
    """Damages every file of the last checkpoint of a reference, in every way.

    Each is restored within this process, and some by processes of `evaluate` and, as
    though the run had been killed at its end, of `train`.

    Args:
        flips: number of random bytes that are flipped, beside the usual ones.
        commands: number of faults that each of the commands meets, at most 3.
    """
    name = reference.experiment.name
    attempts = {
        f"{kind}, {flips} flips": functools.partial(_damage, reference, kind, flips)
        for kind in KINDS
        if (reference.directory / kind).is_dir()
    }
    for fault in random.Random(f"{seed} damage {name}").sample(_PROCESSES, commands):
        attempts[f"train, {fault}"] = functools.partial(_train, reference, fault)
        if reference.experiment.script is None:
            evaluate = functools.partial(_evaluate, reference, fault)
            attempts[f"evaluate, {fault}"] = evaluate
    for case, attempt in attempts.items():
        rng = random.Random(f"{seed} damage {name} {case}")
        yield Case("damage", name, case, seed, functools.partial(attempt, rng))


def _damage(
    reference: Reference,
    kind: str,
    flips: int,
    rng: random.Random,
    workplace: Workplace,
    tally: Tally,
) -> None:
    """Damages a copy of the last checkpoint, file by file."""
    steps = sorted(reference.steps)[-2:]
    folder = workplace.folder / kind
    copy = Copy(folder, reference.directory / kind, (steps[0], steps[1]))
    for path in files_of(folder / str(copy.damaged)):
        content = path.read_bytes()
        shown = path.relative_to(folder)
        for fault, act in list(faults(path, rng, flips)):
            act()
            outcome, what = judge(copy)
            tally.judge([f"{shown}, {fault}: {what}"] if outcome else [], outcome)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    if (what := judge(copy)) != ("", "restored the right values"):
        raise RuntimeError(f"the files were not put back: {what}")


def _damaged_run(
    reference: Reference, fault: str, rng: random.Random, workplace: Workplace
) -> Path:
    """A copy of the reference, the largest file of its last checkpoint damaged."""
    run = workplace.folder / "run"
    shutil.copytree(reference.directory, run)
    files = files_of(run / "checkpoints" / str(reference.last))
    path = max(files, key=lambda path: path.stat().st_size)
    dict(faults(path, rng, 0))[fault]()
    return run


def _evaluate(
    reference: Reference,
    fault: str,
    rng: random.Random,
    workplace: Workplace,
    tally: Tally,
) -> None:
    """Evaluates a run with a damaged checkpoint: the step before, and a warning."""
    run = _damaged_run(reference, fault, rng, workplace)
    ended = workplace.run(reference.experiment.evaluation(run))
    if ended.hung:
        tally.add("hung", f"hung: {ended.err}")
        return
    warned = ended.err.count(f"step {reference.last} is damaged")
    # Damage of the optimizer's state does not concern an evaluation.
    is_right = _metrics(ended) == _without_step(reference.result["eval"])
    shown = f"{ended.status}, {ended.out}, {ended.err}"
    if ended.status or "Traceback" in ended.err:
        tally.add("lost", shown)
    else:
        tally.judge([shown] if warned + is_right != 1 else [], "silent")


def _train(
    reference: Reference,
    fault: str,
    rng: random.Random,
    workplace: Workplace,
    tally: Tally,
) -> None:
    """Resumes a run whose last checkpoint is damaged: a warning, and the same end."""
    run = _damaged_run(reference, fault, rng, workplace)
    (run / "result.json").unlink(missing_ok=True)
    final = workplace.run(reference.experiment.program(run))
    outcome, problems = final_problems(reference, run, final)
    if final.err.count(f"step {reference.last} is damaged") != 1:
        outcome, problems = "silent", [*problems, f"no warning: {final.err}"]
    tally.judge(problems, outcome)


class _HangError(Exception):
    """A call has taken too long."""


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raises an error in the block, which must be the main thread's, after a time."""

    def stop(number: int, frame: Any) -> None:
        raise _HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _metrics(ended: Ended) -> Any:
    """Metrics that `evaluate --format=json` has printed; None if there are none."""
    try:
        return _without_step(json.loads(ended.out)["metrics"])
    except (ValueError, KeyError):
        return None


def _without_step(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name != "global_step"}


def _flip(path: Path, place: int, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= bit
    path.write_bytes(content)
