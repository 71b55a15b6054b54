"""Kills at random moments and at random file operations, each resumed until the end."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.soak.processes import Ended, Workplace
from tests.soak.report import Tally
from tests.soak.runs import Reference, problems_of_checkpoints, steps_lost

__all__ = ["kill_campaign"]

_MOST_OPERATIONS = 160
"""File operations of a run, roughly; a kill beyond the last one does not happen."""
_KILLS_PER_RUN = 6


def kill_campaign(
    reference: Reference, workplace: Workplace, *, kills: int, seed: int
) -> Tally:
    """Kills an experiment again and again, and compares what it becomes.

    Half of the kills come at a moment that is uniform over the time of a run: imports,
    compilation, training, saves, evaluations, exports and the end. The others come just
    before a file operation in the run directory: those are where a crash is seen.
    """
    experiment = reference.experiment
    rng = random.Random(f"{seed} kill {experiment.name}")
    tally = Tally("kill", experiment.name)
    for directory in _directories(workplace.folder, experiment.name):
        left = min(_KILLS_PER_RUN, kills - tally.tried)
        if left <= 0:
            return tally
        while left > 0:
            ended = _run_and_kill(reference, workplace, directory, rng)
            if ended is None:
                break  # The run came to its end first.
            left -= 1
            lost, problems = steps_lost(directory, ended)
            tally.steps_lost = max(tally.steps_lost, lost)
            problems += problems_of_checkpoints(directory, reference)
            tally.exit_s += [] if ended.exit_s is None else [ended.exit_s]
            if ended.hung:
                tally.survive(f"{directory}: hung: {ended.err}", kind="hung")
            else:
                tally.survive(*problems)
        final = workplace.run(experiment.program(directory))
        problems = final_problems(reference, directory, final)
        if problems:  # All kills of this run are to blame.
            tally.lost += 1
            tally.notes += [f"kill, {experiment.name}: {p}" for p in problems]
        else:
            shutil.rmtree(directory)
    return tally


def final_problems(reference: Reference, directory: Path, final: Ended) -> list[str]:
    """Problems of a run whose last process was not disturbed."""
    if final.hung:
        return [f"{directory}: the same command hung: {final.err}"]
    if final.status:
        return [f"{directory}: the same command ended with {final.status}: {final.err}"]
    return reference.problems(directory)


def _run_and_kill(
    reference: Reference, workplace: Workplace, directory: Path, rng: random.Random
) -> Ended | None:
    """Runs the command and kills it; None if it came to its end before that."""
    experiment = reference.experiment
    program = experiment.program(directory)
    at_operation, moment = rng.random() < 0.5, rng.random()
    victim, operation = rng.randrange(60), rng.randrange(1, _MOST_OPERATIONS)
    if at_operation:
        hooks = {
            "SOAK_OPERATION": str(operation),
            "SOAK_BELOW": str(directory),
            "SOAK_SIGNALS": "9",
        }
        if experiment.processes > 1:
            hooks["SOAK_INDEX"] = str(victim % experiment.processes)
            hooks["SOAK_TARGET"] = ("self", "parent")[victim % 3 == 0]
        ended = workplace.run(program, **hooks)
        return ended if ended.exit_s is not None or ended.hung else None
    started = workplace.start(program)
    killed = started.kill_after(moment * reference.seconds, victim)
    if killed is None:
        started.wait()
    return killed


def _directories(folder: Path, name: str) -> Iterator[Path]:
    number = 0
    while True:
        yield folder / f"{name}-kill-{number}"
        number += 1
