"""Optax transformations from the `optimizer` section of a config."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import jax
import optax

from specflow.config.base import TARGET, Component, Target
from specflow.config.sections.optimizer import (
    CommonOptimizerConfig,
    ConstantConfig,
    LearningRateConfig,
    OptimizerConfig,
)
from specflow.config.sections.optimizer_parts import PartsConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.optimizer.moving_average import averaged, track_average
from specflow.optimizer.rates import rates_of_parts, with_learning_rate
from specflow.optimizer.schedule import build_schedule
from specflow.runtime.globs import matches

__all__ = [
    "build_eval_params_fn",
    "build_learning_rate_schedule",
    "build_optimizer",
    "uses_ema_for_eval",
]

_NON_OPTAX_FIELDS = frozenset(
    {"name", "lr", "schedule", "no_decay", *CommonOptimizerConfig.model_fields}
)
"""Fields that are not passed to the optax function."""


def build_optimizer(
    config: OptimizerConfig,  # type: ignore[valid-type]
    *,
    train_steps: int,
) -> optax.GradientTransformation:
    """Builds the optax transformation with which an experiment is trained.

    Gradients are clipped first, by value and then by global norm. A moving average of
    the parameters is updated last.

    Args:
        config: the `optimizer` section. A `_target_` is called with its arguments. A
            plugin receives `train_steps` and, if it has `lr`, `learning_rate`.
        train_steps: length of training, at which a decay without `decay_steps` ends.

    Returns:
        The transformation. If its learning rate is known, `with_learning_rate` has
        attached it, so that training can report it.

    Raises:
        ConfigError: a `_target_` or a plugin did not return a transformation.

    >>> import jax.numpy as jnp
    >>> from specflow.config.sections.optimizer import SgdConfig
    >>> optimizer = build_optimizer(SgdConfig(lr=0.5), train_steps=10)
    >>> params = {"kernel": jnp.array(1.0)}
    >>> grads = {"kernel": jnp.array(2.0)}
    >>> updates, _ = optimizer.update(grads, optimizer.init(params), params)
    >>> float(updates["kernel"])
    -1.0
    """
    settings = cast("Any", config)  # `config` without the types of its members.
    # A `_target_` returns the complete transformation, and so does a plugin without
    # `lr`, but for the common fields that its section may have.
    if isinstance(config, Target):
        return _check_transformation(settings(), settings)
    if isinstance(config, Component) and not isinstance(config, LearningRateConfig):
        optimizer = _check_transformation(settings(train_steps=train_steps), settings)
        if isinstance(config, CommonOptimizerConfig):
            return _with_clipping_and_ema(optimizer, settings)
        return optimizer
    # The others have a known learning rate, and the common fields.
    if isinstance(config, PartsConfig):
        parts = {
            part: build_optimizer(member.optimizer, train_steps=train_steps)
            for part, member in settings.parts.items()
        }
        rate = rates_of_parts(parts)
        optimizer = _partition(settings, parts)
    elif isinstance(config, Component):
        rate = _learning_rate(settings, train_steps=train_steps)
        optimizer = _check_transformation(
            settings(learning_rate=rate, train_steps=train_steps), settings
        )
    else:
        rate = _learning_rate(settings, train_steps=train_steps)
        optimizer = _build_from_optax(settings, rate)
    optimizer = _with_clipping_and_ema(optimizer, settings)
    if settings.name == "rprop":
        # Rprop's learning rate is only the initial per-weight step size, so it is not
        # reported.
        return optimizer
    return with_learning_rate(optimizer, rate)


def build_learning_rate_schedule(
    config: OptimizerConfig,  # type: ignore[valid-type]
    *,
    train_steps: int,
) -> optax.Schedule | None:
    """Builds the learning rate schedule of an optimizer.

    Returns:
        The schedule: step -> learning rate. None for a `_target_` and for plugins
        without `lr`, whose rate is unknown, and for `parts`, which have one each.

    >>> from specflow.config.sections.optimizer import SgdConfig
    >>> build_learning_rate_schedule(SgdConfig(lr=0.5), train_steps=10)(3)
    0.5
    """
    if not isinstance(config, LearningRateConfig):
        return None
    schedule = getattr(config, "schedule", ConstantConfig())
    return build_schedule(schedule, lr=config.lr, train_steps=train_steps)


def build_eval_params_fn(
    config: OptimizerConfig,  # type: ignore[valid-type]
) -> Callable[..., dict[str, Any]] | None:
    """Builds the function that replaces parameters by their moving averages.

    Returns:
        A function that returns the averages of every optimizer and part whose
        `ema.evaluate` is true; None if there is none.

    >>> from specflow.config.sections.optimizer import EmaConfig, SgdConfig
    >>> eval_params = build_eval_params_fn(SgdConfig(ema=EmaConfig(decay=0.99)))
    >>> eval_params({"w": 1}, {"[1]/steps": 7, "[1]/average/w": 3})
    {'w': 3}
    """
    parts = frozenset(_evaluated_parts(config))
    return functools.partial(averaged, parts=parts) if parts else None


def uses_ema_for_eval(config: OptimizerConfig) -> bool:  # type: ignore[valid-type]
    """Checks whether evaluation uses moving averages in place of the parameters.

    >>> from specflow.config.sections.optimizer import EmaConfig, SgdConfig
    >>> uses_ema_for_eval(SgdConfig(ema=EmaConfig(decay=0.99)))
    True
    """
    return next(_evaluated_parts(config), None) is not None


def _evaluated_parts(config: Any) -> Iterator[tuple[str, ...]]:
    """Yields the path of parts to each moving average that is evaluated."""
    ema = getattr(config, "ema", None)
    if isinstance(config, CommonOptimizerConfig) and ema is not None and ema.evaluate:
        yield ()
    if isinstance(config, PartsConfig):
        for part, member in config.parts.items():
            for inner in _evaluated_parts(member.optimizer):
                yield (part, *inner)


def _with_clipping_and_ema(
    optimizer: optax.GradientTransformation, config: CommonOptimizerConfig
) -> optax.GradientTransformation:
    """Chains gradient clipping, an optimizer and its moving average, in this order."""
    chain = [optimizer]
    if config.clip_norm is not None:
        chain.insert(0, optax.clip_by_global_norm(config.clip_norm))
    if config.clip_value is not None:
        chain.insert(0, optax.clip(config.clip_value))
    if config.ema is not None:
        chain.append(track_average(config.ema.decay, warm_up=config.ema.warm_up))
    return optimizer if len(chain) == 1 else optax.chain(*chain)


def _partition(
    config: Any, optimizers: Mapping[str, optax.GradientTransformation]
) -> optax.GradientTransformation:
    """Partitions the parameters among the optimizers of the parts, by path."""

    def part_of(path: tuple[Any, ...], _: Any) -> str:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        for part, member in config.parts.items():
            if any(matches(pattern, name) for pattern in member.paths):
                return part
        raise ConfigError(
            Diagnostic(
                "optimizer.parts",
                f"no part trains {name}",
                expected="a part for every parameter",
                hint='Let the last one take the rest: paths: ["**"].',
                code="optimizer-parts",
            )
        )

    return optax.partition(
        {**optimizers}, functools.partial(jax.tree_util.tree_map_with_path, part_of)
    )


def _learning_rate(config: Any, *, train_steps: int) -> Any:
    """Returns the learning rate: a number if it is constant, otherwise a schedule."""
    if _has_constant_learning_rate(config):
        return config.lr  # A number needs no step counter in the state.
    return build_learning_rate_schedule(config, train_steps=train_steps)


def _has_constant_learning_rate(config: Any) -> bool:
    """Checks whether the learning rate is the same at all steps."""
    schedule = getattr(config, "schedule", ConstantConfig())
    # A warmup fraction counts even if it rounds to 0 steps: the structure of the state
    # must not depend on `train_steps`.
    return isinstance(schedule, ConstantConfig) and not (
        schedule.warmup_steps or schedule.warmup
    )


def _build_from_optax(config: Any, rate: Any) -> optax.GradientTransformation:
    """Calls the optax function of the config's name with the config's fields."""
    make = getattr(optax, config.name)
    arguments = {name: value for name, value in config if name not in _NON_OPTAX_FIELDS}
    if hasattr(config, "no_decay"):
        # Optax has two names for this argument.
        parameters = inspect.signature(make).parameters
        masks = ("mask", "weight_decay_mask")
        mask = next(name for name in masks if name in parameters)
        arguments[mask] = functools.partial(
            _weight_decay_mask, no_decay=config.no_decay
        )
    return make(rate, **arguments)


def _weight_decay_mask(params: Any, no_decay: list[str]) -> Any:
    """Builds the mask of weight decay: a tree of bools like the parameters."""

    def decays(path: tuple[Any, ...], _: Any) -> bool:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        return not any(matches(pattern, name) for pattern in no_decay)

    return jax.tree_util.tree_map_with_path(decays, params)


def _check_transformation(optimizer: Any, config: Any) -> optax.GradientTransformation:
    """Checks that a `_target_` or plugin returned a transformation, and returns it."""
    # By protocol: optax has several classes of transformations.
    if callable(getattr(optimizer, "init", None)) and callable(
        getattr(optimizer, "update", None)
    ):
        return optimizer
    raise ConfigError(
        Diagnostic(
            f"optimizer.{TARGET if isinstance(config, Target) else 'name'}",
            f"{config.path} returned {type(optimizer).__qualname__}",
            expected="an optax.GradientTransformation",
            code="target-result",
        )
    )
