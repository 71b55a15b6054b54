"""What a search adds to Optuna's own loop: 1,000 trials of a trivial objective.

Both in one process, in turn, with the same sampler and the same storages. Ours records
each trial in `trials.jsonl` too, and holds a lock while it asks.
"""

import collections
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna

from specflow.sweep.pool.trial import Trial, TrialOutcome, TrialStatus
from specflow.sweep.search.samplers import sampler_of
from specflow.sweep.search.search_loop import Search
from specflow.sweep.search.search_plan import SearchPlan
from specflow.sweep.search.study_storage import connected
from tests.benchmarks.report import Row
from tests.sweep.search_samples import NoWatcher, X, plan, value_of

__all__ = ["search_overhead"]


def search_overhead(trials: int = 1000) -> list[Row]:
    """Seconds of searches by the random sampler, whose own work is the least."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows = []
    for storage in ("sqlite", "journal"):
        of = plan(X, trials=trials, storage=storage, sampler={"name": "random"})
        (wall, cpu), (ours_wall, ours_cpu) = _by_optuna(of), _by_specflow(of)
        name, what = f"search of {trials:,} trials, {storage}", "study.optimize"
        rows.append(Row(name, "s", ours_wall, wall, what, 1.5))
        rows.append(Row(name, "s CPU", ours_cpu, cpu, what))
    return rows


def _by_specflow(of: SearchPlan) -> tuple[float, float]:
    """Wall and CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter(), time.process_time()
        loop = Search(of, Path(folder), lambda lines, _: lines, NoWatcher())
        found = loop.run(lambda start, _: _AtOnce(start))
        cost = time.perf_counter() - began[0], time.process_time() - began[1]
    assert len(found) == of.trials
    return cost


def _by_optuna(of: SearchPlan) -> tuple[float, float]:
    """Wall and CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter(), time.process_time()
        study = optuna.create_study(
            storage=connected(of.sweep.storage, Path(folder)),
            sampler=sampler_of(of.sweep, of.dimensions),
        )
        study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, of.trials)
        cost = time.perf_counter() - began[0], time.process_time() - began[1]
        assert len(study.trials) == of.trials
    return cost


class _AtOnce:
    """A pool whose trials have ended when they are submitted."""

    slots = 1

    def __init__(self, on_start: Any):
        self._on_start = on_start
        self._ended: collections.deque[TrialOutcome] = collections.deque()

    def __enter__(self) -> "_AtOnce":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, trial: Trial) -> None:
        self._on_start(trial)
        loss = float(value_of(trial.overrides)["x"]) ** 2
        result = {"step": 1, "eval": {"loss": loss}, "directory": trial.directory}
        status = TrialStatus.COMPLETE
        ended = TrialOutcome(number=trial.number, status=status, result=result)
        self._ended.append(ended)

    def next_outcome(self) -> TrialOutcome:
        return self._ended.popleft()
