"""Canned estimators of dense networks."""

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
        transformation = adagrad() if optimizer is None else optimizer
        super().__init__(
            head,
            Net(head.logits_dimension, categorical, deep=deep),
            lambda features: transformation,
            **estimator,
        )


class DNNClassifier(_Dnn):
    """Classifier with dense layers.

    Features are an array or a (nested) dict of arrays, rows first. Features named in
    `categorical` are category indices; all others are numeric: they are flattened and
    concatenated in the order of their names. Scale them first: the model does not.

    Predictions and metrics are those of `BinaryClassHead` or `MultiClassHead`. String
    labels need a `label_vocabulary`; predictions contain them as `classes`.

    Args:
        hidden_units: widths of the hidden layers.
        n_classes: number of classes; labels are class indices.
        categorical: name -> `Categorical`, for features that are category indices.
        optimizer: optax transformation; None: `tf.optimizers.adagrad` at 0.05.
        activation_fn: activation of each hidden layer.
        dropout: dropout rate of the hidden units in training; None: no dropout.
        batch_norm: whether to apply batch normalization after each hidden layer.
        label_vocabulary: label of each class, strings or integers.
        weight_column: feature with the weight of each example; no input of the model.
        loss_reduction: denominator of the sum of weighted losses.
        **estimator: other arguments of `Estimator`: model_dir, config,
            train_batch_size, mesh, ...

    Raises:
        SpecError: an argument or a feature is invalid.

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
    """Regression with dense layers.

    Features are those of `DNNClassifier`; predictions and metrics those of
    `RegressionHead`.

    Args:
        hidden_units: widths of the hidden layers.
        label_dimension: number of values per example.
        categorical: name -> `Categorical`, for features that are category indices.
        optimizer: optax transformation; None: `tf.optimizers.adagrad` at 0.05.
        activation_fn: activation of each hidden layer.
        dropout: dropout rate of the hidden units in training; None: no dropout.
        batch_norm: whether to apply batch normalization after each hidden layer.
        weight_column: feature with the weight of each example; no input of the model.
        loss_reduction: denominator of the sum of weighted losses.
        **estimator: other arguments of `Estimator`: model_dir, config,
            train_batch_size, mesh, ...

    Raises:
        SpecError: an argument or a feature is invalid.

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
