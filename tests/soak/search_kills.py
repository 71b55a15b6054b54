"""Kills of the process that supervises a search; the same command resumes at once."""

import functools
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from specflow.sweep.results.best_trial import best_trial, judge
from specflow.sweep.results.sweep_results import SweepResults, read_sweep
from specflow.sweep.trial_records import TRIALS
from tests.soak.cases import Case
from tests.soak.processes import Started, Workplace
from tests.soak.report import Tally

__all__ = ["problems_of_search", "search_cases"]

_TRIALS = 12
_WORDS = (
    "-m",
    "specflow",
    "train",
    "-m",
    "experiment=digits_mlp",
    "model.hidden=[16]",
    "optimizer.schedule.name=constant",
    "optimizer.schedule.warmup_steps=0",
    "mesh=single",
    "loop.train_steps=120",
    "loop.eval_every=30",
    "sweep=median",
    f"sweep.trials={_TRIALS}",
    "sweep.pruner.n_startup_trials=3",
    "sweep.sampler.n_startup_trials=4",
    "optimizer.lr=tag(log,interval(1e-4,1e-1))",
    "model.dropout=interval(0,0.5)",
)
"""A search that prunes; one worker, so that the order of the trials is always one."""


def search_cases(*, kills: int, seed: int) -> Iterator[Case]:
    """Kills a search again and again, and compares it with one that was not."""
    attempt = functools.partial(
        _kill_and_resume, kills, random.Random(f"{seed} search")
    )
    yield Case("search", "pruned", f"kills 1 to {kills}", seed, attempt)


def problems_of_search(folder: Path, whole: SweepResults) -> list[str]:
    """Returns what differs from a search that was not interrupted.

    Args:
        folder: of the search that was.
        whole: the other one.
    """
    found, problems = read_sweep(folder), []
    numbers = [trial.number for trial in found.trials]
    if numbers != [trial.number for trial in whole.trials]:
        problems.append(f"trials {numbers}")
    for trial, other in zip(found.trials, whole.trials, strict=False):
        for name in ("status", "overrides", "metrics", "step"):
            is_, was = getattr(trial, name), getattr(other, name)
            if is_ != was:
                problems.append(f"trial {trial.number}: {name} {is_}, not {was}")
    lines = (folder / TRIALS).read_text().splitlines()
    ends = Counter(
        record["number"]
        for record in map(json.loads, lines)
        if record["status"] != "running"
    )
    problems += [
        f"trial {n} ended {count} times" for n, count in ends.items() if count > 1
    ]
    best, expected = (best_trial(one, judge(one)).number for one in (found, whole))
    if best != expected:
        problems.append(f"the best is trial {best}, not {expected}")
    return problems


def _kill_and_resume(
    kills: int, rng: random.Random, workplace: Workplace, tally: Tally
) -> None:
    whole = workplace.folder / "whole"
    ended = workplace.run([*_WORDS, f"output.dir={whole}"])
    if ended.status:
        raise RuntimeError(ended.err)
    reference, done, number = read_sweep(whole), 0, 0
    while done < kills:
        folder = workplace.folder / f"search-{number}"
        program, killed = [*_WORDS, f"output.dir={folder}"], 0
        while done + killed < kills:
            started = workplace.start(program)
            if not _killed_after(started, rng.uniform(0, 0.5) * ended.seconds):
                break  # It came to its end first.
            killed += 1
        # Workers of killed processes may still be there, as for a user who hurries.
        final = workplace.run(program)
        problems = [f"ended with {final.status}: {final.err}"] if final.status else []
        problems = problems or problems_of_search(folder, reference)
        for _ in range(killed):
            tally.judge([f"{folder}: {problem}" for problem in problems])
        done, number = done + killed, number + 1


def _killed_after(started: Started, seconds: float) -> bool:
    """Kills the supervisor alone, and waits for nothing of its; returns if it did."""
    process, until = started.process, time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        time.sleep(0.005)
    if process.poll() is not None:
        return False
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return True
