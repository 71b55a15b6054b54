"""Sections of optax's optimizers: arguments and defaults from its signatures.

A function of optax that makes an optimizer from a learning rate has a section under
its own name. Optax states neither the range of an argument nor a learning rate; these,
and texts that fit a config, are in the tables below. An argument that the tables do not
name takes its type from the default and its text from optax's docstring.
"""

import functools
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import optax

from tests.generate.section_source import Field, Section, module_source, value_source

__all__ = ["COMMON", "optax_names", "optimizer_modules", "signature_of"]

COMMON = ("adam", "adamw", "sgd")
"""Names whose classes are made at every start; all others are imported when used."""

LEFT_OUT = {
    "optimistic_adam": "deprecated",
    "lbfgs": "needs the loss as a function",
    "polyak_sgd": "needs the loss",
}
"""Optimizers without a section, and why."""

NOT_OFFERED = {
    "learning_rate": "lr and schedule in its place",
    "mask": "no_decay in its place",
    "weight_decay_mask": "no_decay in its place",
    "trust_ratio_mask": "a tree, or a function",
    "seed": "deprecated",
}
"""Arguments without a field, and why."""

DEFAULTS: Mapping[tuple[str, str], Any] = {
    ("adafactor", "dtype_momentum"): "float32",  # A class in optax.
    ("noisy_sgd", "key"): 0,  # Optax warns of None, and takes 0.
}
"""Defaults that a config cannot write as optax does, or should not."""

LEARNING_RATES = {
    "adadelta": 1.0,
    "adafactor": 1e-2,
    "adagrad": 1e-2,
    "adamax": 2e-3,
    "adamaxw": 2e-3,
    "fromage": 1e-2,
    "lars": 0.1,
    "lion": 1e-4,
    "noisy_sgd": 1e-2,
    "novograd": 1e-2,
    "optimistic_gradient_descent": 1e-2,
    "rprop": 1e-3,
    "sgd": 1e-2,
    "sm3": 0.1,
    "yogi": 1e-2,
}
"""Default learning rates, of the papers; 1e-3 elsewhere."""

SUMMARIES = {
    "adabelief": "AdaBelief. Source: Zhuang et al., 2020.",
    "adadelta": "Adadelta. Source: Zeiler, 2012.",
    "adafactor": "Adafactor: factored second moments. Source: Shazeer & Stern, 2018.",
    "adagrad": "Adagrad. Source: Duchi et al., 2011.",
    "adam": "Adam. Source: Kingma & Ba, 2015.",
    "adamax": "Adamax: Adam with the infinity norm. Source: Kingma & Ba, 2015, sec. 7.",
    "adamaxw": "Adamax with decoupled weight decay.",
    "adamw": "Adam with decoupled weight decay. Source: Loshchilov & Hutter, 2019.",
    "adan": "Adan: adaptive Nesterov momentum. Source: Xie et al., 2022.",
    "amsgrad": "AMSGrad: Adam with maximal second moments. Source: Reddi et al., 2018.",
    "fromage": "Fromage. Source: Bernstein et al., 2020.",
    "lamb": "LAMB: Adam with a layerwise trust ratio. Source: You et al., 2020.",
    "lars": "LARS: momentum with a layerwise trust ratio. Source: You et al., 2017.",
    "lion": "Lion: evolved sign momentum. Source: Chen et al., 2023.",
    "nadam": "Adam with Nesterov momentum. Source: Dozat, 2016.",
    "nadamw": "NAdam with decoupled weight decay.",
    "noisy_sgd": "SGD with annealed Gaussian noise. Source: Neelakantan et al., 2015.",
    "novograd": "NovoGrad: layerwise second moments. Source: Ginsburg et al., 2019.",
    "optimistic_adam_v2": "Optimistic Adam, for games. Source: Daskalakis et al., "
    "2017.",
    "optimistic_gradient_descent": "Optimistic gradient descent, for games. Source: "
    "Mokhtari et al., 2019.",
    "radam": "Rectified Adam. Source: Liu et al., 2020.",
    "rmsprop": "RMSProp. Source: Hinton, 2012; Graves, 2013.",
    "rprop": "Rprop. Source: Riedmiller & Braun, 1993.",
    "sgd": "Stochastic gradient descent, with optional momentum.",
    "sign_sgd": "Sign of the gradient. Source: Bernstein et al., 2018.",
    "signum": "Sign of the momentum. Source: Bernstein et al., 2018.",
    "sm3": "SM3. Source: Anil et al., 2019.",
    "yogi": "Yogi. Source: Zaheer et al., 2018.",
}
"""First lines; of a name that is not listed, optax's own."""

