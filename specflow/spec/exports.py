"""Export outputs: the results of each declared signature."""

from specflow.config.base import Target
from specflow.config.key_path import key_paths
from specflow.config.sections.predictions_and_exports import (
    PredictExportConfig,
    RegressionExportConfig,
)
from specflow.config.sections.spec import ClassificationExportConfig, ExportConfig
from specflow.contract import (
    ClassificationOutput,
    ExportOutput,
    PredictOutput,
    RegressionOutput,
)
from specflow.spec.key_paths import Scope, resolve_all

__all__ = ["export_output"]


def export_output(
    config: ExportConfig,  # type: ignore[valid-type]
    scope: Scope,
    *,
    where: str,
) -> ExportOutput:
    """Builds the export output of a declared signature.

    Args:
        config: the signature. A `_target_` is called with its arguments, key paths
            among them replaced by their tensors.
        scope: tensors by root.
        where: config key of the signature, such as `spec.export_outputs.serve`.

    Raises:
        SpecError: a key path names no tensor, or a tensor does not suit the output.

    >>> import numpy as np
    >>> scope = {"predictions": {"value": np.zeros(2, np.float32)}}
    >>> config = RegressionExportConfig(value="predictions.value")
    >>> export_output(config, scope, where="spec.export_outputs.serve").value.shape
    (2,)
    """
    tensors = resolve_all(key_paths(config), scope, where=where)
    match config:
        case Target():
            return config(**tensors)
        case PredictExportConfig():
            return PredictOutput(
                {name: tensors[f"outputs.{name}"] for name in config.outputs}
            )
        case ClassificationExportConfig():
            return ClassificationOutput(
                tensors.get("scores"), tensors.get("classes"), config.class_names
            )
        case RegressionExportConfig():
            return RegressionOutput(tensors["value"])
    raise TypeError(f"not an export config: {config!r}")
