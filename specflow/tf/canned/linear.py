"""Canned linear estimators."""

from collections.abc import Mapping
from typing import Any

import optax

from specflow.tf.canned.canned_estimator import (
    CannedEstimator,
    classifier_head,
    regression_head,
)
from specflow.tf.canned.canned_net import Net
from specflow.tf.canned.default_optimizers import ftrl
from specflow.tf.canned.feature_columns import Categorical
from specflow.tf.heads import Head, LossReduction
from specflow.tf.heads.class_names import Vocabulary

__all__ = ["LinearClassifier", "LinearRegressor"]


class _Linear(CannedEstimator):
    def __init__(
        self,
        head: Head,
        *,
        categorical: Mapping[str, Categorical],
        optimizer: optax.GradientTransformation | None,
        **estimator: Any,
    ):
        super().__init__(
            head,
            Net(head.logits_dimension, categorical, wide=True),
            ftrl if optimizer is None else lambda features: optimizer,
            **estimator,
        )


class LinearClassifier(_Linear):
    """Linear classifier: one weight per number and per category.

    Features are an array or a (nested) dict of arrays, rows first. Features named in
    `categorical` are category indices; all others are numeric: they are flattened and
    concatenated in the order of their names. Scale them first: the model does not.

    Predictions and metrics are those of `BinaryClassHead` or `MultiClassHead`. String
    labels need a `label_vocabulary`; predictions contain them as `classes`.

    Args:
        n_classes: number of classes; labels are class indices.
        categorical: name -> `Categorical`, for features that are category indices.
        optimizer: optax transformation; None: `tf.optimizers.ftrl` at 0.2, or at
            1 / sqrt(features) if that is less.
        label_vocabulary: label of each class, strings or integers.
        weight_column: feature with the weight of each example; no input of the model.
        loss_reduction: denominator of the sum of weighted losses.
        **estimator: other arguments of `Estimator`: model_dir, config,
            train_batch_size, mesh, ...

    Raises:
        SpecError: an argument or a feature is invalid.

    >>> import numpy as np
    >>> x = np.array([[-1.0], [1.0], [2.0], [-2.0]], np.float32)
    >>> y = np.array(["no", "yes", "yes", "no"])
    >>> estimator = LinearClassifier(
    ...     label_vocabulary=["no", "yes"], train_batch_size=4, use_tpu=False
    ... )
    >>> _ = estimator.train(lambda: (x, y), steps=20)
    >>> [str(row["classes"][0]) for row in estimator.predict(lambda: x)]
    ['no', 'yes', 'yes', 'no']

    Source: tf.estimator.LinearClassifier, TensorFlow 2.15.
    """

    def __init__(
        self,
        n_classes: int = 2,
        *,
        categorical: Mapping[str, Categorical] | None = None,
        optimizer: optax.GradientTransformation | None = None,
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
            **estimator,
        )


class LinearRegressor(_Linear):
    """Linear regression: one weight per number and per category.

    Features are those of `LinearClassifier`; predictions and metrics those of
    `RegressionHead`.

    Args:
        label_dimension: number of values per example.
        categorical: name -> `Categorical`, for features that are category indices.
        optimizer: optax transformation; None: `tf.optimizers.ftrl` at 0.2, or at
            1 / sqrt(features) if that is less.
        weight_column: feature with the weight of each example; no input of the model.
        loss_reduction: denominator of the sum of weighted losses.
        **estimator: other arguments of `Estimator`: model_dir, config,
            train_batch_size, mesh, ...

    Raises:
        SpecError: an argument or a feature is invalid.

    Source: tf.estimator.LinearRegressor, TensorFlow 2.15.
    """

    def __init__(
        self,
        label_dimension: int = 1,
        *,
        categorical: Mapping[str, Categorical] | None = None,
        optimizer: optax.GradientTransformation | None = None,
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
            **estimator,
        )
