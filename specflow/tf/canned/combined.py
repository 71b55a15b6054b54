"""Wide-and-deep estimators: the sum of a linear model and a dense network."""

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
from specflow.tf.canned.default_optimizers import adagrad, by_part, ftrl
from specflow.tf.canned.feature_columns import Categorical
from specflow.tf.heads import Head, LossReduction
from specflow.tf.heads.class_names import Vocabulary

__all__ = ["DNNLinearCombinedClassifier", "DNNLinearCombinedRegressor"]


class _Combined(CannedEstimator):
    def __init__(
        self,
        head: Head,
        *,
        net: Mapping[str, Any],
        optimizers: tuple[
            optax.GradientTransformation | None, optax.GradientTransformation | None
        ],
        **estimator: Any,
    ):
        linear, dnn = optimizers

        def optimizer(features: int) -> optax.GradientTransformation:
            return by_part(linear or ftrl(features), dnn or adagrad())

        super().__init__(
            head, Net(head.logits_dimension, wide=True, **net), optimizer, **estimator
        )


class DNNLinearCombinedClassifier(_Combined):
    """Wide-and-deep classifier: a linear and a dense model, summed, trained jointly.

    Features are an array or a (nested) dict of arrays, rows first. Features named in
    `categorical` are category indices; all others are numeric: they are flattened and
    concatenated in the order of their names. Scale them first: the model does not.

    Predictions and metrics are those of `BinaryClassHead` or `MultiClassHead`. String
    labels need a `label_vocabulary`; predictions contain them as `classes`.

    Args:
        dnn_hidden_units: widths of the hidden layers.
        n_classes: number of classes; labels are class indices.
        categorical: name -> `Categorical`, for features that are category indices.
        linear_features: names of the features of the linear part; None: all.
        dnn_features: names of the features of the dense part; None: all.
        linear_optimizer: optimizer of `linear.*`; None: `tf.optimizers.ftrl` at 0.2,
            or at 1 / sqrt(features) if that is less.
        dnn_optimizer: optimizer of `dnn.*`; None: `tf.optimizers.adagrad` at 0.05.
            The learning rates of TensorFlow's combined estimators are those of the two
            parts alone divided by 40 and 50, too low for a short run.
        dnn_activation_fn: activation of each hidden layer.
        dnn_dropout: dropout rate of the hidden units in training; None: no dropout.
        batch_norm: whether to apply batch normalization after each hidden layer.
        label_vocabulary: label of each class, strings or integers.
        weight_column: feature with the weight of each example; no input of the model.
        loss_reduction: denominator of the sum of weighted losses.
        **estimator: other arguments of `Estimator`: model_dir, config,
            train_batch_size, mesh, ...

    Raises:
        SpecError: an argument or a feature is invalid.

    >>> import numpy as np
    >>> features = {"size": np.array([1.0, 2.0, 3.0, 4.0]), "colour": np.arange(4) % 2}
    >>> estimator = DNNLinearCombinedClassifier(
    ...     [4],
    ...     categorical={"colour": Categorical(2)},
    ...     linear_features=["colour"],
    ...     train_batch_size=4,
    ...     use_tpu=False,
    ... )
    >>> _ = estimator.train(lambda: (features, np.array([0, 1, 0, 1])), steps=1)
    >>> sorted(estimator.program.model.abstract_params)[-2:]
    ['linear.bias', 'linear.category_colour.embedding']

    Source: tf.estimator.DNNLinearCombinedClassifier, TensorFlow 2.15.
    """

    def __init__(
        self,
        dnn_hidden_units: Sequence[int],
        n_classes: int = 2,
        *,
        categorical: Mapping[str, Categorical] | None = None,
        linear_features: Sequence[str] | None = None,
        dnn_features: Sequence[str] | None = None,
        linear_optimizer: optax.GradientTransformation | None = None,
        dnn_optimizer: optax.GradientTransformation | None = None,
        dnn_activation_fn: Callable[[Array], Array] = jax.nn.relu,
        dnn_dropout: float | None = None,
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
            net={
                "categorical": dict(categorical or {}),
                "wide_features": linear_features,
                "deep_features": dnn_features,
                "deep": {
                    "hidden_units": tuple(dnn_hidden_units),
                    "activation_fn": dnn_activation_fn,
                    "dropout": dnn_dropout,
                    "batch_norm": batch_norm,
                },
            },
            optimizers=(linear_optimizer, dnn_optimizer),
            **estimator,
        )


class DNNLinearCombinedRegressor(_Combined):
    """Wide-and-deep regression: a linear and a dense model, summed, trained jointly.

    Features are those of `DNNLinearCombinedClassifier`; predictions and metrics
    those of `RegressionHead`.

    Args:
        dnn_hidden_units: widths of the hidden layers.
        label_dimension: number of values per example.
        categorical: name -> `Categorical`, for features that are category indices.
        linear_features: names of the features of the linear part; None: all.
        dnn_features: names of the features of the dense part; None: all.
        linear_optimizer: optimizer of `linear.*`; None: `tf.optimizers.ftrl` at 0.2,
            or at 1 / sqrt(features) if that is less.
        dnn_optimizer: optimizer of `dnn.*`; None: `tf.optimizers.adagrad` at 0.05.
            The learning rates of TensorFlow's combined estimators are those of the two
            parts alone divided by 40 and 50, too low for a short run.
        dnn_activation_fn: activation of each hidden layer.
        dnn_dropout: dropout rate of the hidden units in training; None: no dropout.
        batch_norm: whether to apply batch normalization after each hidden layer.
        weight_column: feature with the weight of each example; no input of the model.
        loss_reduction: denominator of the sum of weighted losses.
        **estimator: other arguments of `Estimator`: model_dir, config,
            train_batch_size, mesh, ...

    Raises:
        SpecError: an argument or a feature is invalid.

    Source: tf.estimator.DNNLinearCombinedRegressor, TensorFlow 2.15.
    """

    def __init__(
        self,
        dnn_hidden_units: Sequence[int],
        label_dimension: int = 1,
        *,
        categorical: Mapping[str, Categorical] | None = None,
        linear_features: Sequence[str] | None = None,
        dnn_features: Sequence[str] | None = None,
        linear_optimizer: optax.GradientTransformation | None = None,
        dnn_optimizer: optax.GradientTransformation | None = None,
        dnn_activation_fn: Callable[[Array], Array] = jax.nn.relu,
        dnn_dropout: float | None = None,
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
            net={
                "categorical": dict(categorical or {}),
                "wide_features": linear_features,
                "deep_features": dnn_features,
                "deep": {
                    "hidden_units": tuple(dnn_hidden_units),
                    "activation_fn": dnn_activation_fn,
                    "dropout": dnn_dropout,
                    "batch_norm": batch_norm,
                },
            },
            optimizers=(linear_optimizer, dnn_optimizer),
            **estimator,
        )
