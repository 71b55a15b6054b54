"""Heads: what a model's logits mean, and how they are judged, under TensorFlow's names.

A head stands at the end of a model function of one's own, in one line: it makes the
spec of a mode of the model's logits.
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
