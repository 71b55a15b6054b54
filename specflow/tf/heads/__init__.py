"""Heads: loss, predictions and metrics of a model's logits, under TensorFlow's names.

A head is the last line of a model function: it builds the spec of a mode from the
logits.
"""

from specflow.tf.heads.binary_class import BinaryClassHead
from specflow.tf.heads.class_names import Classes
from specflow.tf.heads.head import Head
from specflow.tf.heads.loss_reduction import LossReduction
from specflow.tf.heads.multi_class import MultiClassHead
from specflow.tf.heads.multi_label import MultiLabelHead
from specflow.tf.heads.next_token import LanguageHead
from specflow.tf.heads.regression_head import PoissonRegressionHead, RegressionHead

__all__ = [
    "BinaryClassHead",
    "Classes",
    "Head",
    "LanguageHead",
    "LossReduction",
    "MultiClassHead",
    "MultiLabelHead",
    "PoissonRegressionHead",
    "RegressionHead",
]
