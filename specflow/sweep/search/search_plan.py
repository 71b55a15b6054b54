"""What a search does, decided and checked before its first trial."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from specflow.compose.overrides import Composed
from specflow.compose.read.override_grammar import Request
from specflow.config.common.triggers import steps_of
from specflow.config.epochs import EpochLength, Epochs
from specflow.config.resolved_epochs import uses_epochs, with_steps
from specflow.config.sections.sweep import ObjectiveConfig, SweepConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.runtime.plain_tree import settings
from specflow.sweep.search.search_requirements import check_requirements
from specflow.sweep.search.search_space import (
    Dimension,
    check_corners,
    grid_size,
    refuse_choices,
    search_space,
)

__all__ = ["SearchPlan", "plan_search"]

_FREE = (
    "sweep.",
    "output.",
    "mesh.",
    "loop.eval_batch_size",
    "loop.iterations_per_loop",
    "loop.log_every",
    "loop.recover",
)
"""Settings that change no result, and may differ between calls that share a search."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """A checked search.

    Args:
        sweep: its section.
        objectives: what it optimizes; one at least.
        dimensions: of the space.
        lines: overrides of every trial.
        name: of the experiment.
        seed: of the first run of a trial with repeats.
        trials: number of trials.
        train_steps: of a trial.
        every: training steps between two evaluations; 1 if they are triggered by time.
        fixed: dotted key -> value as JSON, of what all trials have in common.
    """

    sweep: SweepConfig
    objectives: tuple[ObjectiveConfig, ...]
    dimensions: tuple[Dimension, ...]
    lines: tuple[str, ...]
    name: str
    seed: int
    trials: int
    train_steps: int
    every: int
    fixed: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def definition(self) -> dict[str, Any]:
        """Returns what calls that share a study have in common, as plain values."""
        sweep = self.sweep.model_dump()
        return {
            "space": {one.key: one.text for one in self.dimensions},
            "objectives": [one.model_dump() for one in self.objectives],
            "constraints": sweep["constraints"],
            "sampler": sweep["sampler"],
            "pruner": sweep["pruner"],
            "repeats": sweep["repeats"],
            "seed": sweep["seed"],
            "fixed": dict(self.fixed),
        }

    def study_name(self, directory: Path) -> str:
        """Returns the name of the study; Hyperband's brackets depend on it."""
        if "://" not in self.sweep.storage:
            return self.sweep.study or self.name
        # A database has the studies of many sweeps.
        return self.sweep.study or f"{self.name}/{directory.absolute().name}"


def plan_search(
    request: Request, compose: Callable[[Sequence[str]], Composed]
) -> SearchPlan:
    """Returns the plan of a search; every end of its space is a valid experiment.

    Args:
        request: overrides of the command.
        compose: composes the experiment of these overrides.

    Raises:
        ConfigError: the search or an experiment of it has a problem.
    """
    singles = request.singles()
    written = (*singles.choices, *singles.values)
    lines = [str(one.input_line) for one in written]
    composed = compose(lines)
    sweep = composed.config.sweep or SweepConfig()

    def place_of(key: str) -> str:
        where = f"sweep.space.{key}"
        inside = (
            place
            for one, place in composed.places.items()
            if f"{one}.".startswith(f"{where}.")
        )
        return (
            composed.places.get(where)
            or next(inside, "")
            or composed.places.get("sweep.space", "")
        )

    dimensions = search_space(sweep.space, request, place_of)
    _check_repeats(sweep, dimensions)
    _check_pruner(sweep, composed)
    trials, sampler = sweep.trials, getattr(sweep.sampler, "name", "")
    if sampler == "grid":
        trials = min(trials, grid_size(dimensions))
    if sampler == "cmaes":
        refuse_choices(dimensions)
    check_requirements(sweep, composed.places)
    own = [
        str(one.input_line)
        for one in written
        if one.key_or_group.partition(".")[0] != "sweep"
        and one.key_or_group != "output.dir"
    ]
    check_corners(dimensions, lambda corner: compose([*lines, *corner]))
    config = composed.config
    train_steps, every = _resources(composed)
    return SearchPlan(
        sweep=sweep,
        objectives=_objectives(sweep, composed),
        dimensions=dimensions,
        lines=tuple(own),
        name=config.name,
        seed=config.seed,
        trials=trials,
        train_steps=train_steps,
        every=every,
        fixed=_fixed(composed.tree, [one.key for one in dimensions]),
    )


def _resources(composed: Composed) -> tuple[int, int]:
    """Returns the steps of a trial and between two evaluations, for its pruner.

    Raises:
        ConfigError: the pruner counts in them, and they are epochs of data that has to
            be read.
    """
    config = composed.config
    if uses_epochs(config):
        from specflow.data.known_rows import known_rows

        rows = known_rows(config.data)
        pruner: Any = config.sweep and config.sweep.pruner
        missing = [
            key
            for key in ("min_resource", "max_resource")
            if getattr(pruner, key, 0) is None
        ]
        if rows is None and missing:
            raise ConfigError(
                *(
                    Diagnostic(
                        f"sweep.pruner.{key}",
                        "got null, and the steps of an epoch are not known before the "
                        "data is read",
                        "a number of steps",
                        origin=composed.places.get(f"sweep.pruner.{key}", ""),
                        code="rule",
                    )
                    for key in missing
                )
            )
        # Without rows the numbers are not used.
        length = EpochLength(rows or 1, config.loop.batch_size)
        config = with_steps(config, length)
        every = steps_of(config.loop.eval_every)
        if isinstance(every, Epochs):
            return config.loop.steps, length.step_at(every.number)
    every = steps_of(config.loop.eval_every)
    return config.loop.steps, every if isinstance(every, int) and every else 1


def _fixed(tree: Mapping[str, Any], searched: Sequence[str]) -> dict[str, str]:
    """Returns what trials must have in common to be compared."""
    flat = {".".join(path): value for path, value in settings(tree)}
    return {
        key: json.dumps(value, default=str)
        for key, value in flat.items()
        if not key.startswith(_FREE)
        and not any(f"{key}.".startswith(f"{one}.") for one in searched)
    }


def _objectives(sweep: SweepConfig, composed: Composed) -> tuple[ObjectiveConfig, ...]:
    if sweep.objectives:
        return tuple(sweep.objectives)
    best = composed.config.output.checkpoint.best
    if best is None:
        return (ObjectiveConfig(),)
    direction = "maximize" if best.order == "highest" else "minimize"
    return (ObjectiveConfig(metric=best.metric, direction=direction),)


def _check_pruner(sweep: SweepConfig, composed: Composed) -> None:
    if sweep.pruner is not None and composed.config.loop.eval_every == 0:
        raise ConfigError(
            Diagnostic(
                "loop.eval_every",
                "got 0",
                "a number of steps, or a time such as 10m: sweep.pruner compares "
                "evaluations during training",
                origin=composed.places.get("loop.eval_every", ""),
                code="rule",
            )
        )


def _check_repeats(sweep: SweepConfig, dimensions: Sequence[Dimension]) -> None:
    swept = next((one for one in dimensions if one.key == "seed"), None)
    if sweep.repeats > 1 and swept is not None:
        raise ConfigError(
            Diagnostic(
                "seed",
                f"is searched, and sweep.repeats={sweep.repeats} sets it",
                "one of them",
                origin=swept.origin,
                code="sweep",
            )
        )
