"""What each command does, once its experiment is composed; loads JAX."""

from specflow.commands.check import check
from specflow.commands.evaluate import evaluate
from specflow.commands.export import export
from specflow.commands.predict import predict
from specflow.commands.train import train

__all__ = ["check", "evaluate", "export", "predict", "train"]
