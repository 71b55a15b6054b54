"""Models that the configuration can name."""

from specflow.model.zoo.cnn import Cnn
from specflow.model.zoo.decoder import Decoder
from specflow.model.zoo.linear_model import Linear
from specflow.model.zoo.mlp import Mlp
from specflow.model.zoo.resnet import ResNet
from specflow.model.zoo.transformer import Transformer
from specflow.model.zoo.vit import ViT
from specflow.model.zoo.wide_and_deep import WideAndDeep

__all__ = [
    "Cnn",
    "Decoder",
    "Linear",
    "Mlp",
    "ResNet",
    "Transformer",
    "ViT",
    "WideAndDeep",
]
