"""Exported models in the formats of others: TensorFlow's SavedModel, and ONNX."""

from specflow.serving.convert.conversion import (
    FORMATS,
    Conversion,
    convert_export,
    require_packages,
)

__all__ = ["FORMATS", "Conversion", "convert_export", "require_packages"]
