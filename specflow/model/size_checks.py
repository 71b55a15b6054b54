"""Checks of the sizes of specflow's own models against the data, before tracing."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from specflow.config.sections.image_models import ResNetConfig, ViTConfig
from specflow.config.sections.model import CnnConfig, MlpConfig
from specflow.config.sections.other_models import LinearConfig, WideAndDeepConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.runtime.typing import is_array

__all__ = ["check_pools", "check_sizes"]


def check_pools(widths: Sequence[int], image: Sequence[int]) -> None:
    """Refuses more blocks, each with a 2x2 pool, than an image can be halved.

    Args:
        widths: channels of each block.
        image: height, width and channels.

    Raises:
        ConfigError: a pool gets an image of 1 x 1.

    >>> check_pools([32, 64], (8, 8, 1))
    >>> check_pools([8] * 5, (8, 8, 1))
    Traceback (most recent call last):
        ...
    specflow.ConfigError: model.widths: each of 5 blocks halves an image of 8 x 8, and
    after 3 it is 1 x 1. Expected at most 3 widths.
    """
    height, width = image[0], image[1]
    most = max(1, math.ceil(math.log2(max(height, width, 1))))
    if len(widths) <= most:
        return
    raise ConfigError(
        Diagnostic(
            "model.widths",
            f"each of {len(widths)} blocks halves an image of {height} x {width}, and "
            f"after {most} it is 1 x 1",
            expected=f"at most {most} width{'s' * (most > 1)}",
            code="model-size",
        )
    )


def check_sizes(config: Any, inputs: Mapping[str, Any]) -> None:
    """Refuses sizes of a model that are given and differ from those of the data.

    Args:
        config: the `model` section.
        inputs: argument of the module -> abstract array, batch first.

    Raises:
        ConfigError: a size is another one; all at once.

    >>> import numpy as np
    >>> check_sizes(MlpConfig(inputs=5, outputs=3), {"x": np.zeros([32, 13])})
    Traceback (most recent call last):
        ...
    specflow.ConfigError: model.inputs: got 5, and x has 13 values in a row of the data.
    Expected 13, or null.
    """
    checked: list[tuple[str, Any, str, Any]] = []
    flat = isinstance(config, LinearConfig | MlpConfig | WideAndDeepConfig)
    x = _shape(inputs, "x")
    if flat and x is not None:
        checked.append(("inputs", config.inputs, "x", math.prod(x)))
    wide = _shape(inputs, "wide") if isinstance(config, WideAndDeepConfig) else None
    if wide is not None:
        checked.append(("wide_inputs", config.wide_inputs, "wide", math.prod(wide)))
    image = _shape(inputs, "image")
    if image is not None and len(image) == 3:
        if isinstance(config, CnnConfig | ViTConfig):
            given = list(config.image) if config.image else None
            checked.append(("image", given, "image", list(image)))
        if isinstance(config, ResNetConfig):
            checked.append(("channels", config.channels, "image", image[-1]))
    diagnostics = [
        Diagnostic(
            f"model.{field}",
            f"got {given}, and {argument} has {_described(field, known)} of the data",
            expected=f"{known}, or null",
            code="model-size",
        )
        for field, given, argument, known in checked
        if given is not None and given != known
    ]
    if diagnostics:
        raise ConfigError(*diagnostics)


def _shape(inputs: Mapping[str, Any], argument: str) -> tuple[int, ...] | None:
    """Returns the shape of a row of an argument; None if it is no array."""
    value: Any = inputs.get(argument)
    return tuple(value.shape[1:]) if is_array(value) else None


def _described(field: str, known: Any) -> str:
    if field == "image":
        return f"the shape {known} in a row"
    return f"{known} {'channels' if field == 'channels' else 'values'} in a row"
