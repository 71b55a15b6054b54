"""Kills at random moments and at random file operations, each resumed until the end."""

import functools
import random
from collections.abc import Iterator
from pathlib import Path

from tests.soak.cases import Case
from tests.soak.processes import Ended, Workplace
from tests.soak.report import Tally
from tests.soak.runs import (
    Reference,
    newest_step,
    problems_of_checkpoints,
    steps_lost,
)

__all__ = ["conclude", "final_problems", "kill_cases"]

_OPERATIONS, _OPERATIONS_OF_OTHERS = 110, 20
"""File operations of a run, roughly: of process 0, and of each of the others. A kill
beyond the last one does not happen."""
_KILLS_PER_RUN = 6


def kill_cases(reference: Reference, *, kills: int, seed: int) -> Iterator[Case]:
    """Kills an experiment again and again, and compares what it becomes.

    Half of the kills come at a moment that is uniform over the time of a run: imports,
    compilation, training, saves, evaluations, exports and the end. The others come just
    before a file operation in the run directory: those are where a crash is seen.
    """
    name = reference.experiment.name
    for first in range(0, kills, _KILLS_PER_RUN):
        last = min(first + _KILLS_PER_RUN, kills)
        rng = random.Random(f"{seed} kill {name} {first}")
        attempt = functools.partial(_kill_and_resume, reference, last - first, rng)
        yield Case("kill", name, f"kills {first + 1} to {last}", seed, attempt)


def final_problems(
    reference: Reference, directory: Path, final: Ended
) -> tuple[str, list[str]]:
    """Outcome and problems of a run whose last process was not disturbed."""
    if final.hung:
        return "hung", [f"{directory}: the same command hung: {final.err}"]
    if final.status:
        status = f"{directory}: the same command ended with {final.status}"
        return "lost", [f"{status}: {final.err}"]
    return "lost", reference.problems(directory)


def conclude(
    tally: Tally,
    outcomes: list[tuple[str, list[str]]],
    final: tuple[str, list[str]],
) -> None:
    """Counts the faults of a run, all of which are to blame for how it ends.

    Args:
        outcomes: outcome and problems right after each fault.
        final: the same of the end of the run.
    """
    outcome, problems = final
    if problems and all(earlier for _, earlier in outcomes):
        outcomes = [*outcomes, final]
    for kind, earlier in outcomes:
        if earlier:
            tally.add(kind, *earlier)
        else:
            tally.judge(problems, outcome)


def _kill_and_resume(
    reference: Reference,
    kills: int,
    rng: random.Random,
    workplace: Workplace,
    tally: Tally,
) -> None:
    experiment, number = reference.experiment, 0
    while tally.tried < kills:
        directory = workplace.folder / f"run-{number}"
        left, number = kills - tally.tried, number + 1
        outcomes: list[tuple[str, list[str]]] = []
        while len(outcomes) < left:
            ended = _run_and_kill(reference, workplace, directory, rng)
            if ended.hung:
                outcomes.append(("hung", [f"{directory}: hung: {ended.err}"]))
                continue
            if ended.exit_s is None:
                if ended.status:
                    what = f"{directory}: ended with {ended.status}, without a kill"
                    outcomes.append(("lost", [f"{what}: {ended.err}"]))
                break  # The run came to its end first.
            tally.exit_s.append(ended.exit_s)
            lost, problems = steps_lost(directory, ended)
            tally.steps_lost = max(tally.steps_lost, lost)
            problems += problems_of_checkpoints(directory, reference)
            outcomes.append(("lost", problems))
        final = workplace.run(experiment.program(directory))
        conclude(tally, outcomes, final_problems(reference, directory, final))


def _run_and_kill(
    reference: Reference, workplace: Workplace, directory: Path, rng: random.Random
) -> Ended:
    """Runs the command and kills it; without `exit_s` if it ended before that."""
    experiment = reference.experiment
    program = experiment.program(directory)
    at_operation, moment = rng.random() < 0.5, rng.random()
    victim, operation_share = rng.randrange(60), rng.random()
    if at_operation:
        index = victim % experiment.processes
        most = _OPERATIONS_OF_OTHERS if index else _OPERATIONS
        left = 1 - newest_step(directory) / reference.last
        hooks = {
            "SOAK_OPERATION": str(1 + int(operation_share * most * left)),
            "SOAK_BELOW": str(directory),
            "SOAK_SIGNALS": "9",
        }
        if experiment.processes > 1:
            hooks["SOAK_INDEX"] = str(index)
            hooks["SOAK_TARGET"] = ("self", "parent")[victim % 3 == 0]
        return workplace.run(program, **hooks)
    return workplace.start(program).kill_after(moment * reference.seconds, victim)
