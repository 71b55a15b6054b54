"""Exported models, read and run: this room needs JAX and NumPy, and nothing else."""

from specflow.serving.load import LoadedExport, load_export
from specflow.serving.signature import Function, Signature, TensorForm

__all__ = ["Function", "LoadedExport", "Signature", "TensorForm", "load_export"]
