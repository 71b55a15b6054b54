"""Exponential moving averages of parameters and of their batch statistics."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from specflow.contract import AverageState
from specflow.diagnostics.errors import ConfigError, Diagnostic

__all__ = ["AverageState", "averaged", "track_average"]

_AVERAGE = re.compile(r"(?:^|/)(average/)")
"""Prefix of the path of a parameter, in the name of its average."""
_STEPS = re.compile(r"(?:^|/)steps$")
"""Name of the counter of an `AverageState`, among the optimizer's arrays."""
_PART = re.compile(r"(?:^|/)inner_states/(.*?)/inner_state(?=/)")
"""A label of `optax.partition` in the name of an array."""


def track_average(
    decay: float, *, warm_up: bool = False
) -> optax.GradientTransformationExtraArgs:
    """Averages parameters after every update: a += (1 - decay) * (p - a).

    Updates pass unchanged. Put it last in a chain, where the update is final. The
    averages start as the initial parameters, whose weight after n updates is decay^n.

    Batch statistics of the layers of these parameters are averaged too, since averaged
    weights need the statistics of their own activations. Training steps of specflow
    pass them to `update` as `model_state` (an extra argument of optax), after the step.

    Args:
        decay: exponential decay rate of the average, in [0, 1).
        warm_up: whether to start with smaller decay rates, (1 + n) / (10 + n) in update
            n, counted from 0, which reduces the weight of the initial values.

    Returns:
        The transformation; its state is an `AverageState`.

    Raises:
        ConfigError: `decay` is out of range.

    Source: tf.train.ExponentialMovingAverage (`num_updates` is `warm_up`). TensorFlow's
    EfficientNet and timm's ModelEmaV2 average batch statistics with the weights.

    >>> optimizer = optax.chain(optax.sgd(1.0), track_average(0.5))
    >>> params = {"w": jnp.zeros(())}
    >>> state = optimizer.init(params)
    >>> updates, state = optimizer.update({"w": jnp.ones(())}, state, params)
    >>> float(updates["w"]), float(state[1].average["w"])
    (-1.0, -0.5)
    """
    if not 0 <= decay < 1:
        raise ConfigError(
            Diagnostic(
                "track_average",
                f"got decay {decay}",
                code="range",
                expected="0 or more, and less than 1",
            )
        )

    def init(params: Any) -> AverageState:
        # Copies, since the step donates the buffers of the parameters.
        average = jax.tree.map(jnp.copy, params)
        return AverageState(jnp.zeros((), jnp.int32), average, {})

    def update(
        updates: Any,
        state: Any,
        params: Any = None,
        *,
        model_state: Mapping[str, Any] | None = None,
        **extra_args: Any,
    ) -> tuple[Any, AverageState]:
        del extra_args
        if params is None:
            raise ValueError("track_average: update(updates, state, params) needs all.")
        if state.statistics and model_state is None:
            raise ConfigError(
                Diagnostic(
                    "track_average",
                    "is not given the model's batch statistics",
                    expected="them, as the extra argument model_state",
                    hint="Let the transformation around it pass on **extra_args: "
                    "see optax.GradientTransformationExtraArgs.",
                    code="average",
                )
            )
        count = state.steps.astype(jnp.float32)
        weight = jnp.minimum(decay, (1 + count) / (10 + count)) if warm_up else decay
        average = jax.tree.map(
            lambda a, p, u: a + ((1 - weight) * (p + u - a)).astype(a.dtype),
            state.average,
            params,
            updates,
        )
        values = model_state or {}
        statistics = {
            path: a + ((1 - weight) * (values[path] - a)).astype(a.dtype)
            for path, a in state.statistics.items()
        }
        return updates, AverageState(state.steps + 1, average, statistics)

    return optax.GradientTransformationExtraArgs(init, update)


def averaged(
    params: Mapping[str, Any],
    opt_state: Mapping[str, Any],
    *,
    parts: Collection[tuple[str, ...]] | None = None,
) -> dict[str, Any]:
    """Replaces parameters by the averages of `track_average`.

    For `Estimator(eval_params=averaged)`. Parameters without an average are unchanged.
    Averages of batch statistics are included under their own paths.

    Args:
        params: path -> parameter.
        opt_state: name -> array of the optimizer's state, as in a checkpoint.
        parts: averages to use, by the labels of `optax.partition` that lead to each;
            `()` is one around all parts. If None, all. Of two averages of one
            parameter, the inner one is used.

    Returns:
        Path -> averaged parameter or batch statistic, or the parameter itself.

    Raises:
        ConfigError: the optimizer keeps no averages.

    >>> averaged({"w": 1, "b": 2}, {"[1]/steps": 7, "[1]/average/w": 3})
    {'w': 3, 'b': 2}
    """
    averages_at: dict[str, dict[str, Any]] = {}
    for name in opt_state:
        for match in _AVERAGE.finditer(name):
            if (path := name[match.end() :]) in params:
                averages = averages_at.setdefault(name[: match.start(1)], {})
                averages[path] = opt_state[name]
    replaced: dict[str, Any] = {}
    for prefix in sorted(averages_at, key=lambda prefix: len(_PART.findall(prefix))):
        if parts is None or tuple(_PART.findall(prefix)) in parts:
            statistics = f"{prefix}statistics/"
            replaced |= averages_at[prefix] | {
                name.removeprefix(statistics): array
                for name, array in opt_state.items()
                if name.startswith(statistics)
            }
    # A part without trained parameters has a counter alone.
    if not averages_at and not any(_STEPS.search(name) for name in opt_state):
        raise ConfigError(
            Diagnostic(
                "eval_params",
                "the optimizer keeps no averages",
                code="average",
                hint="Put specflow.optimizer.track_average(decay) last in its chain.",
            )
        )
    return {**params, **replaced}
