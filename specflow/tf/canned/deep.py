"""Dense nets."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import optax
from jaxtyping import Array

from specflow.tf.canned.canned_estimator import (
    CannedEstimator,
    classifier_head,
    regression_head,
)
from specflow.tf.canned.canned_net import Net
from specflow.tf.canned.default_optimizers import adagrad
from specflow.tf.canned.feature_columns import Categorical
from specflow.tf.heads import Head, LossReduction
from specflow.tf.heads.class_names import Vocabulary

__all__ = ["DNNClassifier", "DNNRegressor"]


class _Dnn(CannedEstimator):
    def __init__(
        self,
        head: Head,
        *,
        categorical: Mapping[str, Categorical],
        optimizer: optax.GradientTransformation | None,
        deep: Mapping[str, Any],
        **estimator: Any,
    ):
        trained_by = adagrad() if optimizer is None else optimizer
        super().__init__(
            head,
            Net(head.logits_dimension, categorical, deep=deep),
            lambda features: trained_by,
            **estimator,
        )


class DNNClassifier(_Dnn):
    """A classifier of dense layers.

    Features are an array or a (nested) dict of arrays, rows first. Those that
    `categorical` names are numbers of categories; all others are numbers, which are
    flattened and joined in the order of their names. Scale them: nothing does it here.

    Predictions and metrics are those of `BinaryClassHead` or `MultiClassHead`. Labels
    that are texts need a `label_vocabulary`; predictions name the classes by them.

    Args:
        hidden_units: widths of the hidden layers.
        n_classes: how many classes; labels are their indices.
        categorical: name -> `Categorical`, of features that are categories.
        optimizer: trains the net; None: `tf.optimizers.adagrad` at 0.05.
        activation_fn: what stands after each hidden layer.
        dropout: share of the hidden units dropped while training; None: none.
        batch_norm: whether hidden units are normalized over the batch, after dropout.
        label_vocabulary: the label of each class, texts or integers.
        weight_column: feature that weighs each example; the model does not see it.
        loss_reduction: what the sum of the weighted losses is divided by.
        **estimator: what else a `TPUEstimator` takes: model_dir, config,
            train_batch_size, mesh, ...

    Raises:
        SpecError: an argument, or a feature, is not what it should be.

    >>> import numpy as np
    >>> corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    >>> estimator = DNNClassifier(
    ...     [16, 8], optimizer=optax.adam(0.05), train_batch_size=4, use_tpu=False
    ... )
    >>> _ = estimator.train(lambda: (corners, np.array([0, 1, 1, 0])), steps=100)
    >>> [int(row["class_ids"][0]) for row in estimator.predict(lambda: corners)]
    [0, 1, 1, 0]

    Source: tf.estimator.DNNClassifier, TensorFlow 2.15.
    """

    def __init__(
        self,
        hidden_units: Sequence[int],
        n_classes: int = 2,
        *,
        categorical: Mapping[str, Categorical] | None = None,
        optimizer: optax.GradientTransformation | None = None,
        activation_fn: Callable[[Array], Array] = jax.nn.relu,
        dropout: float | None = None,
        batch_norm: bool = False,
        label_vocabulary: Vocabulary | None = None,
        weight_column: str | None = None,
        loss_reduction: LossReduction | str = LossReduction.SUM_OVER_BATCH_SIZE,
        **estimator: Any,
    ):
        head = classifier_head(
            n_classes,
            weight_column=weight_column,
            label_vocabulary=label_vocabulary,
            loss_reduction=loss_reduction,
        )
        super().__init__(
            head,
            categorical=dict(categorical or {}),
            optimizer=optimizer,
            deep={
                "hidden_units": tuple(hidden_units),
                "activation_fn": activation_fn,
                "dropout": dropout,
                "batch_norm": batch_norm,
            },
            **estimator,
        )


class DNNRegressor(_Dnn):
    """A regression by dense layers.

    Features are those of `DNNClassifier`; predictions and metrics those of
    `RegressionHead`.

    Args:
        hidden_units: widths of the hidden layers.
        label_dimension: how many numbers an example has.
        categorical: name -> `Categorical`, of features that are categories.
        optimizer: trains the net; None: `tf.optimizers.adagrad` at 0.05.
        activation_fn: what stands after each hidden layer.
        dropout: share of the hidden units dropped while training; None: none.
        batch_norm: whether hidden units are normalized over the batch, after dropout.
        weight_column: feature that weighs each example; the model does not see it.
        loss_reduction: what the sum of the weighted losses is divided by.
        **estimator: what else a `TPUEstimator` takes: model_dir, config,
            train_batch_size, mesh, ...

    Raises:
        SpecError: an argument, or a feature, is not what it should be.

    Source: tf.estimator.DNNRegressor, TensorFlow 2.15.
    """

    def __init__(
        self,
        hidden_units: Sequence[int],
        label_dimension: int = 1,
        *,
        categorical: Mapping[str, Categorical] | None = None,
        optimizer: optax.GradientTransformation | None = None,
        activation_fn: Callable[[Array], Array] = jax.nn.relu,
        dropout: float | None = None,
        batch_norm: bool = False,
        weight_column: str | None = None,
        loss_reduction: LossReduction | str = LossReduction.SUM_OVER_BATCH_SIZE,
        **estimator: Any,
    ):
        head = regression_head(
            label_dimension, weight_column=weight_column, loss_reduction=loss_reduction
        )
        super().__init__(
            head,
            categorical=dict(categorical or {}),
            optimizer=optimizer,
            deep={
                "hidden_units": tuple(hidden_units),
                "activation_fn": activation_fn,
                "dropout": dropout,
                "batch_norm": batch_norm,
            },
            **estimator,
        )
