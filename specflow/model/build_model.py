"""Builds a Flax module from the `model` section."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from flax import linen, nnx

from specflow.columns.embedding import Embedding
from specflow.config.base import TARGET, Component, Target
from specflow.config.sections.decoder_model import DecoderConfig
from specflow.config.sections.image_models import ResNetConfig, ViTConfig
from specflow.config.sections.model import CnnConfig, MlpConfig, ModelConfig
from specflow.config.sections.other_models import (
    LinearConfig,
    TransformerConfig,
    WideAndDeepConfig,
)
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.model.size_checks import check_pools
from specflow.model.zoo import (
    Cnn,
    Decoder,
    Linear,
    Mlp,
    ResNet,
    Transformer,
    ViT,
    WideAndDeep,
)
from specflow.runtime.typing import ArrayLike, describe, is_array

__all__ = ["build_model"]


def build_model(
    config: ModelConfig,  # type: ignore[valid-type]
    rngs: nnx.Rngs,
    *,
    inputs: Mapping[str, Any] | None = None,
    compute_dtype: str | None = None,
    embeddings: Mapping[str, Embedding] | None = None,
) -> nnx.Module | linen.Module:
    """Builds the module of the `model` section.

    Args:
        config: the `model` section. A `_target_` is called with its arguments, and with
            `rngs` if it accepts them: modules of Flax Linen do not. A plugin gets
            `rngs` and `inputs`.
        rngs: streams of the initial values and of dropout.
        inputs: argument of the module -> array or abstract array, batch first. Sizes
            that the config omits are inferred from them.
        compute_dtype: dtype of activations for models of specflow without a `dtype`;
            None: float32. Layers of other models get it when they are called.
        embeddings: name of a category -> its embedding, for models of tables, whose
            inputs have `categories`.

    Raises:
        ConfigError: a size can be inferred from neither, or a `_target_` did not return
            a module.

    >>> import numpy as np
    >>> image = np.zeros((32, 8, 8, 1), np.float32)
    >>> build_model(CnnConfig(), nnx.Rngs(0), inputs={"image": image}).head.out_features
    10
    """
    if getattr(config, "dtype", "") is None and not isinstance(config, Component):
        config = config.model_copy(update={"dtype": compute_dtype or "float32"})
    categories: dict[str, Any] = {}
    if embeddings and "categories" in (inputs or {}):
        categories = {"embeddings": dict(embeddings)}
    match config:
        case LinearConfig():
            width = _width(config.inputs, inputs)
            outputs = config.outputs or 1
            return Linear(width, outputs, **categories, rngs=rngs)
        case WideAndDeepConfig():
            deep = _width(config.inputs, inputs)
            wide = config.wide_inputs
            if wide is None and "wide" in (inputs or {}):
                wide = math.prod(_example("wide_inputs", "wide", inputs))
            fields = config.model_dump(exclude={"name", "inputs", "wide_inputs"})
            fields["outputs"] = config.outputs or 1
            return WideAndDeep(deep, wide=wide, **categories, **fields, rngs=rngs)
        case MlpConfig():
            width = _width(config.inputs, inputs)
            fields = config.model_dump(exclude={"name", "inputs"})
            fields["outputs"] = config.outputs or 1
            return Mlp(width, **categories, **fields, rngs=rngs)
        case CnnConfig():
            image = config.image or _image("image", inputs)
            check_pools(config.widths, image)
            fields = config.model_dump(exclude={"name", "image"})
            fields["outputs"] = config.outputs or 1
            return Cnn(image, **fields, rngs=rngs)
        case ResNetConfig():
            channels = config.channels or _image("channels", inputs)[-1]
            fields = config.model_dump(exclude={"name", "channels"})
            fields["outputs"] = config.outputs or 1
            return ResNet(channels, **fields, rngs=rngs)
        case ViTConfig():
            image = config.image or _image("image", inputs)
            if any(side % config.patch for side in image[:2]):
                raise ConfigError(
                    Diagnostic(
                        "model.patch",
                        f"got {config.patch}, and the images of the data are "
                        f"{image[0]} x {image[1]}",
                        expected="a divisor of their height and width",
                        code="model-size",
                    )
                )
            fields = config.model_dump(exclude={"name", "image"})
            fields["outputs"] = config.outputs or 1
            return ViT(image, **fields, rngs=rngs)
        case TransformerConfig():
            return Transformer(**config.model_dump(exclude={"name"}), rngs=rngs)
        case DecoderConfig():
            fields = {**config.model_dump(exclude={"name"}), **config.sizes()}
            return Decoder(**fields, rngs=rngs)
        case Target():
            extra = {"rngs": rngs} if _takes_rngs(config.callable) else {}
            return _checked(config(**extra), config)
        case Component():
            return _checked(config(rngs=rngs, inputs=inputs or {}), config)
    raise TypeError(f"not a model config: {config!r}")


def _width(declared: int | None, inputs: Mapping[str, Any] | None) -> int:
    """Number of values of `x` in a row; 0 if all columns are embedded categories."""
    if declared is None and inputs and "x" not in inputs and "categories" in inputs:
        return 0
    return declared or math.prod(_example("inputs", "x", inputs))


def _example(
    field: str, argument: str, inputs: Mapping[str, Any] | None
) -> tuple[int, ...]:
    """Shape of one example of an argument, or of the only argument."""
    arrays: dict[str, ArrayLike] = {
        name: value for name, value in (inputs or {}).items() if is_array(value)
    }
    if argument in arrays:
        return arrays[argument].shape[1:]
    if len(arrays) == 1:
        return next(iter(arrays.values())).shape[1:]
    seen = ", ".join(f"{name} {describe(value)}" for name, value in arrays.items())
    raise ConfigError(
        Diagnostic(
            f"model.{field}",
            "is null, and the data does not say it"
            + (f": it has {seen}, but no {argument}" if seen else ""),
            hint=f"Give model.{field}, or say in spec.inputs what {argument} is.",
            code="model-size",
        )
    )


def _image(field: str, inputs: Mapping[str, Any] | None) -> tuple[int, ...]:
    """Height, width and channels of the data's images."""
    shape = _example(field, "image", inputs)
    if len(shape) != 3:
        raise ConfigError(
            Diagnostic(
                f"model.{field}",
                f"an image of the data has the shape {list(shape)}",
                expected="[height, width, channels]",
                code="model-size",
            )
        )
    return shape


def _takes_rngs(target: Callable[..., Any]) -> bool:
    if inspect.isclass(target):
        # A metaclass may accept anything; the constructor has the arguments.
        target = target.__init__
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return True
    return "rngs" in parameters or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    )


def _checked(module: Any, config: Target | Component) -> nnx.Module | linen.Module:
    if isinstance(module, nnx.Module | linen.Module):
        return module
    found = type(module)
    raise ConfigError(
        Diagnostic(
            f"model.{TARGET if isinstance(config, Target) else 'name'}",
            f"{config.path} returned {found.__module__}.{found.__qualname__}",
            expected="a flax.nnx.Module or a flax.linen.Module",
            code="target-result",
        )
    )
