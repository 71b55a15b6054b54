"""A pool without processes, and plans of searches over two numbers."""

import collections
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from specflow.config.sections.sweep import ObjectiveConfig, SweepConfig
from specflow.sweep.pool.trial import Trial, TrialOutcome, TrialReport, TrialStatus
from specflow.sweep.search.search_loop import Search, SearchedTrial
from specflow.sweep.search.search_plan import SearchPlan
from specflow.sweep.search.search_space import Dimension

X = Dimension(key="x", kind="float", text="interval(-1,1)", low=-1.0, high=1.0)
K = Dimension(key="k", kind="choice", text="a,b", choices=("a", "b"), texts=("a", "b"))


def plan(*dimensions: Dimension, **sweep: Any) -> SearchPlan:
    section = SweepConfig(**{"sampler": {"name": "random"}, "trials": 8, **sweep})
    return SearchPlan(
        sweep=section,
        objectives=tuple(section.objectives) or (ObjectiveConfig(),),
        dimensions=dimensions or (X, K),
        lines=("experiment=sample",),
        name="sample",
        seed=0,
        trials=section.trials,
        train_steps=3,
        every=1,
    )


def value_of(overrides: Iterable[str]) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in overrides)


def loss(trial: Trial, step: int = 3) -> dict[str, float]:
    """A loss that falls with each step, to the square of x."""
    x = float(value_of(trial.overrides).get("x", 0))
    return {"loss": x * x + (3 - step), "x": x}


class FakePool:
    """Runs trials at once, in this process; of each, evaluations at some steps."""

    def __init__(
        self,
        on_start: Callable[[Trial], None],
        on_reports: Callable[[list[TrialReport]], Any],
        metrics: Callable[[Trial, int], dict[str, float]] = loss,
        slots: int = 1,
        steps: Sequence[int] = (1, 2, 3),
    ):
        self.slots, self.metrics, self.steps = slots, metrics, steps
        self.on_start, self.on_reports = on_start, on_reports
        self.queue: collections.deque[Trial] = collections.deque()
        self.most = 0
        self.ran: list[Trial] = []

    def __enter__(self) -> "FakePool":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, trial: Trial) -> None:
        self.queue.append(trial)
        self.most = max(self.most, len(self.queue))

    def next_outcome(self) -> TrialOutcome:
        trial = self.queue.popleft()
        self.ran.append(trial)
        self.on_start(trial)
        number, step = trial.number, 0
        try:
            for step in self.steps:
                metrics = self.metrics(trial, step)
                report = TrialReport(number=number, step=step, metrics=metrics)
                if number in self.on_reports([report]) and step < 3:
                    result = {"step": step, "eval": metrics, "pruned": True}
                    return self.ended(trial, TrialStatus.PRUNED, result)
        except ArithmeticError as error:
            return TrialOutcome(
                number=number,
                status=TrialStatus.FAILED,
                error=str(error),
                failure="bug",
            )
        return self.ended(trial, TrialStatus.COMPLETE, {"step": 3, "eval": metrics})

    def ended(self, trial: Trial, status: TrialStatus, result: Any) -> TrialOutcome:
        folder = Path(trial.directory)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").write_text(json.dumps(result))
        result = {**result, "directory": trial.directory}
        return TrialOutcome(number=trial.number, status=status, result=result)


class NoWatcher:
    """Shows nothing."""

    def start(self, number: int, settings: Any) -> None: ...
    def report(self, report: TrialReport) -> None: ...
    def end(self, outcome: TrialOutcome) -> None: ...


def run(
    of: SearchPlan, directory: Path, **pool: Any
) -> tuple[list[SearchedTrial], FakePool]:
    """Runs a search; returns its trials and the pool that ran them."""
    made = []

    def make(*callbacks: Any) -> FakePool:
        made.append(FakePool(*callbacks, **pool))
        return made[0]

    loop = Search(of, directory, lambda lines, where: lines, NoWatcher())
    return loop.run(make), made[0]
