"""Losses: a value for each example or token, and their weighted mean."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Num

from specflow.config.base import Component, Target
from specflow.config.common.loss_fields import LossBaseConfig
from specflow.config.key_path import key_paths
from specflow.config.sections.spec import LossConfig
from specflow.contract import MeanLoss
from specflow.diagnostics.errors import Diagnostic, spec_error
from specflow.runtime.typing import describe, is_array, is_floating
from specflow.spec import loss_functions
from specflow.spec.key_paths import Scope, resolve, resolve_all
from specflow.spec.mixing import Mixture

__all__ = ["example_losses", "loss_weights", "mean_loss"]


def example_losses(
    config: LossConfig,  # type: ignore[valid-type]
    scope: Scope,
    *,
    where: str,
    mixture: Mixture | None = None,
) -> Float[Array, "b ..."]:
    """Computes a declared loss without reduction: a float32 for each example or token.

    Args:
        config: the loss. A `_target_` is called with its arguments, key paths among
            them replaced by their tensors; a plugin with its tensors.
        scope: tensors by root.
        where: config key of the loss, such as `spec.loss.cross_entropy`.
        mixture: of the rows, whose labels are mixed; None: they are not.

    Raises:
        SpecError: a key path names no tensor; shapes or dtypes do not match.

    >>> from specflow.config.generated.other_losses import SquaredErrorConfig
    >>> scope = {"outputs": jnp.array([[2.0], [0.0]]), "labels": jnp.array([1.0, 0.5])}
    >>> example_losses(SquaredErrorConfig(), scope, where="spec.loss.mse").tolist()
    [1.0, 0.25]
    """
    tensors = resolve_all(key_paths(config), scope, where=where)
    if isinstance(config, Target | Component):
        return _from_target(config, tensors, where=where)
    settings: Any = config
    tensors.pop("example_weights", None)  # `mean_loss` applies them.
    if settings.name == "softmax_cross_entropy":
        logits, labels = tensors["logits"], tensors["labels"]
        _check_classes(logits, labels, where=where)
        if mixture is not None:
            is_soft = is_floating(labels.dtype)
            tensors["labels"] = (
                mixture.of(labels)
                if is_soft
                else mixture.of_classes(labels, logits.shape[-1])
            )
    else:
        output = next(name for name in tensors if name != "labels")
        tensors[output], tensors["labels"] = _paired(tensors, output, where=where)
        if mixture is not None:
            tensors["labels"] = mixture.of(tensors["labels"])
    function = getattr(loss_functions, settings.name)
    fields = type(settings).model_fields.keys() - LossBaseConfig.model_fields.keys()
    constants = {name: getattr(settings, name) for name in fields - {"name"}}
    return function(**{**constants, **tensors})


def loss_weights(config: Any, scope: Scope, *, where: str) -> Num[Array, "..."] | None:
    """Weights of the examples of a loss: of samples, times those of their classes.

    Args:
        config: the loss.
        scope: tensors by root.
        where: config key of the loss.

    Returns:
        None if it declares none.

    >>> from specflow.config.sections.spec import SoftmaxCrossEntropyConfig
    >>> config = SoftmaxCrossEntropyConfig(class_weights=[1.0, 5.0])
    >>> loss_weights(config, {"labels": jnp.array([0, 1])}, where="loss").tolist()
    [1.0, 5.0]
    """
    path = getattr(config, "example_weights", None)
    weights = resolve(path, scope, where=f"{where}.example_weights") if path else None
    if (of_classes := getattr(config, "class_weights", None)) is None:
        return weights
    labels = resolve(config.labels, scope, where=f"{where}.labels")
    table = jnp.array(of_classes, jnp.float32)
    of_labels = table.at[labels.astype(jnp.int32)].get(mode="clip")
    return (
        of_labels
        if weights is None
        else of_labels
        * weights.reshape(*weights.shape, *(1,) * (of_labels.ndim - weights.ndim))
    )


def mean_loss(
    losses: Float[Array, "b ..."],
    weights: Num[Array, "..."] | None,
    mask: Bool[Array, " b"] | None,
    *,
    where: str,
) -> MeanLoss:
    """The weighted mean of the losses, padding left out.

    Args:
        losses: a value for each example or token.
        weights: weight of each example, "b", or of each value; None weights all by 1.
        mask: bool "b", False for padding; None if there is none. Padding and values of
            weight 0 contribute nothing, even if they are NaN.
        where: config key of the loss, for the message.

    Returns:
        The mean, whose value is 0 if all rows are padding or all weights are 0.

    Raises:
        SpecError: the weights have neither the losses' shape nor shape "b".

    >>> losses, mask = jnp.array([1.0, 3.0, 9.0]), jnp.array([True, True, False])
    >>> float(mean_loss(losses, None, mask, where="spec.loss.mse").value)
    2.0
    """
    if weights is None and mask is None:
        return MeanLoss(losses.sum(), losses.size)
    factors = jnp.ones_like(losses)
    if weights is not None:
        if weights.shape not in (losses.shape, losses.shape[:1]):
            raise spec_error(
                Diagnostic(
                    f"{where}.example_weights",
                    f"are {describe(weights)}, and the losses are {describe(losses)}",
                    expected="one weight for each example, or one for each loss",
                    code="spec-shapes",
                )
            )
        factors = factors * _spread(weights.astype(losses.dtype), losses)
    if mask is not None:
        factors = jnp.where(_spread(mask, losses), factors, 0.0)
    # Selected rather than multiplied: 0 x NaN of a padded row would be NaN.
    losses = jnp.where(factors != 0, losses, 0.0)
    return MeanLoss((losses * factors).sum(), factors.sum())


def _spread(values: Array, losses: Array) -> Array:
    """Broadcasts one value for each example over the losses' other axes."""
    if values.shape == losses.shape:
        return values
    ones = (1,) * (losses.ndim - 1)
    return jnp.broadcast_to(values.reshape(-1, *ones), losses.shape)


