"""Builds the model function that the `spec` section declares."""

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Bool

from specflow.config.key_path import key_paths
from specflow.config.sections.predictions_and_exports import RescaleConfig
from specflow.config.sections.spec import DeclaredSpecConfig
from specflow.contract import MeanLoss, Mode, TPUEstimatorSpec, TrainOp
from specflow.runtime.typing import Tree
from specflow.spec.exports import export_output
from specflow.spec.key_paths import Scope, resolve, resolve_all
from specflow.spec.label_scaling import scaled
from specflow.spec.losses import example_losses, loss_weights, mean_loss
from specflow.spec.mixing import Mixture, mixed_rows, next_key
from specflow.spec.model_inputs import call_model
from specflow.spec.output_parts import divided
from specflow.spec.predictions import predicted
from specflow.spec.row_mask import gated

__all__ = [
    "build_model_fn",
    "declared_predictions",
    "eval_tensors",
    "model_inputs",
    "model_outputs",
]


def build_model_fn(
    config: DeclaredSpecConfig,
    *,
    optimizer: Any,
    metric_fn: Callable[..., Any] | None = None,
) -> Callable[..., TPUEstimatorSpec]:
    """Builds a model function whose spec has the declared fields.

    Args:
        config: the `spec` section.
        optimizer: optax transformation of the parameters that `train_op.wrt` selects.
        metric_fn: called on the host with the tensors that `eval_metrics` read, by key
            path: `metric_fn(**{"labels": ..., "predictions.class": ...})`.

    Returns:
        `model_fn(model, features, labels, mode, mask=None)`. The mask, bool "b",
        marks the rows that are no padding; the loss is the mean over those.

    >>> import numpy as np
    >>> config = DeclaredSpecConfig.model_validate({
    ...     "inputs": {"x": "features.x"},
    ...     "predictions": {"value": {"name": "identity"}},
    ...     "loss": {"mse": {"name": "squared_error"}},
    ... })
    >>> model_fn = build_model_fn(config, optimizer=None)
    >>> features, labels = {"x": np.array([[1.0], [2.0]])}, np.array([1.0, 4.0])
    >>> spec = model_fn(lambda x: x, features, labels, "eval")
    >>> float(spec.loss)
    2.0
    """

    def model_fn(
        model: Callable[..., Any],
        features: Tree,
        labels: Tree,
        mode: Mode | str,
        mask: Bool[Array, " b"] | None = None,
    ) -> TPUEstimatorSpec:
        mode = Mode(mode)
        scope: dict[str, Tree] = {"features": features, "labels": labels}
        train = mode is Mode.TRAIN
        mixture: Mixture | None = None
        if train and config.mix is not None:
            paths = config.mix.of or _features(config)
            key = next_key(model)
            scope["features"], mixture = mixed_rows(config.mix, paths, scope, key)
        scope["outputs"] = model_outputs(config, model, scope, train=train)
        scope["predictions"] = declared_predictions(config, scope)
        if mode is Mode.PREDICT:
            return TPUEstimatorSpec(
                mode=mode,
                predictions=scope["predictions"],
                export_outputs=_exports(config, scope),
            )
        scope["targets"] = _targets(config, scope)
        loss, scope["losses"] = _losses(
            config, scope, mask, train=train, mixture=mixture
        )
        return TPUEstimatorSpec(
            mode=mode,
            predictions=scope["predictions"],
            loss=loss,
            train_op=_train_op(config, optimizer) if mode is Mode.TRAIN else None,
            eval_metrics=(
                (metric_fn, _eval_tensors(config, scope))
                if mode is Mode.EVAL and metric_fn is not None
                else None
            ),
        )

    return model_fn


def model_inputs(config: DeclaredSpecConfig, scope: Scope) -> dict[str, Tree]:
    """Argument of the model -> tensor, as `spec.inputs` declares; may be abstract."""
    return resolve_all(config.inputs, scope, where="spec.inputs", trees=True)


def model_outputs(
    config: DeclaredSpecConfig,
    model: Callable[..., Any],
    scope: Scope,
    *,
    train: bool = False,
) -> Tree:
    """Calls the model with its declared inputs and returns its outputs."""
    outputs = call_model(model, model_inputs(config, scope), train=train)
    return divided(outputs, config.outputs) if config.outputs else outputs


