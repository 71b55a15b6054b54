"""Export outputs: what a signature of the exported model answers."""

from specflow.config.base import Target
from specflow.config.key_path import key_paths
from specflow.config.sections.other_losses import (
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
    """The export output of a declared signature.

    Args:
        config: the signature, wired by key paths. A `_target_` is called with its
            arguments, key paths among them replaced by their tensors.
        scope: the tensors.
        where: key of the signature, such as `spec.export_outputs.serving_default`.

    Raises:
        SpecError: a path leads nowhere, or a tensor is not what the kind asks for.

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
