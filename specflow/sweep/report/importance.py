"""Importance of parameters: how much of the objective each of them decides."""

import dataclasses
import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from specflow.config.sections.sweep import ObjectiveConfig
from specflow.runtime.html.axes import LOG_RATIO
from specflow.sweep.results.sweep_results import SweepResults
from specflow.sweep.results.trial_result import TrialResult

__all__ = ["Importance", "importance", "numbers_of", "rank_importance"]

_FEWEST = 5
"""Complete trials below which nothing is said."""
_MOST = 200
"""Trials of fANOVA, evenly of all: its time is the square of their number."""
_GROUPS = 4
"""Groups into which many values of a number are divided."""


@dataclasses.dataclass(frozen=True)
class Importance:
    """Shares of parameters, largest first.

    Args:
        shares: key -> share, in [0, 1].
        method: how they were computed, for a reader.
    """

    shares: Mapping[str, float]
    method: str


def importance(results: SweepResults, objective: ObjectiveConfig) -> Importance | None:
    """Returns the importance of what differs between trials; None of too few.

    Optuna's fANOVA, if it is installed; else `rank_importance`.

    Args:
        results: of the sweep.
        objective: that is explained.
    """
    trials = [
        trial
        for trial in results.trials
        if trial.status in ("complete", "infeasible")
        and trial.value(objective.metric) is not None
    ]
    keys = [
        key
        for key in results.keys
        if all(key in trial.overrides for trial in trials)
        and len({trial.overrides[key] for trial in trials}) > 1
    ]
    values = [trial.value(objective.metric) or 0.0 for trial in trials]
    if len(trials) < _FEWEST or not keys or len(set(values)) < 2:
        return None
    shares, method, hint = None, "", "; pip install 'specflow-jax[sweep]' for fANOVA"
    if importlib.util.find_spec("optuna") is not None:
        logs = {key: results.may_be_log(key) for key in keys}
        every = -(-len(trials) // _MOST)
        sample, hint = trials[::every], ""
        shares = _fanova(sample, logs, values[::every])
        method = (
            "Optuna's fANOVA: the share of the variance of a random forest that each "
            "parameter explains alone"
            f"{f', of {len(sample)} trials' if every > 1 else ''}."
        )
    if shares is None:
        shares = {key: rank_importance(_column(trials, key), values) for key in keys}
        method = (
            "The share of the variance of the objective's ranks between groups of a "
            f"parameter's values (Kruskal-Wallis eta squared){hint}."
        )
    ordered = sorted(shares.items(), key=lambda pair: -pair[1])
    return Importance(dict(ordered), method)


def rank_importance(column: Sequence[Any], values: Sequence[float]) -> float:
    """Returns the share of the variance of ranks that groups of a parameter explain.

    Eta squared of Kruskal and Wallis, `(H - k + 1) / (n - k)` for k groups of n trials,
    at least 0: it is that of a parameter without effect, whatever the number of groups.

    Args:
        column: values of the parameter; numbers with many values are divided into
            groups of about equal size.
        values: of the objective.

    >>> rank_importance(["a", "a", "a", "b", "b", "b"], [1, 2, 3, 11, 12, 13])
    0.7142857142857143
    """
    groups: dict[Any, list[float]] = {}
    for group, rank in zip(_grouped(column), _ranks(values), strict=True):
        groups.setdefault(group, []).append(rank)
    count, parts = len(values), len(groups)
    if parts < 2 or count <= parts:
        return 0.0
    mean = (count + 1) / 2
    between = sum(len(g) * (sum(g) / len(g) - mean) ** 2 for g in groups.values())
    total = sum((rank - mean) ** 2 for rank in _ranks(values))
    statistic = (count - 1) * between / total if total else 0.0
    return max(0.0, (statistic - parts + 1) / (count - parts))


def numbers_of(texts: Sequence[str]) -> list[float] | None:
    """Returns texts as numbers; None if one is none."""
    try:
        return [float(text) for text in texts]
    except ValueError:
        return None


def _column(trials: Sequence[TrialResult], key: str) -> Sequence[Any]:
    texts = [trial.overrides[key] for trial in trials]
    return numbers_of(texts) or texts


def _grouped(column: Sequence[Any]) -> list[Any]:
    distinct = len(set(column))
    if distinct <= _GROUPS or not all(isinstance(one, float) for one in column):
        return [*column]
    ordered = sorted(column)
    # Equal values stay together.
    return [_GROUPS * ordered.index(one) // len(column) for one in column]


def _ranks(values: Sequence[float]) -> list[float]:
    """Returns the rank of each value, from 1; equal ones share their mean rank."""
    ordered = sorted(values)
    first = {value: place for place, value in reversed([*enumerate(ordered, 1)])}
    return [first[value] + (ordered.count(value) - 1) / 2 for value in values]


def _fanova(
    trials: Sequence[TrialResult], logs: Mapping[str, bool], values: Sequence[float]
) -> dict[str, float] | None:
    import optuna
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
    )

    columns = {key: _column(trials, key) for key in logs}
    spaces: dict[str, BaseDistribution] = {}
    for key, column in columns.items():
        if isinstance(column[0], float):
            low, high = min(column), max(column)
            is_log = logs[key] and low > 0 and high / low >= LOG_RATIO
            spaces[key] = FloatDistribution(low, high, log=is_log)
        else:
            spaces[key] = CategoricalDistribution([*dict.fromkeys(column)])
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study()
        for place, value in enumerate(values):
            params = {key: columns[key][place] for key in logs}
            study.add_trial(
                optuna.create_trial(params=params, distributions=spaces, value=value)
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
            return dict(evaluator.evaluate(study))
    except (ValueError, RuntimeError, ImportError):
        return None  # The values hardly differ, or scikit-learn is missing.
    finally:
        optuna.logging.set_verbosity(verbosity)