def declared_predictions(config: DeclaredSpecConfig, scope: Scope) -> dict[str, Any]:
    """Computes the predictions in order; each may read the ones before it."""
    predictions: dict[str, Any] = {}
    for name, member in config.predictions.items():
        predictions[name] = predicted(
            member,
            {**scope, "predictions": predictions},
            where=f"spec.predictions.{name}",
        )
    return predictions


def eval_tensors(
    config: DeclaredSpecConfig, *, features: Tree, labels: Tree, outputs: Tree
) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and dtypes of the tensors that the metrics read, by key path.

    Args:
        config: the `spec` section.
        features: concrete or abstract arrays, as the model function receives them.
        labels: likewise.
        outputs: outputs of the model for them.

    Raises:
        SpecError: a key path names no tensor, or the tensors of a loss do not match.
    """

    def trace(scope: dict[str, Tree]) -> dict[str, Any]:
        scope = {**scope, "predictions": declared_predictions(config, scope)}
        scope["targets"] = _targets(config, scope)
        _, scope["losses"] = _losses(config, scope, None, train=False)
        return _eval_tensors(config, scope)

    scope = {"features": features, "labels": labels, "outputs": outputs}
    return jax.eval_shape(trace, scope)


def _targets(config: DeclaredSpecConfig, scope: Scope) -> dict[str, Any]:
    """Labels of the predictions of the kind `rescale`, in the units of the outputs."""
    targets: dict[str, Any] = {}
    for name, member in config.predictions.items():
        if isinstance(member, RescaleConfig):
            where = f"spec.predictions.{name}.labels"
            targets[name] = scaled(member, resolve(member.labels, scope, where=where))
    return targets


def _losses(
    config: DeclaredSpecConfig,
    scope: Scope,
    mask: Bool[Array, " b"] | None,
    *,
    train: bool,
    mixture: Mixture | None = None,
) -> tuple[MeanLoss, dict[str, jax.Array]]:
    """The weighted sum of the mean losses, and each loss before reduction."""
    means, unreduced = [], {}
    for name, member in config.loss.items():
        where = f"spec.loss.{name}"
        weights = loss_weights(member, scope, where=where)
        if mixture is not None and weights is not None:
            weights = mixture.of(weights)
        loss_scope = _gated(scope, weights, mask) if train else scope
        unreduced[name] = example_losses(
            member, loss_scope, where=where, mixture=mixture
        )
        mean = mean_loss(unreduced[name], weights, mask, where=where)
        means.append(getattr(member, "weight", 1.0) * mean)
    return functools.reduce(operator.add, means), unreduced


def _features(config: DeclaredSpecConfig) -> list[str]:
    """Key paths of the features that the model gets."""
    paths = config.inputs.values()
    return [path for path in paths if path.split(".")[0] == "features"]


def _gated(scope: Scope, weights: Any, mask: Bool[Array, " b"] | None) -> Scope:
    """The tensors, with the gradient of padding and of weights of 0 stopped."""
    counted = mask
    if weights is not None and weights.ndim:
        counted = weights != 0
        if mask is not None and counted.shape[:1] == mask.shape:
            counted &= mask.reshape(-1, *(1,) * (counted.ndim - 1))
    if counted is None:
        return scope
    of_model = {
        root: scope[root] for root in ("outputs", "predictions") if root in scope
    }
    return {**scope, **gated(of_model, counted)}


def _exports(config: DeclaredSpecConfig, scope: Scope) -> dict[str, Any] | None:
    """The declared export outputs; None, which selects all predictions, without any."""
    return {
        name: export_output(member, scope, where=f"spec.export_outputs.{name}")
        for name, member in config.export_outputs.items()
    } or None


def _eval_tensors(config: DeclaredSpecConfig, scope: Scope) -> dict[str, Any]:
    """Key path -> tensor, for every path that a metric reads."""
    tensors: dict[str, Any] = {}
    for name, member in config.eval_metrics.items():
        paths = key_paths(member)
        fields = resolve_all(paths, scope, where=f"spec.eval_metrics.{name}")
        tensors |= {paths[field]: tensor for field, tensor in fields.items()}
    return tensors


def _train_op(config: DeclaredSpecConfig, optimizer: Any) -> TrainOp:
    """The optimizer with the declared globs of its parameters."""
    return TrainOp(optimizer, wrt=config.train_op.wrt, frozen=config.train_op.frozen)
