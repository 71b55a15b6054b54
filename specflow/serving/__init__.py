"""Exported models, read and run: this room needs JAX and NumPy, and nothing else."""

from specflow.serving.export_signature import Function, Signature, TensorForm
from specflow.serving.load_export import LoadedExport, load_export

__all__ = ["Function", "LoadedExport", "Signature", "TensorForm", "load_export"]
