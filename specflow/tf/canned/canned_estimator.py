"""Base of the canned estimators: a head, a network, and string labels."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np
import optax
from flax import linen as nn

from specflow.config.estimator_record import CannedRecord
from specflow.contract import Mode, TPUEstimatorSpec
from specflow.estimator import Estimator
from specflow.runtime.typing import Tree, is_array
from specflow.tf.canned.canned_record import canned_record
from specflow.tf.canned.feature_columns import named
from specflow.tf.heads import (
    BinaryClassHead,
    Classes,
    Head,
    LossReduction,
    MultiClassHead,
    RegressionHead,
)
from specflow.tf.heads.class_names import Vocabulary

__all__ = ["CannedEstimator", "classifier_head", "regression_head"]


class CannedEstimator(Estimator):
    """Estimator of a network and a head.

    Args:
        head: loss, predictions and metrics of the network's logits.
        net: the network, called with `(features, train=...)`.
        optimizer: number of features -> optax transformation.
        **estimator: other arguments of `Estimator`: model_dir, config,
            train_batch_size, mesh, ...
    """

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]
    """Arguments of the call that made the estimator, for its record."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        estimator = super().__new__(cls)
        estimator._arguments = args, kwargs
        return estimator

    def __init__(
        self,
        head: Head,
        net: nn.Module,
        optimizer: Callable[[int], optax.GradientTransformation],
        **estimator: Any,
    ):
        def model_fn(
            model: Any, features: Tree, labels: Any, mode: Mode, mask: Any = None
        ) -> TPUEstimatorSpec:
            inputs = _without(features, head.weight_column)
            training = mode is Mode.TRAIN
            return head.spec(
                mode,
                features=features,
                logits=model(inputs, train=training),
                labels=labels,
                train_op=optimizer(len(named(inputs))) if training else None,
                mask=mask,
            )

        super().__init__(model_fn, model=net, **estimator)
        self.head = head

    def _canned(self) -> tuple[CannedRecord, dict[str, str]] | None:
        args, kwargs = self._arguments
        return canned_record(type(self), *args, **kwargs)

    @property
    def _texts(self) -> Classes | None:
        """The classes, if their labels are strings."""
        classes = getattr(self.head, "classes", None)
        return classes if isinstance(classes, Classes) and classes.is_text else None

    def predict(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        rows, classes = super().predict(*args, **kwargs), self._texts
        if classes is None:
            return rows
        return (
            {
                name: classes.decode(value)
                if name in ("classes", "all_classes")
                else value
                for name, value in row.items()
            }
            for row in rows
        )

    predict.__doc__ = Estimator.predict.__doc__

    def _asked(self, *args: Any, **kwargs: Any) -> Any:
        value, classes = super()._asked(*args, **kwargs), self._texts
        if classes is None:
            return value
        if isinstance(value, tuple):
            return _encoded(value, classes)
        if is_array(value) or isinstance(value, Mapping):
            return value
        if hasattr(value, "take"):  # A source holds numbers only.
            return value
        return (_encoded(batch, classes) for batch in value)


def classifier_head(
    n_classes: int,
    *,
    weight_column: str | None,
    label_vocabulary: Vocabulary | None,
    loss_reduction: LossReduction | str,
) -> BinaryClassHead | MultiClassHead:
    """Builds the head of a classifier; two classes need one logit only."""
    if n_classes == 2:
        return BinaryClassHead(
            weight_column=weight_column,
            label_vocabulary=label_vocabulary,
            loss_reduction=loss_reduction,
        )
    return MultiClassHead(
        n_classes,
        weight_column=weight_column,
        label_vocabulary=label_vocabulary,
        loss_reduction=loss_reduction,
    )


def regression_head(
    label_dimension: int,
    *,
    weight_column: str | None,
    loss_reduction: LossReduction | str,
) -> RegressionHead:
    """Builds the head of a regressor."""
    return RegressionHead(
        label_dimension=label_dimension,
        weight_column=weight_column,
        loss_reduction=loss_reduction,
    )


def _without(features: Tree, name: str | None) -> Tree:
    if name is None or not isinstance(features, Mapping):
        return features
    return {key: value for key, value in features.items() if key != name}


def _encoded(batch: Any, classes: Classes) -> Any:
    """Encodes the string labels of a batch as class indices."""
    if not isinstance(batch, tuple) or len(batch) != 2 or batch[1] is None:
        return batch
    features, labels = batch
    if np.asarray(labels).dtype.kind not in "OSU":
        return batch
    return features, classes.encode(labels)
