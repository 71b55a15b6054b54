"""Sections of losses: the arguments of the functions of `specflow.spec.loss_functions`.

The first paragraph of a function's docstring is the section's; the table below has the
types and texts of the arguments.
"""

import inspect
from collections.abc import Mapping

from specflow.config.common.loss_fields import LossBaseConfig
from specflow.spec import loss_functions
from tests.generate.section_source import Field, Section, module_source, value_source

__all__ = ["COMMON", "loss_modules"]

COMMON = ("softmax_cross_entropy",)
"""Names whose classes are made at every start; all others are imported when used."""

_SQUEEZED = "; a last axis of size 1 is squeezed"
ARGUMENTS: Mapping[str, tuple[str, str]] = {
    "delta": (
        "PositiveFloat",
        "Absolute error at which the loss changes from quadratic to linear.",
    ),
    "full": ("bool", "Add Stirling's approximation of log(label!), a constant."),
    "label_smoothing": (
        "Annotated[float, Field(ge=0.0, lt=1.0)]",
        "Label smoothing: probability mass spread uniformly over all classes.",
    ),
    "logits": ("KeyPath", f"Key path of the logits{_SQUEEZED}."),
    "predictions": ("KeyPath", f"Key path of the predicted values{_SQUEEZED}."),
}
"""Argument -> type and text of its field."""

SPECIAL: Mapping[tuple[str, str], str] = {
    (
        "poisson",
        "logits",
    ): f"Key path of the logarithm of the expected count{_SQUEEZED}.",
    (
        "softmax_cross_entropy",
        "logits",
    ): "Key path of the logits: one per class, on the last axis.",
}
"""(loss, argument) -> text, where it differs from `ARGUMENTS`."""

_IMPORTS = """
from typing import {typing}

from pydantic import {pydantic}

from specflow.config.common.loss_fields import LossBaseConfig
from specflow.config.key_path import KeyPath
from specflow.config.kinds import named
"""


def loss_modules() -> dict[str, str]:
    """Module name -> source, of the sections of all losses."""
    others = [name for name in loss_functions.__all__ if name not in COMMON]
    return {
        "common_losses": module_source(
            "The loss declared most often.",
            _IMPORTS.format(typing="Annotated, Literal", pydantic="Field"),
            [_section(name) for name in COMMON],
            exports_classes=True,
        ),
        "other_losses": module_source(
            "The other losses.",
            _IMPORTS.format(typing="Literal", pydantic="PositiveFloat"),
            [_section(name) for name in sorted(others)],
        ),
    }


def _section(name: str) -> Section:
    function = getattr(loss_functions, name)
    paragraph = inspect.cleandoc(function.__doc__ or "").split("\n\n")[0]
    return Section(
        name.title().replace("_", "") + "Config",
        "LossBaseConfig",
        " ".join(paragraph.split()),
        name,
        [
            _field(name, parameter)
            for parameter in inspect.signature(function).parameters.values()
            if parameter.name not in LossBaseConfig.model_fields
        ],
    )


def _field(name: str, parameter: inspect.Parameter) -> Field:
    annotation, text = ARGUMENTS[parameter.name]
    is_tensor = annotation == "KeyPath"
    default = value_source("outputs" if is_tensor else parameter.default)
    text = SPECIAL.get((name, parameter.name), text)
    return Field(parameter.name, annotation, default, text)
