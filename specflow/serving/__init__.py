"""Exported models: loading, checking and running them, with JAX and NumPy alone."""

from specflow.serving.array_file import write_arrays
from specflow.serving.export_signature import BATCH, Function, Signature, TensorForm
from specflow.serving.load_export import LoadedExport, load_export

__all__ = [
    "BATCH",
    "Function",
    "LoadedExport",
    "Signature",
    "TensorForm",
    "load_export",
    "write_arrays",
]
