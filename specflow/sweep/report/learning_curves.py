"""Learning curves of trials; runs that differ by their seed alone are one curve."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from specflow.sweep.results.run_files import evaluations
from specflow.sweep.results.sweep_results import SweepResults
from specflow.sweep.results.trial_result import TrialResult
from specflow.sweep.search.constraints import finite

__all__ = ["Curve", "SeedGroup", "curves_of", "seed_groups"]

_MOST_POINTS = 150
Points = list[tuple[int, float]]
"""(step, value), by step."""


@dataclasses.dataclass(frozen=True)
class SeedGroup:
    """Runs with the same settings and different seeds.

    Args:
        trials: one with repeats, or several that differ by `seed`.
        runs: run directory of each seed.
        values: of the metric, of the runs that have it.
    """

    trials: tuple[TrialResult, ...]
    runs: tuple[Path, ...]
    values: tuple[float, ...]

    @property
    def first(self) -> TrialResult:
        """The trial with the lowest number."""
        return self.trials[0]

    @property
    def mean(self) -> float:
        """Mean of the values."""
        return sum(self.values) / len(self.values)


@dataclasses.dataclass(frozen=True)
class Curve:
    """A metric over the steps.

    Args:
        group: its runs.
        mean: over the runs; of one run, its values.
        band: (step, minimum, maximum) over the runs; empty for one run.
    """

    group: SeedGroup
    mean: Points
    band: list[tuple[int, float, float]]


def seed_groups(results: SweepResults, metric: str) -> list[SeedGroup]:
    """Returns the trials of a sweep, grouped by all settings but the seed.

    Args:
        results: of the sweep.
        metric: whose values the groups have.
    """
    keys = [key for key in results.keys if key != "seed"]
    groups: dict[tuple[str | None, ...] | int, list[TrialResult]] = {}
    for trial in results.trials:
        settings = tuple(trial.overrides.get(key) for key in keys)
        # Without another key, seeds are what the sweep compares.
        name = settings if "seed" in results.keys else trial.number
        groups.setdefault(name, []).append(trial)
    return [_group(trials, metric) for trials in groups.values()]


def _group(trials: Sequence[TrialResult], metric: str) -> SeedGroup:
    runs = [run for trial in trials for run in (trial.runs or (trial.directory,))]
    if len(trials) == 1 and trials[0].runs:
        last = [points[-1][1] for run in runs if (points := _points(run, metric))]
    else:
        done = [one for one in trials if one.status in ("complete", "infeasible")]
        last = [value for one in done if (value := one.value(metric)) is not None]
    return SeedGroup(tuple(trials), tuple(runs), tuple(last))


def curves_of(
    groups: Sequence[SeedGroup], metric: str, split: str = "eval"
) -> list[Curve]:
    """Returns the curve of each group that has evaluations.

    Args:
        groups: runs of each curve.
        metric: its name.
        split: `eval` or `train`.
    """
    curves = []
    for group in groups:
        runs = [points for run in group.runs if (points := _points(run, metric, split))]
        if not runs:
            continue
        at: dict[int, list[float]] = {}
        for points in runs:
            for step, value in points:
                at.setdefault(step, []).append(value)
        # Where a seed has ended, the mean would jump.
        shared = {s: v for s, v in sorted(at.items()) if len(v) == len(runs)} or at
        mean = [(step, sum(values) / len(values)) for step, values in shared.items()]
        band = [(step, min(values), max(values)) for step, values in shared.items()]
        curves.append(Curve(group, _thinned(mean), _thinned(band) if runs[1:] else []))
    return curves


def _points(run: Path, metric: str, split: str = "eval") -> Points:
    return [
        (step, value)
        for step, metrics in evaluations(run, split)
        if (value := finite(metrics.get(metric))) is not None
    ]


def _thinned(points: list) -> list:
    """Returns at most some points, the last one included."""
    every = -(-len(points) // _MOST_POINTS)
    kept = points[::every] if every > 1 else points
    return kept if not points or kept[-1] == points[-1] else [*kept, points[-1]]
