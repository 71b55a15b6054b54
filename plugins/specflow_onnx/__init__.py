"""ONNX converter: an export's StableHLO as `<signature>.onnx` files for ONNX Runtime.

A compiler of its own, with a handler for each StableHLO operation: StableHLO is what an
export holds, so conversion needs neither the model's code nor a package that pins older
versions of JAX or Flax.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from specflow.serving import LoadedExport
    from specflow.serving.convert import Predict, SignatureProgram

__all__ = ["OnnxConverter"]


class OnnxConverter:
    """Writes a model file for each signature, and one file of weights for all.

    The number of rows stays free. An output named like an input `x` becomes `x_output`:
    ONNX has one namespace for both.
    """

    packages = ("onnx", "onnxruntime")
    requirement = "specflow-jax[onnx]"

    def write(
        self,
        directory: Path,
        export: "LoadedExport",
        programs: "Sequence[SignatureProgram]",
    ) -> None:
        """Writes the models; see `specflow.serving.convert.Converter`."""
        from specflow_onnx._core.model import write_models

        write_models(directory, export, programs)

    def load(
        self, directory: Path, programs: "Sequence[SignatureProgram]"
    ) -> "Predict":
        """Loads the models into ONNX Runtime, on the CPU."""
        from specflow_onnx._core.model import load_models

        return load_models(directory, programs)
