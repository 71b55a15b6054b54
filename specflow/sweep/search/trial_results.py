"""Results of a trial's runs, and their mean and spread over seeds."""

import dataclasses
import json
import math
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from specflow.sweep.pool.trial import TrialOutcome, TrialStatus
from specflow.sweep.search.constraints import excess, finite
from specflow.sweep.search.search_plan import SearchPlan

__all__ = ["Evaluated", "evaluated", "joined", "result_of", "stored_result"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluated:
    """What a search learns from a trial that ran to its end.

    Args:
        values: of the objectives, in their order; empty if one is missing.
        exceeded: how far each bound of the constraints is exceeded; <= 0 is feasible.
        problem: why there are no values.
    """

    values: tuple[float, ...] = ()
    exceeded: tuple[float, ...] = ()
    problem: str = ""


def evaluated(plan: SearchPlan, result: Mapping[str, Any]) -> Evaluated:
    """Returns the objectives and constraints of a result.

    Args:
        plan: of the search.
        result: as in `result.json`.
    """
    metrics = result.get("eval", {})
    values = []
    for objective in plan.objectives:
        value = finite(metrics.get(objective.metric))
        if value is None:
            written = metrics.get(objective.metric, "missing")
            return Evaluated(problem=f"{objective.metric} is {written}")
        values.append(value)
    exceeded = tuple(excess(bound, metrics) for bound in plan.sweep.constraints)
    return Evaluated(values=tuple(values), exceeded=exceeded)


def result_of(directory: str | Path) -> dict[str, Any] | None:
    """Returns the result of a run or trial that has ended; None if there is none."""
    try:
        result = json.loads((Path(directory) / "result.json").read_bytes())
    except (OSError, ValueError):
        return None
    return {"directory": str(directory), **result}


def stored_result(
    plan: SearchPlan, frozen: FrozenTrial, directory: str | Path
) -> dict[str, Any]:
    """Returns what the storage has of a result that this machine does not see.

    Args:
        plan: of the search.
        frozen: a trial that is complete or pruned.
        directory: of the trial.
    """
    amounts, metrics = frozen.constraints or {}, {}
    for place, bound in enumerate(plan.sweep.constraints):
        amount = amounts.get(f"{place}.{bound.metric}")
        if amount is not None and bound.at_most is not None:
            metrics[bound.metric] = bound.at_most + amount
        elif amount is not None and bound.at_least is not None:
            metrics[bound.metric] = bound.at_least - amount
    # Of a pruned trial: that of its last evaluation.
    names = [one.metric for one in plan.objectives]
    metrics |= dict(zip(names, frozen.values or (), strict=False))
    result = {"directory": str(directory), "step": frozen.last_step, "eval": metrics}
    return {**result, "pruned": True} if frozen.state is TrialState.PRUNED else result


def joined(outcomes: Sequence[TrialOutcome], number: int, folder: Path) -> TrialOutcome:
    """Returns the outcome of a trial with repeats: means, and the spread.

    The result has the mean of each metric in `eval`, its sample standard deviation in
    `spread`, and `runs`, the directories; it is written as `result.json`.

    Args:
        outcomes: of its runs; the last one decides if it failed or was pruned.
        number: of the trial.
        folder: of the trial.
    """
    last, seconds = outcomes[-1], sum(one.seconds for one in outcomes)
    if last.status is not TrialStatus.COMPLETE:
        return dataclasses.replace(last, number=number, seconds=seconds)
    results = [one.result or {} for one in outcomes]
    columns: dict[str, list[float]] = {}
    for result in results:
        for name, value in result.get("eval", {}).items():
            if isinstance(value, int | float):
                columns.setdefault(name, []).append(float(value))
    columns = {name: one for name, one in columns.items() if len(one) == len(results)}
    result = {
        "step": results[-1].get("step"),
        "eval": {name: statistics.fmean(one) for name, one in columns.items()},
        "spread": {
            name: statistics.stdev(one) if all(map(math.isfinite, one)) else None
            for name, one in columns.items()
        },
        "runs": [
            os.path.relpath(one.get("directory", folder), folder) for one in results
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / "result.json.new"
    written.write_text(json.dumps(result, indent=2))
    written.replace(folder / "result.json")
    whole = {**result, "directory": str(folder)}
    return dataclasses.replace(last, number=number, result=whole, seconds=seconds)
