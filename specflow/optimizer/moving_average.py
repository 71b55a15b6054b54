"""Moving averages of the parameters and of the batch statistics that go with them."""

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
"""Before the path of a parameter, in the name of its average."""
_STEPS = re.compile(r"(?:^|/)steps$")
"""Name of the counter of an `AverageState`, among the optimizer's arrays."""
_PART = re.compile(r"(?:^|/)inner_states/(.*?)/inner_state(?=/)")
"""A label of `optax.partition` in the name of an array."""


def track_average(
    decay: float, *, warm_up: bool = False
) -> optax.GradientTransformationExtraArgs:
    """Follows the parameters: after every update, a += (1 - decay) * (p - a).

    It changes no update. It stands last in a chain, where it sees the whole of one. The
    averages begin as the initial parameters, which they therefore contain with the
    weight decay^n after n updates.

    Batch statistics of the layers of these parameters are averaged alike, since weights
    are normalized wrongly by the statistics of others. Training steps of specflow pass
    them to `update` as `model_state` (optax: an extra argument), after the step.

    Args:
        decay: weight of the former average, from 0 to below 1.
        warm_up: begins with smaller decays, (1 + n) / (10 + n) in update n, counted
            from 0, so that the initial values are soon forgotten.

    Raises:
        ConfigError: a decay out of range.

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
        # Copies: the step gives away the memory of what it starts from.
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
    """The averages that `track_average` kept, in place of the parameters.

    For `TPUEstimator(eval_params=averaged)`. Parameters that have no average stay as
    they are. The averages of batch statistics come along, under their own paths.

    Args:
        params: by path.
        opt_state: the optimizer's arrays by name, as a checkpoint has them.
        parts: where averages count that are kept in `optax.partition`: the labels
            on the way to each, `()` for one around all parts. None: all count. Of two
            averages of a parameter, the inner one does.

    Raises:
        ConfigError: the optimizer keeps no averages.

    >>> averaged({"w": 1, "b": 2}, {"[1]/steps": 7, "[1]/average/w": 3})
    {'w': 3, 'b': 2}
    """
    kept: dict[str, dict[str, Any]] = {}
    for name in opt_state:
        for match in _AVERAGE.finditer(name):
            if (path := name[match.end() :]) in params:
                kept.setdefault(name[: match.start(1)], {})[path] = opt_state[name]
    found: dict[str, Any] = {}
    for place in sorted(kept, key=lambda place: len(_PART.findall(place))):
        if parts is None or tuple(_PART.findall(place)) in parts:
            before = f"{place}statistics/"
            found |= kept[place] | {
                name.removeprefix(before): array
                for name, array in opt_state.items()
                if name.startswith(before)
            }
    # A part of which no parameter trains has a counter alone.
    if not kept and not any(_STEPS.search(name) for name in opt_state):
        raise ConfigError(
            Diagnostic(
                "eval_params",
                "the optimizer keeps no averages",
                code="average",
                hint="Put specflow.optimizer.track_average(decay) last in its chain.",
            )
        )
    return {**params, **found}
