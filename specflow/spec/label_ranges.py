"""Ranges of valid labels, which the data is checked against before training."""

import dataclasses
from typing import Any

import jax

from specflow.config.base import Target
from specflow.config.generated.other_losses import SigmoidCrossEntropyConfig
from specflow.config.sections.spec import DeclaredSpecConfig, SoftmaxCrossEntropyConfig
from specflow.diagnostics.errors import SpecError
from specflow.runtime.typing import Tree, is_floating
from specflow.spec.declared_model_fn import declared_predictions
from specflow.spec.key_paths import resolve

__all__ = ["LabelRange", "label_ranges"]


@dataclasses.dataclass(frozen=True, slots=True)
class LabelRange:
    """Range of the labels of a loss, both ends included."""

    path: str
    """Key path of the labels."""
    lowest: int
    """Smallest valid label."""
    highest: int
    """Largest valid label."""
    reason: str
    """Reason of the range, for the message: `spec.loss.<name> ...`."""


def label_ranges(
    config: DeclaredSpecConfig, *, features: Tree, labels: Tree, outputs: Tree
) -> list[LabelRange]:
    """Range of the labels of each loss that restricts them.

    Args:
        config: the `spec` section.
        features: concrete or abstract arrays, as the model function receives them.
        labels: likewise.
        outputs: outputs of the model for them; logits have classes on the last axis.

    >>> config = DeclaredSpecConfig.model_validate({
    ...     "inputs": {"x": "features.x"},
    ...     "predictions": {"class": {"name": "argmax"}},
    ...     "loss": {"ce": {"name": "softmax_cross_entropy"}},
    ... })
    >>> logits = jax.ShapeDtypeStruct((32, 10), "float32")
    >>> label_ranges(config, features={}, labels=None, outputs=logits)
    [LabelRange(path='labels', lowest=0, highest=9,
                reason='spec.loss.ce has logits of 10 classes')]
    """
    scope: dict[str, Any] = {"features": features, "labels": labels, "outputs": outputs}
    ranges: list[LabelRange] = []
    for name, loss in config.loss.items():
        where = f"spec.loss.{name}"
        if isinstance(loss, Target):
            continue
        if isinstance(loss, SigmoidCrossEntropyConfig):
            reason = f"{where} is between two classes"
            ranges.append(LabelRange(loss.labels, 0, 1, reason))
        if isinstance(loss, SoftmaxCrossEntropyConfig):
            logits = _abstract(config, loss.logits, scope, where=f"{where}.logits")
            if _is_soft(loss.labels, scope):
                continue
            classes = logits.shape[-1]
            reason = f"{where} has logits of {classes} classes"
            ranges.append(LabelRange(loss.labels, 0, classes - 1, reason))
    return ranges


def _is_soft(path: str, scope: dict[str, Any]) -> bool:
    """Labels are probabilities of classes."""
    labels = scope["labels"]
    if labels is None:
        return False
    try:
        return is_floating(resolve(path, scope, where="").dtype)
    except SpecError:
        return False  # Tracing reports it.


def _abstract(
    config: DeclaredSpecConfig, path: str, scope: dict[str, Any], *, where: str
) -> jax.ShapeDtypeStruct:
    """Shape and dtype of the tensor at a key path, predictions included."""

    def trace(scope: dict[str, Any]) -> Any:
        predictions = declared_predictions(config, scope)
        return resolve(path, {**scope, "predictions": predictions}, where=where)

    return jax.eval_shape(trace, scope)
