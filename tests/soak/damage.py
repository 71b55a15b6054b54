"""Every file of every kind of checkpoint flipped, cut and removed."""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from specflow.diagnostics.errors import CheckpointError
from specflow.output import Checkpointer
from tests.soak.processes import Ended, Workplace
from tests.soak.report import Tally
from tests.soak.runs import Reference, files_of

__all__ = ["Copy", "damage_campaign", "faults", "judge"]

KINDS = ("checkpoints", "params")
"""Folders of a run with checkpoints: of the whole state, of the parameters alone."""
_PROCESSES = ("flip middle", "half", "removed")
"""Faults that a real process of `evaluate` meets as well."""


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
        with Checkpointer(copy.folder, on_warning=notes.append) as checkpointer:
            restored = checkpointer.restore(copy.abstract)
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


def damage_campaign(
    reference: Reference, workplace: Workplace, *, seed: int, flips: int = 200
) -> Tally:
    """Damages every file of the last checkpoint of a reference, in every way.

    Each is restored within this process, and some by a process of `evaluate`.
    """
    name = reference.experiment.name
    rng = random.Random(f"{seed} damage {name}")
    tally = Tally("damage", name)
    for kind in KINDS:
        if (source := reference.directory / kind).is_dir():
            folder = workplace.folder / f"{name}-damaged-{kind}"
            _damage(reference, folder, source, tally, rng, flips)
    if reference.experiment.script is None:
        _evaluate(reference, workplace, tally, rng)
    return tally


def _damage(
    reference: Reference,
    folder: Path,
    source: Path,
    tally: Tally,
    rng: random.Random,
    flips: int,
) -> None:
    """Damages a copy of the last checkpoint, file by file."""
    steps = sorted(reference.steps)[-2:]
    copy = Copy(folder, source, (steps[0], steps[1]))
    for path in files_of(folder / str(copy.damaged)):
        content = path.read_bytes()
        shown = source.name / path.relative_to(folder)
        for fault, act in list(faults(path, rng, flips)):
            act()
            kind, what = judge(copy)
            problem = [f"{shown}, {fault}: {what}"] if kind else []
            tally.survive(*problem, kind=kind or "lost")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    if (what := judge(copy)) != ("", "restored the right values"):
        raise RuntimeError(f"the files were not put back: {what}")
    shutil.rmtree(folder)


def _evaluate(
    reference: Reference, workplace: Workplace, tally: Tally, rng: random.Random
) -> None:
    """Evaluates a run with a damaged checkpoint: the step before, and a warning."""
    name = reference.experiment.name
    run = workplace.folder / f"{name}-damaged-run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(reference.directory, run)
    last = run / "checkpoints" / str(reference.last)
    path = max(files_of(last), key=lambda path: path.stat().st_size)
    content = path.read_bytes()
    for fault, act in list(faults(path, rng, 0)):
        if fault not in _PROCESSES:
            continue
        act()
        ended = workplace.run(reference.experiment.evaluation(run))
        warned = ended.err.count(f"step {reference.last} is damaged")
        problems = []
        # Damage of the optimizer's state does not concern an evaluation.
        is_right = _metrics(ended) == _without_step(reference.result["eval"])
        if ended.status or warned + is_right != 1 or "Traceback" in ended.err:
            problems = [f"evaluate, {fault}: {ended.status}, {ended.out}, {ended.err}"]
        if ended.hung:
            tally.survive(f"evaluate, {fault}: hung", kind="hung")
        else:
            tally.survive(*problems)
        path.write_bytes(content)
    shutil.rmtree(run)


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
