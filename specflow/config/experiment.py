"""The root section: an experiment, and the rules between its sections."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, NonNegativeInt, field_validator, model_validator

from specflow.config.base import Config, Target
from specflow.config.broken_rules import Broken, refuse
from specflow.config.feature_paths import misspelled_features
from specflow.config.kinds import name_of
from specflow.config.sections.data import DataConfig
from specflow.config.sections.loop import LoopConfig, end_of, never_profiled
from specflow.config.sections.mesh import BATCH_AXES, MeshConfig
from specflow.config.sections.model import MlpConfig, ModelConfig
from specflow.config.sections.optimizer import (
    AdamWConfig,
    DecayConfig,
    OptimizerConfig,
    WarmupConfig,
)
from specflow.config.sections.output import OutputConfig
from specflow.config.sections.spec import DeclaredSpecConfig, SpecConfig
from specflow.config.sections.sweep import SweepConfig
from specflow.config.sections.table_spec import TableSpecConfig
from specflow.config.sections.warm_start import WarmStartConfig
from specflow.config.table_heads import possible_metrics

__all__ = ["SPANNING_RULES", "ExperimentConfig", "length_diagnostics", "schedules"]

BrokenRule = Broken | tuple[tuple[str, ...], Any, str]
"""Path of a field, its value, expected value."""


class ExperimentConfig(Config):
    """A validated experiment: all of its sections."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = "experiment"
    """Name of the experiment; the default run directory is `runs/<name>/<time>`."""
    seed: NonNegativeInt = 0
    """Seed of initialization, dropout and data order."""
    warm_start: WarmStartConfig | str | None = None
    """Source of initial values: a run, a checkpoint or an export; null: random."""
    model: ModelConfig = Field(default_factory=MlpConfig)  # type: ignore[valid-type]
    """Flax module, its sizes and data types."""
    spec: SpecConfig
    """Meaning of train, evaluate and predict: inputs, losses, metrics, predictions."""
    data: DataConfig  # type: ignore[valid-type]
    """Training and evaluation data."""
    optimizer: OptimizerConfig = Field(default_factory=AdamWConfig)  # type: ignore[valid-type]
    """Optax optimizer and its learning rate schedule."""
    mesh: MeshConfig = Field(default_factory=MeshConfig)
    """Device mesh, and rules that shard parameters over it."""
    loop: LoopConfig = Field(default_factory=LoopConfig)
    """Steps, batch sizes, and triggers of evaluation and reports."""
    output: OutputConfig = Field(default_factory=OutputConfig)
    """Run directory, checkpoints, exports and reporters."""
    sweep: SweepConfig | None = None
    """Search of `train -m`; null: none. No part of the config that a run records."""

    @field_validator("warm_start", mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _spanning_rules(self) -> Self:
        broken = [diagnostic for rule in SPANNING_RULES for diagnostic in rule(self)]
        refuse("ExperimentConfig", broken)
        return self


def _batch_diagnostics(config: ExperimentConfig) -> Iterator[BrokenRule]:
    sizes = config.mesh.axes.sizes()
    axes = {f"mesh.axes.{axis}": sizes[axis] for axis in BATCH_AXES}
    if -1 in axes.values():
        axes = {}  # Known once the devices are: mesh/devices.py repeats this rule.
    micro_steps = config.loop.micro_steps
    parts = {"loop.micro_steps": micro_steps} if micro_steps > 1 else {}
    yield from _divided(config, "batch_size", {**parts, **axes})
    yield from _divided(config, "eval_batch_size", axes)


def _divided(
    config: ExperimentConfig, key: str, divisors: Mapping[str, int]
) -> Iterator[BrokenRule]:
    """A batch size that is not divisible into equal parts."""
    size, parts = getattr(config.loop, key), math.prod(divisors.values())
    if size % parts:
        below, above = size // parts * parts, -(-size // parts) * parts
        near = f"{below} or {above}" if below else f"{above}"
        expected = f"a multiple of {parts} ({' x '.join(divisors)}), such as {near}"
        yield ("loop", key), size, expected


def _schedule_diagnostics(config: ExperimentConfig) -> Iterator[BrokenRule]:
    loop = config.loop
    for path, schedule in schedules(config.optimizer, ("optimizer",)):
        if not isinstance(schedule, WarmupConfig):
            continue
        # A decay needs a step after the warmup; others reach their peak at its end.
        decays = isinstance(schedule, DecayConfig)
        decay_steps = (
            schedule.decay_steps if isinstance(schedule, DecayConfig) else None
        )
        in_steps, end = schedule.warmup is None, decay_steps or loop.known_steps
        train_steps = 1 if in_steps else loop.known_steps
        if end is None or train_steps is None:
            continue  # Epochs: the rule is checked again once the data is read.
        if isinstance(end, str) or isinstance(schedule.warmup_steps, str):
            continue
        if schedule.warmup_of(train_steps) < end + (not decays):
            continue
        at = ".".join(path)
        ends = f"{at}.decay_steps" if decay_steps else "loop.train_steps"
        than = f"{ends}={end}"
        if not decay_steps and loop.epochs is not None:
            ends, than = "loop.epochs", end_of(loop)
        yield Broken(
            (*path, "warmup_steps" if in_steps else "warmup"),
            schedule.warmup_steps if in_steps else schedule.warmup,
            f"{'fewer' if decays else 'no more'} warmup steps than {than}",
            ends,
            f"Set a fraction of the steps instead: {at}.warmup=0.1."
            if in_steps
            else "",
        )


def schedules(
    optimizer: Any, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields path and schedule of an optimizer, and of its parts' optimizers."""
    if (schedule := getattr(optimizer, "schedule", None)) is not None:
        yield (*path, "schedule"), schedule
    if name_of(optimizer) == "parts":
        for name, part in getattr(optimizer, "parts", {}).items():
            inner = (*path, "parts", name, "optimizer")
            yield from schedules(getattr(part, "optimizer", None), inner)


def _window_diagnostics(config: ExperimentConfig) -> Iterator[BrokenRule]:
    model: Any = config.model
    data: Any = config.data
    if (name_of(model), name_of(data)) == (
        "transformer",
        "text",
    ) and data.length > model.max_length:
        yield (
            ("data", "length"),
            data.length,
            f"windows no longer than model.max_length ({model.max_length})",
        )


def _feature_diagnostics(config: ExperimentConfig) -> Iterator[BrokenRule]:
    yield from misspelled_features(config.spec, config.data)


def _output_diagnostics(config: ExperimentConfig) -> Iterator[BrokenRule]:
    checkpoint, exporters = config.output.checkpoint, config.output.exporters
    yield from _criterion_diagnostics(
        config,
        {
            ("checkpoint", "best"): checkpoint.best,
            **{("exporters", name): criterion for name, criterion in exporters.items()},
        },
        "output",
    )


def _never_best_diagnostics(config: ExperimentConfig) -> Iterator[BrokenRule]:
    if config.output.checkpoint.best is not None and config.loop.eval_every == 0:
        expected = (
            "a number of steps, epochs or a time such as 10m: output.checkpoint.best "
            "compares evaluations during training, and a single one is always the best"
        )
        yield ("loop", "eval_every"), config.loop.eval_every, expected


def _early_stopping_diagnostics(config: ExperimentConfig) -> Iterator[BrokenRule]:
    criteria = {("early_stopping",): config.loop.early_stopping}
    yield from _criterion_diagnostics(config, criteria, "loop")


def _sweep_diagnostics(config: ExperimentConfig) -> Iterator[BrokenRule]:
    sweep = config.sweep
    if sweep is None:
        return
    judged = {
        ("objectives", str(place)): objective
        for place, objective in enumerate(sweep.objectives)
    }
    judged |= {
        ("constraints", str(place)): constraint
        for place, constraint in enumerate(sweep.constraints)
    }
    yield from _criterion_diagnostics(config, judged, "sweep")


def _criterion_diagnostics(
    config: ExperimentConfig, criteria: Mapping[tuple[str, ...], Any], section: str
) -> Iterator[BrokenRule]:
    """Metrics that compare states, and are not declared or not a scalar."""
    spec: Any = config.spec
    if isinstance(spec, TableSpecConfig):
        possible = possible_metrics(spec, _labels_of(config.data))
    elif isinstance(spec, DeclaredSpecConfig):
        possible = list(spec.eval_metrics)
    else:
        return  # The metrics of a model_fn are known once it has run.
    numbers = {
        name
        for name in possible
        if getattr(spec.eval_metrics.get(name), "is_number", True)  # Or unknown.
    }
    names = ", ".join(sorted(numbers))
    # None: a function of the user returns the sets.
    sets = getattr(config.data, "eval_sets", None)
    for path, criterion in criteria.items():
        metric = (
            None
            if isinstance(criterion, Target)
            else getattr(criterion, "metric", None)
        )
        if metric is None or metric in {*numbers, "loss"}:
            continue
        of_set, slash, measured = metric.partition("/")
        if slash and (sets is None or of_set in sets):
            if measured in {*numbers, "loss"}:
                continue
        kind = "scalar metric" if metric in spec.eval_metrics else "metric"
        is_table = isinstance(spec, TableSpecConfig)
        place = "spec=table" if is_table else "spec.eval_metrics"
        expected = f"loss or a {kind} of {place} ({names})"
        if slash:
            known = f" ({', '.join(sets)})" if sets else ""
            expected += f", after a slash that of a set of data.eval_sets{known}"
        yield (section, *path, "metric"), metric, expected


def _labels_of(data: Any) -> list[str]:
    """Columns of labels that a section names; empty: they are not known."""
    labels = getattr(data, "labels", None)
    return list(labels) if isinstance(labels, list) else []


def length_diagnostics(config: ExperimentConfig) -> Iterator[BrokenRule]:
    """Yields the broken rules about the number of steps.

    Args:
        config: whose epochs the data has resolved: composing could not check them.
    """
    yield from _schedule_diagnostics(config)
    for path, value, expected in never_profiled(config.loop):
        yield ("loop", *path), value, expected


SPANNING_RULES: tuple[Callable[[ExperimentConfig], Iterator[BrokenRule]], ...] = (
    _batch_diagnostics,
    _schedule_diagnostics,
    _window_diagnostics,
    _feature_diagnostics,
    _output_diagnostics,
    _never_best_diagnostics,
    _early_stopping_diagnostics,
    _sweep_diagnostics,
)
"""Rules between sections; each reads only the sections that it mentions."""