_DTYPE_OF = "Data type of {}; null: that of the parameters."
ARGUMENTS: Mapping[str, tuple[str, str]] = {
    "accumulator_dtype": ("Dtype", _DTYPE_OF.format("the momentum")),
    "alpha": ("NonNegativeFloat", "Coefficient of the gradient."),
    "b1": ("DecayRate", "Exponential decay rate of the first moment."),
    "b2": ("DecayRate", "Exponential decay rate of the second moment."),
    "b3": ("DecayRate", "Exponential decay rate of the second moment."),
    "beta": ("NonNegativeFloat", "Coefficient of the change since the previous step."),
    "bias_correction": ("bool", "Correct the moments for their zero initialization."),
    "bias_correction_mu": (
        "bool",
        "Correct the first moment for its zero initialization.",
    ),
    "bias_correction_nu": (
        "bool",
        "Correct the second moment for its zero initialization.",
    ),
    "centered": (
        "bool",
        "Normalize gradients by their variance, not by the second moment.",
    ),
    "clipping_threshold": (
        "Annotated[float, Field(ge=1.0)] | None",
        "Maximum root mean square of an update; null: no clipping.",
    ),
    "decay": ("DecayRate", "Exponential decay rate of the second moment."),
    "decay_offset": (
        "NonNegativeInt",
        "Step at which fine-tuning started; the decay schedule counts from it.",
    ),
    "decay_rate": (
        "DecayRate",
        "Exponent of the second moment's decay rate schedule, 1 - t**-decay_rate.",
    ),
    "dtype_momentum": ("Dtype", "Data type of the momentum."),
    "eps": (
        "NonNegativeFloat",
        "Numerical stability term, added to the denominator.",
    ),
    "eps_in_sqrt": (
        "bool",
        "Add `eps` inside the square root of the denominator, not outside.",
    ),
    "eps_root": (
        "NonNegativeFloat",
        "Numerical stability term inside the square root of the denominator; above 0 "
        "for gradients through the optimizer.",
    ),
    "eta": ("NonNegativeFloat", "Initial variance of the gradient noise."),
    "eta_minus": (
        "Annotated[float, Field(gt=0.0, lt=1.0)]",
        "Factor that decreases a step size when the sign of the gradient changes.",
    ),
    "eta_plus": (
        "Annotated[float, Field(gt=1.0)]",
        "Factor that increases a step size while the sign of the gradient stays.",
    ),
    "factored": ("bool", "Factor second moments into rows and columns."),
    "gamma": (
        "NonNegativeFloat",
        "Annealing exponent: the variance of the noise is eta / (1 + t)**gamma.",
    ),
    "initial_accumulator_value": (
        "NonNegativeFloat",
        "Initial value of the accumulator of squared gradients.",
    ),
    "initial_scale": ("NonNegativeFloat", "Initial value of the second moment."),
    "key": ("NonNegativeInt", "Seed of the gradient noise."),
    "max_step_size": ("PositiveFloat", "Maximum step size."),
    "min_dim_size_to_factor": (
        "PositiveInt",
        "Minimum size of two dimensions for the second moment to be factored.",
    ),
    "min_norm": (
        "NonNegativeFloat",
        "Minimum norm of parameters and of gradients in their ratio.",
    ),
    "min_step_size": ("PositiveFloat", "Minimum step size."),
    "momentum": ("DecayRate", "Decay rate of the momentum."),
    "mu_dtype": ("Dtype", _DTYPE_OF.format("the first moment")),
    "multiply_by_parameter_scale": (
        "bool",
        "Multiply the learning rate by each parameter's root mean square.",
    ),
    "nesterov": ("bool", "Use Nesterov momentum."),
    "rho": (
        "DecayRate",
        "Exponential decay rate of squared gradients and of squared updates.",
    ),
    "threshold": (
        "NonNegativeFloat",
        "Threshold of the variance's tractability: below it, updates are not adaptive.",
    ),
    "trust_coefficient": (
        "PositiveFloat",
        "Factor of the trust ratio, a parameter's norm over its gradient's.",
    ),
    "weight_decay": ("NonNegativeFloat", "Strength of the weight decay."),
    "weight_decay_rate": (
        "NonNegativeFloat",
        "Strength of the weight decay, per step; null: none.",
    ),
}
"""Argument -> type and text of its field."""

