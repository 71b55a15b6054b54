"""Moving averages of the parameters, kept beside them by the optimizer."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from specflow.errors import ConfigError, Fault

__all__ = ["AverageState", "averaged", "track_average"]


class AverageState(NamedTuple):
    """What `track_average` keeps."""

    steps: jax.Array
    """int32[]: updates so far."""
    average: Any
    """The averages, in the form of the parameters."""


def track_average(
    decay: float, *, warm_up: bool = False
) -> optax.GradientTransformation:
    """Follows the parameters: after every update, a += (1 - decay) * (p - a).

    It changes no update. It stands last in a chain, where it sees the whole of one. The
    averages begin as the initial parameters, which they therefore contain with the
    weight decay^n after n updates.

    Args:
        decay: weight of the former average, from 0 to below 1.
        warm_up: begins with smaller decays, (1 + n) / (10 + n) in update n, counted
            from 0, so that the initial values are soon forgotten.

    Raises:
        ConfigError: a decay out of range.

    Source: tf.train.ExponentialMovingAverage (`num_updates` is `warm_up`).

    >>> optimizer = optax.chain(optax.sgd(1.0), track_average(0.5))
    >>> params = {"w": jnp.zeros(())}
    >>> state = optimizer.init(params)
    >>> updates, state = optimizer.update({"w": jnp.ones(())}, state, params)
    >>> float(updates["w"]), float(state[1].average["w"])
    (-1.0, -0.5)
    """
    if not 0 <= decay < 1:
        raise ConfigError(
            Fault("track_average", f"got decay {decay}", code="range",
                  expected="0 or more, and less than 1")
        )  # fmt: skip

    def init(params: Any) -> AverageState:
        # Copies: the step gives away the memory of what it starts from.
        return AverageState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.copy, params))

    def update(
        updates: Any, state: Any, params: Any = None
    ) -> tuple[Any, AverageState]:
        if params is None:
            raise ValueError("track_average: update(updates, state, params) needs all.")
        count = state.steps.astype(jnp.float32)
        weight = jnp.minimum(decay, (1 + count) / (10 + count)) if warm_up else decay
        average = jax.tree.map(
            lambda a, p, u: a + ((1 - weight) * (p + u - a)).astype(a.dtype),
            state.average,
            params,
            updates,
        )
        return updates, AverageState(state.steps + 1, average)

    return optax.GradientTransformation(init, update)


def averaged(params: Mapping[str, Any], opt_state: Mapping[str, Any]) -> dict[str, Any]:
    """The averages that `track_average` kept, in place of the parameters.

    For `TPUEstimator(eval_params=averaged)`. Parameters that do not train have none and
    stay as they are.

    Args:
        params: by path.
        opt_state: the optimizer's arrays by name, as a checkpoint has them.

    Raises:
        ConfigError: the optimizer keeps no averages.

    >>> averaged({"w": 1, "b": 2}, {"[1]/steps": 7, "[1]/average/w": 3})
    {'w': 3, 'b': 2}
    """
    found = {
        path: opt_state[name]
        for path in params
        for name in opt_state
        if f"/{name}".endswith(f"/average/{path}")
    }
    if not found:
        raise ConfigError(
            Fault("eval_params", "the optimizer keeps no averages", code="average",
                  mend="Put specflow.optimizer.track_average(decay) last in its chain.")
        )  # fmt: skip
    return {**params, **found}
