"""Resolves the epochs of an experiment to steps, once its rows are counted."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from specflow.config.base import MOST_STEPS
from specflow.config.epochs import (
    EpochLength,
    EpochPoint,
    Epochs,
    EpochSpan,
    exact_epochs,
)
from specflow.config.experiment import ExperimentConfig, length_diagnostics
from specflow.config.sections.schedules import PiecewiseConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic

__all__ = ["check_resolved", "steps_of_epochs", "uses_epochs", "with_steps"]

_SECTIONS = ("loop", "optimizer", "output")
"""Sections that count steps."""


def uses_epochs(experiment: ExperimentConfig) -> bool:
    """Returns whether a number of steps of an experiment depends on its data.

    >>> from specflow.compose import compose
    >>> uses_epochs(compose(["experiment=digits"]).config)
    False
    >>> uses_epochs(compose(["experiment=digits", "loop.log_every=1 epoch"]).config)
    True
    """
    loop = experiment.loop
    return loop.known_steps is None or any(
        _has_epochs(getattr(experiment, name)) for name in _SECTIONS
    )


def with_steps(experiment: ExperimentConfig, length: EpochLength) -> ExperimentConfig:
    """Returns an experiment whose numbers of steps are known.

    `loop.train_steps` is set to the steps of `loop.epochs`, points such as a decay's
    end to the first step after so many epochs, and spans such as a patience to whole
    steps. Triggers keep their epochs: each is due at the first step that completes
    them, which are not equally many steps apart.

    Args:
        experiment: validated.
        length: of an epoch of its training data.

    Raises:
        ConfigError: these are more steps than devices can count.

    >>> from specflow.compose import compose
    >>> config = compose(["experiment=digits", "loop.epochs=2.5"]).config
    >>> with_steps(config, EpochLength(rows=1438, batch_size=128)).loop.train_steps
    29
    """
    update = {name: _resolved(getattr(experiment, name), length) for name in _SECTIONS}
    loop = update["loop"]
    if loop.known_steps is None:
        steps = max(1, length.step_at(exact_epochs(loop.epochs)))
        if steps > MOST_STEPS:
            raise ConfigError(
                Diagnostic(
                    "loop.epochs",
                    f"got {loop.epochs:g}, which are {steps:,} steps",
                    expected=f"at most {MOST_STEPS:,} steps",
                    code="range",
                )
            )
        update["loop"] = loop.model_copy(update={"train_steps": steps})
    return experiment.model_copy(update=update)


def steps_of_epochs(experiment: ExperimentConfig, length: EpochLength) -> str:
    """Describes the steps of `loop.epochs`, for a line of output.

    >>> from specflow.compose import compose
    >>> config = compose(["experiment=digits", "loop.epochs=3"]).config
    >>> steps_of_epochs(config, EpochLength(rows=1438, batch_size=128))
    'loop.epochs=3 ends at step 34: 1,438 rows an epoch, 128 a step'
    """
    steps = with_steps(experiment, length).loop.steps
    return (
        f"loop.epochs={experiment.loop.epochs:g} ends at step {steps:,}: "
        f"{length.rows:,} rows an epoch, {length.batch_size:,} a step"
    )


def check_resolved(experiment: ExperimentConfig) -> None:
    """Checks the rules about the number of steps, which composing could not.

    Args:
        experiment: from `with_steps`.

    Raises:
        ConfigError: a rule is broken.
    """
    broken = [*length_diagnostics(experiment)]
    if broken:
        raise ConfigError(
            *(
                Diagnostic(".".join(path), f"got {value}", expected, code="rule")
                for path, value, expected, *_ in broken
            )
        )


def _has_epochs(value: Any) -> bool:
    return isinstance(value, Epochs) or any(
        _has_epochs(child) for child in _children(value)
    )


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, BaseModel):
        yield from (child for _, child in value)
    elif isinstance(value, dict):
        yield from (Epochs.read(key) for key in value)
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _resolved(value: Any, length: EpochLength) -> Any:
    if isinstance(value, EpochPoint):
        return length.step_at(value.number)
    if isinstance(value, EpochSpan):
        return length.steps_in(value.number)
    if isinstance(value, PiecewiseConfig):
        factors = {_step(key, length): each for key, each in value.factors.items()}
        return value.model_copy(update={"factors": factors})
    if isinstance(value, BaseModel) and _has_epochs(value):
        update = {name: _resolved(child, length) for name, child in value}
        return value.model_copy(update=update)
    if isinstance(value, dict):
        return {key: _resolved(child, length) for key, child in value.items()}
    return value


def _step(key: str, length: EpochLength) -> str:
    epochs = Epochs.read(key)
    return key if epochs is None else str(length.step_at(epochs.number))