SPECIAL: Mapping[tuple[str, str], tuple[str, str]] = {
    ("adadelta", "eps"): (
        "NonNegativeFloat",
        "Numerical stability term, added to both root mean squares.",
    ),
    ("adafactor", "eps"): (
        "NonNegativeFloat",
        "Numerical stability term, added to squared gradients.",
    ),
    ("adafactor", "lr"): (
        "PositiveFloat",
        "Learning rate, relative to each parameter's root mean square with "
        "`multiply_by_parameter_scale`.",
    ),
    ("adan", "b2"): (
        "DecayRate",
        "Exponential decay rate of the differences of successive gradients.",
    ),
    ("lion", "b1"): (
        "DecayRate",
        "Rate at which momentum and gradient are combined in an update.",
    ),
    ("lion", "b2"): ("DecayRate", "Exponential decay rate of the momentum."),
    ("lion", "mu_dtype"): ("Dtype", _DTYPE_OF.format("the momentum")),
    ("novograd", "b2"): (
        "DecayRate",
        "Exponential decay rate of the second moment, one number a layer.",
    ),
    ("novograd", "weight_decay"): (
        "NonNegativeFloat",
        "Strength of the weight decay, of all parameters: optax has no mask here.",
    ),
    ("optimistic_adam_v2", "alpha"): ("NonNegativeFloat", "Coefficient of the update."),
    ("rprop", "lr"): (
        "PositiveFloat",
        "Initial step size, adapted for each parameter by signs of its gradients.",
    ),
    ("signum", "beta"): ("DecayRate", "Exponential decay rate of the momentum."),
    ("sm3", "lr"): ("PositiveFloat", "Learning rate, constant."),
}
"""(optimizer, argument) -> type and text, where they differ from `ARGUMENTS`."""

CLASS_NAMES = {"adamw": "AdamWConfig"}
"""Names of classes that are not the name in camel case."""

_MASKS = frozenset({"mask", "weight_decay_mask"})
_IMPORTS = """
from typing import {typing}

{pydantic}from specflow.config.base import Dtype
from specflow.config.common.optimizer_fields import (
    {bases},
)
from specflow.config.kinds import named
"""
_TYPES = {float: "float", int: "int", bool: "bool", str: "str"}


def optimizer_modules() -> dict[str, str]:
    """Module name -> source, of the sections of all optimizers."""
    names = sorted(optax_names())
    common = [_section(name) for name in names if name in COMMON]
    others = [_section(name) for name in names if name not in COMMON]
    return {
        "common_optimizers": _module(
            "The optimizers of optax chosen most often.", common, is_common=True
        ),
        "optax_optimizers": _module("The other optimizers of optax.", others),
    }