def _paired(
    tensors: dict[str, Any], name: str, *, where: str
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """A tensor of the model and the labels, both in float32 and of the same shape."""
    outputs, labels = tensors[name], tensors["labels"]
    if outputs.shape == (*labels.shape, 1):
        outputs = outputs[..., 0]
    if outputs.shape != labels.shape:
        raise spec_error(
            Diagnostic(
                where,
                f"{name} are {describe(outputs)}, labels are {describe(labels)}",
                expected="equal shapes, except for a last axis of size 1",
                code="spec-shapes",
            )
        )
    return outputs.astype(jnp.float32), labels.astype(jnp.float32)


def _check_classes(logits: Any, labels: Any, *, where: str) -> None:
    """Raises if the logits have no axis of classes, or the labels are no integers."""
    both = f"logits are {describe(logits)}, labels are {describe(labels)}"
    diagnostics: list[Diagnostic] = []
    is_soft = is_floating(labels.dtype) and logits.shape == labels.shape
    is_soft = is_soft and labels.ndim > 1
    if not (is_soft or jnp.issubdtype(labels.dtype, jnp.integer)):
        diagnostics.append(
            Diagnostic(
                where,
                both,
                expected="integer labels, the index of a class; or probabilities of "
                "the logits' shape",
                hint="For numeric targets use squared_error.",
                kind=TypeError,
                code="spec-shapes",
            )
        )
    elif not is_soft and (logits.shape[:-1] != labels.shape or not logits.shape):
        hint = ""
        if logits.shape == labels.shape:
            hint = "The logits have no axis of classes: end with one output per class."
        elif labels.shape == (*logits.shape[:-1], 1):
            hint = "Drop the labels' last axis."
        expected = "logits of the labels' shape with a last axis of classes"
        diagnostics.append(
            Diagnostic(where, both, expected=expected, hint=hint, code="spec-shapes")
        )
    elif logits.shape[-1] == 1:
        hint = "For one logit per example use sigmoid_cross_entropy."
        diagnostics.append(
            Diagnostic(
                where,
                both,
                expected="two classes or more",
                hint=hint,
                code="spec-shapes",
            )
        )
    if diagnostics:
        raise spec_error(*diagnostics)


def _from_target(
    config: Target | Component, tensors: dict[str, Any], *, where: str
) -> Float[Array, "b ..."]:
    """Calls a user's loss, and checks that it is not reduced."""
    losses = config(**tensors)
    batch = {tensor.shape[0] for tensor in tensors.values() if tensor.shape}
    if not is_array(losses) or not losses.shape or losses.shape[0] not in batch:
        arguments = ", ".join(f"{name} {describe(t)}" for name, t in tensors.items())
        raise spec_error(
            Diagnostic(
                where,
                f"{config.path} returned {describe(losses)} for {arguments}",
                expected="one value for each example, first axis the batch",
                hint="Return losses without reduction: the spec averages them, without "
                "padding.",
                code="target-result",
            )
        )
    return losses.astype(jnp.float32)
