"""Predictions: tensors computed from the model's outputs."""

from typing import Any

import jax
import jax.numpy as jnp

from specflow.config.base import Component, Target
from specflow.config.key_path import key_paths
from specflow.config.sections.predictions_and_exports import (
    ExpConfig,
    IdentityConfig,
    RescaleConfig,
    SigmoidConfig,
    ThresholdConfig,
)
from specflow.config.sections.spec import ArgmaxConfig, PredictionConfig, SoftmaxConfig
from specflow.diagnostics.errors import Diagnostic, spec_error
from specflow.runtime.typing import describe, is_array
from specflow.spec.key_paths import Scope, resolve_all
from specflow.spec.label_scaling import rescaled

__all__ = ["predicted"]


def predicted(
    config: PredictionConfig,  # type: ignore[valid-type]
    scope: Scope,
    *,
    where: str,
) -> Any:
    """Computes a declared prediction.

    Args:
        config: the prediction. A `_target_` is called with its arguments, key paths
            among them replaced by their tensors; a plugin with its tensors.
        scope: tensors by root.
        where: config key of the prediction, such as `spec.predictions.class`.

    Raises:
        SpecError: a key path names no tensor, a tensor has no axis of classes, or a
            `_target_` returned no tensor.

    >>> scope = {"outputs": jnp.array([[0.1, 0.7, 0.2]])}
    >>> predicted(ArgmaxConfig(), scope, where="spec.predictions.class").tolist()
    [1]
    """
    tensors = resolve_all(key_paths(config), scope, where=where)
    if isinstance(config, Target | Component):
        result = config(**tensors)
        if not is_array(result):
            raise spec_error(
                Diagnostic(
                    where,
                    f"{config.path} returned {describe(result)}",
                    expected="a tensor, first axis the batch",
                    kind=TypeError,
                    code="target-result",
                )
            )
        return result
    value = tensors["of"]
    match config:
        case SoftmaxConfig():
            _check_classes(value, config.of, where=where)
            return jax.nn.softmax(value.astype(jnp.float32), axis=-1)
        case ArgmaxConfig():
            _check_classes(value, config.of, where=where)
            return jnp.argmax(value, axis=-1).astype(jnp.int32)
        case SigmoidConfig():
            return jax.nn.sigmoid(_single(value).astype(jnp.float32))
        case ThresholdConfig(at=at):
            return (_single(value) >= at).astype(jnp.int32)
        case ExpConfig():
            return jnp.exp(_single(value).astype(jnp.float32))
        case IdentityConfig():
            return _single(value)
        case RescaleConfig():
            return rescaled(config, _single(value).astype(jnp.float32))
    raise TypeError(f"not a prediction config: {config!r}")


def _single(value: Any) -> Any:
    """Drops a last axis of size 1, unless it is the batch."""
    return value[..., 0] if value.ndim > 1 and value.shape[-1] == 1 else value


def _check_classes(value: Any, path: str, *, where: str) -> None:
    """Raises if a tensor has no axis beside the batch."""
    if value.ndim < 2:
        raise spec_error(
            Diagnostic(
                where,
                f"{path} is {describe(value)}",
                expected="a batch of scores, one for each class on the last axis",
                hint="For one score per example use sigmoid or threshold.",
                code="spec-shapes",
            )
        )
