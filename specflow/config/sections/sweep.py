"""`sweep`: the search of `train -m`, which no trial's own config has."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from specflow.config.base import Config
from specflow.config.broken_rules import refuse
from specflow.config.common.triggers import Timeout
from specflow.config.kinds import Kinds, named

__all__ = [
    "ConstraintConfig",
    "HyperbandConfig",
    "ObjectiveConfig",
    "SweepConfig",
]


class ObjectiveConfig(Config):
    """An evaluation metric that the search optimizes."""

    metric: str = "loss"
    """Name of the evaluation metric, as of the last evaluation of a trial."""
    direction: Literal["minimize", "maximize"] = "minimize"
    """Direction of optimization."""


class ConstraintConfig(Config):
    """Bounds of an evaluation metric, which a feasible trial meets."""

    metric: str
    """Name of the evaluation metric."""
    at_least: float | None = None
    """Lower bound, inclusive; null: none."""
    at_most: float | None = None
    """Upper bound, inclusive; null: none."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.at_least is None and self.at_most is None:
            expected = "a number, or at_least"
            refuse("ConstraintConfig", [(("at_most",), None, expected)])
        return self


class TpeConfig(Config):
    """Tree-structured Parzen estimator: models good and bad trials separately."""

    name: Literal["tpe"] = "tpe"
    n_startup_trials: NonNegativeInt = 10
    """Number of random trials before the model is used."""
    n_ei_candidates: PositiveInt = 24
    """Number of candidates of which the expected improvement is computed."""
    multivariate: bool = True
    """Model the parameters jointly."""


class RandomConfig(Config):
    """Independent, uniform draws."""

    name: Literal["random"] = "random"


class GridConfig(Config):
    """Every combination of the values; the space has choices and ranges only."""

    name: Literal["grid"] = "grid"


class CmaEsConfig(Config):
    """Covariance matrix adaptation evolution strategy, for numbers; needs cmaes."""

    name: Literal["cmaes"] = "cmaes"
    n_startup_trials: PositiveInt = 1
    """Number of random trials before the strategy starts."""
    sigma0: Annotated[float, Field(gt=0)] | None = None
    """Initial standard deviation, as a multiple of the ranges; null: a sixth."""
    popsize: PositiveInt | None = None
    """Population size; null: by the number of parameters."""
    with_margin: bool = False
    """Keep a minimal probability of other values for integers."""


class GpConfig(Config):
    """Gaussian process with log expected improvement; needs torch and scipy."""

    name: Literal["gp"] = "gp"
    n_startup_trials: NonNegativeInt = 10
    """Number of random trials before the model is used."""
    deterministic_objective: bool = False
    """The objective has no noise."""


