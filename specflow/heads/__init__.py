"""Heads: what a model's logits mean, and how they are judged, under TensorFlow's names.

A head stands at the end of a model function of one's own, in one line: it makes the
spec of a mode of the model's logits.
"""

from specflow.heads.binary import BinaryClassHead
from specflow.heads.classes import Classes
from specflow.heads.head import Head
from specflow.heads.language import LanguageHead
from specflow.heads.multi_class import MultiClassHead
from specflow.heads.multi_label import MultiLabelHead
from specflow.heads.reduction import LossReduction
from specflow.heads.regression import PoissonRegressionHead, RegressionHead

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
