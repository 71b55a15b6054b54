"""Samplers and pruners of a search, built from their sections."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from specflow.config.sections.sweep import SweepConfig
from specflow.sweep.search.search_space import Dimension

__all__ = ["pruner_of", "sampler_of", "suggested"]


def suggested(trial: Trial, dimensions: Sequence[Dimension]) -> dict[str, Any]:
    """Returns key -> value of a trial; what it has already stays."""
    return {one.key: _suggest(trial, one) for one in dimensions}


def sampler_of(sweep: SweepConfig, dimensions: Sequence[Dimension]) -> BaseSampler:
    """Returns the sampler of a search, whose state is in the storage alone."""
    section: Any = sweep.sampler
    if section.name == "grid":
        return _GridSampler(dimensions)
    options = section.model_dump(exclude={"name"}, exclude_none=True)

    def build(seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            match section.name:
                case "tpe":
                    # Running trials repel, so that a batch is spread.
                    return optuna.samplers.TPESampler(
                        seed=seed,
                        constant_liar=True,
                        **options,
                    )
                case "random":
                    return optuna.samplers.RandomSampler(seed=seed)
                case "cmaes":
                    return optuna.samplers.CmaEsSampler(
                        seed=seed,
                        warn_independent_sampling=False,
                        independent_sampler=optuna.samplers.RandomSampler(seed=seed),
                        **options,
                    )
                case "gp":
                    return optuna.samplers.GPSampler(
                        seed=seed,
                        warn_independent_sampling=False,
                        **options,
                    )
                case "nsga2":
                    return optuna.samplers.NSGAIISampler(seed=seed, **options)
                case "qmc":
                    # The sequence is one; each trial takes its next point.
                    return optuna.samplers.QMCSampler(
                        seed=sweep.seed,
                        independent_sampler=optuna.samplers.RandomSampler(seed=seed),
                        warn_asynchronous_seeding=False,
                        warn_independent_sampling=False,
                        **options,
                    )
        raise AssertionError(section.name)

    return _SamplerByNumber(build, sweep.seed)


def pruner_of(sweep: SweepConfig, train_steps: int, every: int) -> BasePruner:
    """Returns the pruner of a search.

    Args:
        sweep: the search.
        train_steps: of a trial.
        every: training steps between two evaluations.
    """
    section: Any = sweep.pruner
    if section is None:
        return optuna.pruners.NopPruner()
    match section.name:
        case "median" | "percentile":
            options = section.model_dump(exclude={"name", "percentile"})
            return optuna.pruners.PercentilePruner(section.percentile, **options)
        case "hyperband":
            return optuna.pruners.HyperbandPruner(
                min_resource=section.min_resource or every,
                # "auto" prunes nothing before the first complete trial.
                max_resource=section.max_resource or train_steps,
                reduction_factor=section.reduction_factor,
            )
        case "asha":
            return optuna.pruners.SuccessiveHalvingPruner(
                min_resource=section.min_resource or every,
                reduction_factor=section.reduction_factor,
                min_early_stopping_rate=section.min_early_stopping_rate,
            )
    raise AssertionError(section.name)


def _suggest(trial: Trial, one: Dimension) -> Any:
    if one.kind == "choice":
        return trial.suggest_categorical(one.key, one.choices)
    if one.kind == "int":
        step = int(one.step or 1)
        low, high = int(one.low), int(one.high)
        return trial.suggest_int(one.key, low, high, step=step, log=one.is_log)
    return trial.suggest_float(
        one.key, one.low, one.high, step=one.step, log=one.is_log
    )


def _distribution(one: Dimension) -> BaseDistribution:
    if one.kind == "choice":
        return CategoricalDistribution(one.choices)
    if one.kind == "int":
        low, high = int(one.low), int(one.high)
        return IntDistribution(low, high, log=one.is_log, step=int(one.step or 1))
    return FloatDistribution(one.low, one.high, log=one.is_log, step=one.step)


class _SamplerByNumber(BaseSampler):
    """A sampler whose draws depend on the number of the trial and on the others.

    A search that resumes, or that several processes share, does not repeat its first
    points; and it proposes what it would have proposed without the interruption.

    Args:
        build: makes the sampler with a seed.
        seed: of the search.
    """

    def __init__(self, build: Callable[[int], BaseSampler], seed: int):
        self._build, self._seed = build, seed
        self._last: tuple[int, BaseSampler] | None = None

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        if self._last is None or self._last[0] != trial.number:
            digest = hashlib.sha256(f"{self._seed}/{trial.number}".encode()).digest()
            seed = int.from_bytes(digest[:4], "little")
            self._last = trial.number, self._build(seed)
        return self._last[1]

    def infer_relative_search_space(self, study: Any, trial: FrozenTrial) -> Any:
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(self, study: Any, trial: FrozenTrial, search_space: Any) -> Any:
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Any,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._of(trial).sample_independent(
            study, trial, param_name, param_distribution
        )

    def before_trial(self, study: Any, trial: FrozenTrial) -> None:
        self._of(trial).before_trial(study, trial)

    def after_trial(
        self,
        study: Any,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        self._of(trial).after_trial(study, trial, state, values)


class _GridSampler(BaseSampler):
    """Every combination once, in order: trial `n` is the n-th.

    Optuna's own counts what was visited, and ends the study in the middle of a tell.

    Args:
        dimensions: the last one changes fastest.
    """

    def __init__(self, dimensions: Sequence[Dimension]):
        self._dimensions = tuple(dimensions)

    def infer_relative_search_space(self, study: Any, trial: FrozenTrial) -> Any:
        return {one.key: _distribution(one) for one in self._dimensions}

    def sample_relative(self, study: Any, trial: FrozenTrial, search_space: Any) -> Any:
        # Trials that were enqueued again are copies and take no place.
        place = trial.number
        if place and "fixed_params" not in trial.system_attrs:
            earlier = study.get_trials(deepcopy=False)[:place]
            place -= sum("fixed_params" in one.system_attrs for one in earlier)
        point = {}
        for one in reversed(self._dimensions):
            points = one.points() or []
            place, index = divmod(place, len(points))
            point[one.key] = points[index]
        return point

    def sample_independent(
        self,
        study: Any,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        raise AssertionError(f"{param_name} is in the grid")
