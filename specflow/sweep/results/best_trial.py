"""The best trial of a sweep, and the Pareto front of several objectives."""

from collections.abc import Sequence
from pathlib import Path

from specflow.config.sections.sweep import ObjectiveConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest
from specflow.sweep.pareto_front import undominated
from specflow.sweep.results.run_files import read_json
from specflow.sweep.results.sweep_results import SweepResults
from specflow.sweep.results.trial_result import TrialResult, scalars

__all__ = ["best_run", "best_trial", "judge", "pareto_front", "ranked_trials"]


def judge(
    results: SweepResults, metric: str | None = None, direction: str | None = None
) -> ObjectiveConfig:
    """Returns the metric that decides which trial is best.

    Args:
        results: of the sweep.
        metric: its name; None: the objective of the sweep.
        direction: `minimize` or `maximize`; None: as in the sweep.

    Raises:
        ConfigError: the metric is unknown or has no direction, or the sweep has several
            objectives.
    """
    known = {one.metric: one for one in results.objectives}
    if metric is None and len(known) > 1:
        problem = f"the sweep has {len(known)} objectives"
        raise _refused("--metric", problem, f"one of {', '.join(known)}")
    if metric is None:
        metric = next(iter(known))
    elif metric not in results.metrics and results.metrics:
        near = did_you_mean(nearest(metric, results.metrics))
        expected = f"one of {', '.join(results.metrics)}"
        raise _refused("--metric", f"no trial has {metric}", expected, near)
    if direction is None and metric in known:
        direction = known[metric].direction
    if direction is None and metric.rpartition(".")[2] != "loss":
        problem = f"is missing: the sweep does not optimize {metric}"
        raise _refused("--direction", problem, "minimize or maximize")
    chosen = "maximize" if direction == "maximize" else "minimize"
    return ObjectiveConfig(metric=metric, direction=chosen)


def ranked_trials(
    trials: Sequence[TrialResult], objective: ObjectiveConfig
) -> list[TrialResult]:
    """Returns the trials, best first; the ones that cannot be the best come last.

    Args:
        trials: of a sweep.
        objective: metric and direction.
    """
    order = ("complete", "infeasible", "pruned", "running", "stopped", "failed")
    sign = -1 if objective.direction == "maximize" else 1

    def key(trial: TrialResult) -> tuple[int, bool, float, int]:
        value = trial.value(objective.metric)
        number = 0.0 if value is None else sign * value
        return order.index(trial.status), value is None, number, trial.number

    return sorted(trials, key=key)


def best_trial(results: SweepResults, objective: ObjectiveConfig) -> TrialResult:
    """Returns the best of the trials that are complete and feasible.

    Raises:
        ConfigError: there is none.
    """
    complete = results.with_status("complete")
    ranked = ranked_trials(complete, objective)
    if not ranked or ranked[0].value(objective.metric) is None:
        others = dict.fromkeys(trial.status for trial in results.trials)
        counts = [f"{len(results.with_status(one))} {one}" for one in others]
        about = f": {', '.join(counts)}" if counts else ""
        raise ConfigError(
            Diagnostic(
                "sweep",
                f"no trial in '{results.directory}' is complete with {objective.metric}"
                f"{about}",
                hint=f"specflow sweep show {results.directory} lists the reasons.",
                origin="command line",
                code="sweep-no-best",
            )
        )
    return ranked[0]


def best_run(trial: TrialResult, objective: ObjectiveConfig) -> Path:
    """Returns the run directory of a trial: of its repeats, the best one."""

    def value(run: Path) -> float:
        metrics = read_json(run / "result.json").get("eval")
        number = scalars(metrics).get(objective.metric, float("inf"))
        return -number if objective.direction == "maximize" else number

    return min(trial.runs, key=value, default=trial.directory)


def pareto_front(
    trials: Sequence[TrialResult], objectives: Sequence[ObjectiveConfig]
) -> set[int]:
    """Returns the numbers of the complete trials that no other one dominates.

    Args:
        trials: of a sweep.
        objectives: metrics and directions.
    """
    values = {
        trial.number: [trial.value(one.metric) for one in objectives]
        for trial in trials
        if trial.status == "complete"
    }
    known = {
        number: [value for value in own if value is not None]
        for number, own in values.items()
        if None not in own
    }
    return undominated(known, objectives)


def _refused(where: str, problem: str, expected: str, hint: str = "") -> ConfigError:
    return ConfigError(
        Diagnostic(where, problem, expected, hint, "command line", "usage")
    )