def optax_names() -> Iterator[str]:
    """Names of the functions of optax that make an optimizer from a learning rate."""
    for name in dir(optax):
        value = getattr(optax, name)
        function = value.func if isinstance(value, functools.partial) else value
        is_alias = getattr(function, "__module__", "") == "optax._src.alias"
        if is_alias and callable(value) and name not in LEFT_OUT:
            yield name


def signature_of(name: str) -> dict[str, Any]:
    """Argument -> default, of an optimizer of optax."""
    parameters = inspect.signature(getattr(optax, name)).parameters
    return {key: parameter.default for key, parameter in parameters.items()}


def _section(name: str) -> Section:
    arguments = signature_of(name)
    rate = inspect.signature(getattr(optax, name)).parameters["learning_rate"]
    is_scheduled = "Callable" in str(rate.annotation)
    has_mask = bool(_MASKS & arguments.keys())
    decays = has_mask and "weight_decay" in arguments
    fields: list[Field] = []
    lr = LEARNING_RATES.get(name, 1e-3)
    if name in LEARNING_RATES or (name, "lr") in SPECIAL:
        _, doc = SPECIAL.get((name, "lr"), ("", ""))
        fields.append(Field("lr", "PositiveFloat", value_source(lr), doc))
    for argument, default in arguments.items():
        if argument in NOT_OFFERED:
            continue
        default = DEFAULTS.get((name, argument), default)
        if decays and argument == "weight_decay":
            if default:
                source = value_source(default)
                fields.append(Field(argument, "NonNegativeFloat", source))
            continue
        fields.append(_field(name, argument, default))
        if has_mask and argument == "weight_decay_rate":
            fields.append(
                Field(
                    "no_decay",
                    "list[str]",
                    '["**.bias", "**.scale"]',
                    "Globs of parameter paths without weight decay.",
                )
            )
    bases = {
        (True, True): "DecayingConfig",
        (True, False): "ScheduledConfig",
        (False, False): "LearningRateConfig",
    }[is_scheduled, decays]
    class_name = CLASS_NAMES.get(name, name.title().replace("_", "") + "Config")
    summary = (
        SUMMARIES.get(name)
        or (inspect.getdoc(getattr(optax, name)) or "").split("\n")[0]
    )
    return Section(class_name, bases, summary, name, fields)


def _field(name: str, argument: str, default: Any) -> Field:
    known = SPECIAL.get((name, argument)) or ARGUMENTS.get(argument)
    annotation, doc = known or (_TYPES[type(default)], _optax_text(name, argument))
    if default is None:
        if "null" not in doc:
            doc = f"{doc.removesuffix('.')}; null: none."
        annotation = f"{annotation.removesuffix(' | None')} | None"
    return Field(argument, annotation, value_source(default), doc)


def _optax_text(name: str, argument: str) -> str:
    """The text of an argument in optax's docstring."""
    doc = inspect.getdoc(getattr(optax, name)) or ""
    match = re.search(rf"^ +{argument}: ((?:.*\n)(?: {{4,}}.*\n)*)", doc, re.M)
    return " ".join(match[1].split()) if match else ""


def _module(doc: str, sections: list[Section], *, is_common: bool = False) -> str:
    text = "\n".join(section.source() for section in sections)
    used = [
        name
        for name in (
            "Field",
            "NonNegativeFloat",
            "NonNegativeInt",
            "PositiveFloat",
            "PositiveInt",
        )
        if re.search(rf"\b{name}\b", text)
    ]
    bases = [
        name
        for name in (
            "DecayingConfig",
            "DecayRate",
            "LearningRateConfig",
            "ScheduledConfig",
        )
        if re.search(rf"\b{name}\b", text)
    ]
    imports = _IMPORTS.format(
        typing="Annotated, Literal" if "Annotated[" in text else "Literal",
        pydantic=f"from pydantic import {', '.join(used)}\n\n",
        bases=",\n    ".join(bases),
    )
    return module_source(doc, imports, sections, exports_classes=is_common)
