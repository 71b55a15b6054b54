"""SavedModel converter: an export's StableHLO, run by the XLA in TensorFlow."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from specflow.serving import LoadedExport
    from specflow.serving.convert import Predict, SignatureProgram

__all__ = ["SavedModelConverter"]


class SavedModelConverter:
    """Writes one SavedModel with every signature, the weights as its variables.

    The StableHLO is kept as it is. An input `user.age` becomes `user_age`: TensorFlow
    passes inputs as keyword arguments.
    """

    packages = ("tensorflow",)
    requirement = "specflow-jax[savedmodel]"

    def write(
        self,
        directory: Path,
        export: "LoadedExport",
        programs: "Sequence[SignatureProgram]",
    ) -> None:
        """Writes the SavedModel; see `specflow.serving.convert.Converter`."""
        from specflow_savedmodel._core import write_saved_model

        write_saved_model(directory, export, programs)

    def load(
        self, directory: Path, programs: "Sequence[SignatureProgram]"
    ) -> "Predict":
        """Loads the SavedModel with `tf.saved_model.load`."""
        from specflow_savedmodel._core import load_saved_model

        return load_saved_model(directory, programs)
