"""Conversion of exported models to other formats, by installed converters."""

from specflow.serving.convert.conversion import Conversion, convert_export
from specflow.serving.convert.converters import (
    GROUP,
    Converter,
    NotConvertibleError,
    Predict,
    formats,
    require_packages,
)
from specflow.serving.convert.signature_program import SignatureProgram

__all__ = [
    "GROUP",
    "Conversion",
    "Converter",
    "NotConvertibleError",
    "Predict",
    "SignatureProgram",
    "convert_export",
    "formats",
    "require_packages",
]
