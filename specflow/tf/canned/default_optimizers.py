"""Default optimizers of the canned estimators: those of TensorFlow."""

from typing import Any

import jax
import optax

from specflow.optimizer import with_learning_rate
from specflow.optimizer.rates import rates_of_parts
from specflow.tf import optimizers

__all__ = ["adagrad", "by_part", "ftrl"]


def ftrl(features: int) -> optax.GradientTransformation:
    """Builds FTRL with learning rate min(0.2, 1 / sqrt(features))."""
    return optimizers.ftrl(min(0.2, features**-0.5))


def adagrad() -> optax.GradientTransformation:
    """Builds Adagrad with learning rate 0.05."""
    return optimizers.adagrad(0.05)


def by_part(
    linear: optax.GradientTransformation, dnn: optax.GradientTransformation
) -> optax.GradientTransformation:
    """Partitions parameters: one optimizer for `linear.*`, one for `dnn.*`."""

    def part_of(path: tuple[Any, ...], _: Any) -> str:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        return name.partition(".")[0]

    def parts(params: Any) -> Any:
        return jax.tree_util.tree_map_with_path(part_of, params)

    part_optimizers = {"linear": linear, "dnn": dnn}
    partitioned = optax.partition({**part_optimizers}, parts)
    return with_learning_rate(partitioned, rates_of_parts(part_optimizers))
