"""Settings whose step comes after the last one, so that they have no effect."""

from collections.abc import Iterator
from typing import Any

from specflow.config.common.triggers import steps_of
from specflow.config.epochs import EpochLength, Epochs
from specflow.config.experiment import ExperimentConfig, schedules
from specflow.config.sections.loop import end_of
from specflow.config.sections.schedules import PiecewiseConfig
from specflow.diagnostics.errors import Diagnostic

__all__ = ["behind_the_end"]


def behind_the_end(
    config: ExperimentConfig, length: EpochLength | None = None
) -> list[Diagnostic]:
    """Finds triggers, windows and rules that training ends before.

    They are warnings: a short trial of an experiment leaves them behind on purpose.

    Args:
        config: a validated experiment, whose epochs are resolved.
        length: of an epoch; None: no trigger counts epochs.

    Returns:
        A diagnostic for each, at its key.

    >>> from specflow.compose import compose
    >>> config = compose(["experiment=digits", "loop.eval_every=5000"]).config
    >>> print(*behind_the_end(config))
    loop.eval_every: is 5000, and training ends at step 1200: it is evaluated once, at
    the end. Expected at most loop.train_steps (1200).
    """
    end = config.loop.steps
    return [
        Diagnostic(
            key,
            f"is {value}, and training ends at step {end}: {effect}",
            expected=f"{most} {end_of(config.loop)}",
            code="never-due",
        )
        for key, value, effect, most in _settings(config, end, length)
    ]


def _first_due(trigger: Any, length: EpochLength | None) -> int:
    """Returns the first step at which a trigger is due; 0 if no step is known."""
    every = steps_of(trigger)
    if isinstance(every, Epochs):
        return 0 if length is None else length.step_at(every.number)
    return every or 0


def _settings(
    config: ExperimentConfig, end: int, length: EpochLength | None
) -> Iterator[tuple[str, Any, str, str]]:
    """Yields key, value, effect and expected bound of each setting."""
    loop, output = config.loop, config.output
    most, less = "at most", "less than"
    if _first_due(loop.eval_every, length) > end:
        yield (
            "loop.eval_every",
            loop.eval_every,
            "it is evaluated once, at the end",
            most,
        )
    if _first_due(loop.log_every, length) > end:
        effect = "the loss is reported once, at the end"
        yield "loop.log_every", loop.log_every, effect, most
    first = _first_due(loop.eval_every, length)
    yield from _early_stopping(loop.early_stopping, first, end)
    profile = loop.profile
    if profile is not None and profile.start + profile.steps > end:
        recorded = end - profile.start
        effect = f"{recorded} of the steps after step {profile.start} are profiled"
        yield "loop.profile.steps", profile.steps, effect, "a window that ends by"
    checkpoint = output.checkpoint
    if _first_due(checkpoint.every, length) > end:
        every = checkpoint.every
        yield "output.checkpoint.every", every, "it is saved once, at the end", most
    if _first_due(checkpoint.keep_every_steps or 0, length) > end:
        effect = "no multiple of it is reached"
        yield (
            "output.checkpoint.keep_every_steps",
            checkpoint.keep_every_steps,
            effect,
            most,
        )
    for name, exporter in output.exporters.items():
        if getattr(exporter, "name", "") == "best" and (
            loop.eval_every == 0 or first >= end
        ):
            effect = "there is one evaluation to compare, at the end"
            key = f"output.exporters.{name}.metric"
            yield key, getattr(exporter, "metric", ""), effect, "loop.eval_every below"
    for path, schedule in schedules(config.optimizer, ("optimizer",)):
        if not isinstance(schedule, PiecewiseConfig):
            continue
        for step in schedule.factors:
            if int(step) >= end:
                key = f"{'.'.join(path)}.factors.{step}"
                yield key, schedule.factors[step], "its step is not reached", less


def _early_stopping(
    rule: Any, first: int, end: int
) -> Iterator[tuple[str, Any, str, str]]:
    if getattr(rule, "name", None) is None:
        return  # A target decides by itself.
    effect, key = "it cannot end training before", "loop.early_stopping"
    if (min_steps := getattr(rule, "min_steps", 0)) >= end:
        yield f"{key}.min_steps", min_steps, effect, "less than"
        return
    first = max(first, min_steps)
    patience = getattr(rule, "patience_steps", None)
    if patience is not None and first + patience >= end:
        evaluated = f"the first evaluation is at step {first}, and {effect}"
        yield f"{key}.patience_steps", patience, evaluated, "a step below"