class NsgaIiConfig(Config):
    """Non-dominated sorting genetic algorithm II, for several objectives."""

    name: Literal["nsga2"] = "nsga2"
    population_size: Annotated[int, Field(ge=2)] = 50
    """Number of trials of a generation."""
    crossover_prob: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Probability that a child has two parents."""


class QmcConfig(Config):
    """Quasi-Monte Carlo: a low-discrepancy sequence; needs scipy."""

    name: Literal["qmc"] = "qmc"
    qmc_type: Literal["sobol", "halton"] = "sobol"
    """Kind of sequence."""
    scramble: bool = True
    """Randomize the sequence, by `sweep.seed`."""


SAMPLERS = named(
    TpeConfig,
    RandomConfig,
    GridConfig,
    CmaEsConfig,
    GpConfig,
    NsgaIiConfig,
    QmcConfig,
)
"""Name -> class."""


class PercentileConfig(Config):
    """Prunes a trial that is outside the best percentile at the same step."""

    name: Literal["percentile"] = "percentile"
    percentile: Annotated[float, Field(ge=0, le=100)] = 25.0
    """Percentage of trials that are kept."""
    n_startup_trials: NonNegativeInt = 5
    """Number of complete trials before anything is pruned."""
    n_warmup_steps: NonNegativeInt = 0
    """Training steps of a trial in which it is not pruned."""
    n_min_trials: PositiveInt = 1
    """Number of trials that must have reported the step."""


class MedianConfig(PercentileConfig):
    """Prunes a trial that is worse than the median at the same step."""

    name: Literal["median"] = "median"  # type: ignore[assignment]
    percentile: Literal[50] = 50  # type: ignore[assignment]
    """The median; another one is the pruner `percentile`."""


class HyperbandConfig(Config):
    """Successive halving in brackets that begin to prune at different steps."""

    name: Literal["hyperband"] = "hyperband"
    min_resource: PositiveInt | None = None
    """Training steps before the first decision; null: the interval of evaluations."""
    max_resource: PositiveInt | None = None
    """Training steps of a trial that is never pruned; null: `loop.train_steps`."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """Of so many trials, one is kept at each decision."""


class AshaConfig(Config):
    """Asynchronous successive halving."""

    name: Literal["asha"] = "asha"
    min_resource: PositiveInt | None = None
    """Training steps before the first decision; null: the interval of evaluations."""
    reduction_factor: Annotated[int, Field(ge=2)] = 4
    """Of so many trials, one is kept at each decision."""
    min_early_stopping_rate: NonNegativeInt = 0
    """Number of decisions that are skipped."""


PRUNERS = named(MedianConfig, PercentileConfig, HyperbandConfig, AshaConfig)
"""Name -> class."""


class SweepConfig(Config):
    """A search for hyperparameters by `train -m`: space, objectives, trials, sampler.

    A trial's own config does not have it, so that it is the same experiment as a single
    run with these values.
    """

    space: dict[str, Any] = {}
    """Key -> its values, in Hydra's grammar: `interval(1e-5,1e-1)`,
    `tag(log,interval(1e-5,1e-1))`, `int(interval(1,8))`, `choice(a,b)`, `range(1,9)`,
    or a list of choices. Overrides of the command line replace them."""
    objectives: list[ObjectiveConfig] = []
    """Metrics that are optimized; empty: that of `output.checkpoint.best`, or the
    lowest loss."""
    constraints: list[ConstraintConfig] = []
    """Bounds of metrics; a trial that exceeds one is never the best."""
    trials: PositiveInt = 20
    """Number of trials, in all calls together; a grid has at most its own number."""
    timeout: Timeout | None = None
    """Time after which no trial starts, such as `8h`, or in seconds; null: none."""
    sampler: Annotated[Config, Kinds(SAMPLERS)] = Field(default_factory=TpeConfig)
    """Proposes the values of the next trial."""
    pruner: Annotated[Config, Kinds(PRUNERS)] | None = None
    """Ends trials whose evaluations promise too little; null: none."""
    repeats: PositiveInt = 1
    """Runs of a trial, with seeds `seed`, `seed + 1` and so on; the objective is their
    mean."""
    seed: NonNegativeInt = 0
    """Seed of the sampler."""
    storage: Annotated[str, Field(min_length=1)] = "sqlite"
    """`sqlite`: `search.db` in the sweep's directory; `journal`: `search.log` there,
    for network file systems; or the URL of a database, as
    `postgresql://user@host/database`, whose password belongs into `~/.pgpass` or the
    variable `PGPASSWORD`."""
    study: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Name in the storage, under which several calls share the work; null: that of the
    experiment and of the sweep's directory."""

    @model_validator(mode="after")
    def _rules(self) -> Self:
        refuse("SweepConfig", _broken(self))
        return self


_CONSTRAINED = ("tpe", "gp", "nsga2")
_SEVERAL = ("tpe", "gp", "nsga2", "random", "grid", "qmc")


def _broken(sweep: SweepConfig) -> list[tuple[tuple[str, ...], Any, str]]:
    sampler: Any = sweep.sampler
    pruner: Any = sweep.pruner
    broken: list[tuple[tuple[str, ...], Any, str]] = []
    several = len(sweep.objectives) > 1
    metrics = [objective.metric for objective in sweep.objectives]
    for place, metric in enumerate(metrics):
        if metric in metrics[:place]:
            broken.append(
                (("objectives", str(place), "metric"), metric, "each metric once")
            )
    if several and pruner is not None:
        expected = "null: only a search with one objective can prune"
        broken.append((("pruner",), pruner.name, expected))
    if several and sampler.name not in _SEVERAL:
        expected = f"one of {', '.join(_SEVERAL)}, which take several objectives"
        broken.append((("sampler", "name"), sampler.name, expected))
    if sweep.constraints and sampler.name not in _CONSTRAINED:
        expected = f"one of {', '.join(_CONSTRAINED)}, which take constraints"
        broken.append((("sampler", "name"), sampler.name, expected))
    return broken
