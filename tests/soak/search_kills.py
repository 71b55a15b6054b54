"""Kills of the process that supervises a search, and of the server that stores it."""

import functools
import json
import os
import random
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from specflow.compose.read.override_grammar import format_value
from specflow.sweep.results.best_trial import best_trial, judge
from specflow.sweep.results.sweep_results import SweepResults, read_sweep
from specflow.sweep.trial_records import TRIALS
from tests.soak.cases import Case
from tests.soak.postgres_server import PostgresServer
from tests.soak.processes import Ended, Started, Workplace
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
    """Kills a search again and again, and compares it with one that was not.

    Beside a server of `.ci/postgres`, the same is done to a search in its database, and
    the server is killed during another.
    """
    url = os.environ.get("SPECFLOW_TEST_POSTGRES", "")
    names = f"kills 1 to {kills}"

    def attempt(storage: str) -> Callable[[Workplace, Tally], None]:
        rng = random.Random(f"{seed} search")
        return functools.partial(_kill_and_resume, kills, rng, storage)

    yield Case("search", "sqlite", names, seed, attempt("sqlite"))
    if url:
        yield Case("search", "postgresql", names, seed, attempt(url))
        rng = random.Random(f"{seed} server")
        server = PostgresServer(url)
        of_server = functools.partial(_kill_server, kills, rng, server)
        yield Case("search", "server killed", names, seed, of_server)


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


def _program(folder: Path, storage: str) -> list[str]:
    # A database has the studies of all searches.
    study = [] if "://" not in storage else [f"sweep.study={uuid.uuid4().hex}"]
    own = [f"output.dir={folder}", f"sweep.storage={format_value(storage)}"]
    return [*_WORDS, *own, *study]


def _whole(workplace: Workplace, storage: str) -> tuple[SweepResults, float]:
    """Results of a search that is not interrupted, and its seconds."""
    whole = workplace.folder / "whole"
    ended = workplace.run(_program(whole, storage))
    if ended.status:
        raise RuntimeError(ended.err)
    return read_sweep(whole), ended.seconds


def _kill_and_resume(
    kills: int, rng: random.Random, storage: str, workplace: Workplace, tally: Tally
) -> None:
    """Kills the supervisor at random moments; the same command resumes."""
    reference, seconds = _whole(workplace, storage)
    done = number = 0
    while done < kills:
        folder = workplace.folder / f"search-{number}"
        program, killed = _program(folder, storage), 0
        while done + killed < kills:
            started = workplace.start(program)
            if not _killed_after(started, rng.uniform(0, 0.5) * seconds):
                break  # It came to its end first.
            killed += 1
        # Workers of killed processes may still be there, as for a user who hurries.
        final = workplace.run(program)
        _judge(final, folder, reference, killed, tally)
        done, number = done + killed, number + 1


def _kill_server(
    kills: int,
    rng: random.Random,
    server: PostgresServer,
    workplace: Workplace,
    tally: Tally,
) -> None:
    """Kills the server at random moments; the search waits until it is back."""
    reference, seconds = _whole(workplace, server.url)
    done = number = 0
    while done < kills:
        folder, killed = workplace.folder / f"search-{number}", 0
        started = workplace.start(_program(folder, server.url))
        while done + killed < kills:
            # Not before it has its study: a search that cannot begin says so.
            begun = (folder / TRIALS).exists()
            if _has_ended_within(started, rng.uniform(0, 0.3) * seconds):
                break
            if begun:
                server.kill()
                time.sleep(rng.uniform(0, 2))
                server.start()
                killed += 1
        _judge(started.wait(), folder, reference, killed, tally)
        done, number = done + killed, number + 1


def _judge(
    final: Ended, folder: Path, reference: SweepResults, killed: int, tally: Tally
) -> None:
    problems = [f"ended with {final.status}: {final.err}"] if final.status else []
    problems = problems or problems_of_search(folder, reference)
    for _ in range(killed):
        tally.judge([f"{folder}: {problem}" for problem in problems])


def _has_ended_within(started: Started, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until and started.process.poll() is None:
        time.sleep(0.005)
    return started.process.poll() is not None


def _killed_after(started: Started, seconds: float) -> bool:
    """Kills the supervisor alone, and waits for nothing of its; returns if it did."""
    if _has_ended_within(started, seconds):
        return False
    os.kill(started.process.pid, signal.SIGKILL)
    started.process.wait()
    return True
