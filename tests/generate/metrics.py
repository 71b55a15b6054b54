"""Sections of metrics: the arguments of each state's `from_batch`.

Every public class of a module of `specflow.metrics` with a `from_batch` has a section
under its name in snake case, unless `sections/` declares that name by hand because its
fields are not the arguments. The first paragraph of the class's docstring is the
section's. The tables below give texts and ranges of arguments that several metrics
share; an argument that they do not name has the text of the docstring's `Args`.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from specflow import metrics
from specflow.config.plugins.annotations import has_none, is_array
from specflow.config.sections.threshold_metrics import MEMBERS as BY_HAND
from specflow.metrics import Metric
from tests.generate.section_source import Field, Section, module_source, value_source

__all__ = ["COMMON", "metric_modules", "metric_names"]

COMMON = ("mean", "accuracy", "top_k", "confusion_matrix")
"""Names whose classes are made at every start; all others are imported when used."""

NAMES = {"IoU": "iou"}
"""Class -> name, where that is not the class in snake case."""

DEFAULTS: Mapping[str, Any] = {"labels": "labels", "normalizer": "labels"}
"""Tensor -> key path by default; the key path of any other is required."""

ARGUMENTS: Mapping[str, tuple[str, str]] = {
    "average": (
        "",
        "Averaging over classes, as in scikit-learn; `binary` is the positive class "
        "alone.",
    ),
    "bytes_per_token": (
        "Annotated[float, Field(gt=0.0)]",
        "Mean number of bytes per token.",
    ),
    "classes": ("PositiveInt", "Number of classes."),
    "k": ("PositiveInt", "Number of highest scores that are considered."),
    "labels": ("", "Key path of the true values."),
    "losses": ("", "Key path of the cross-entropy of each token, in nats."),
    "normalizer": ("", "Key path of the divisor of each error, shaped as the labels."),
    "positive": ("", "Label of the positive class, where average is binary."),
    "predictions": ("", "Key path of the predicted values, shaped as the labels."),
    "scores": ("", "Key path of the scores: one per class, on the last axis."),
    "undefined": (
        "",
        "Value where the denominator is zero, as `zero_division` of scikit-learn; null "
        "reports NaN.",
    ),
    "values": ("", "Key path of the tensor that is reduced."),
    "weights": ("", "Key path of the sample weights; null: every value has weight 1."),
}
"""Argument -> type, empty for that of the signature, and text."""

SPECIAL: Mapping[tuple[str, str], str] = {
    (
        "auc",
        "scores",
    ): "Key path of the scores of the positive class; their order alone counts.",
    ("per_class_accuracy", "undefined"): "Accuracy of a class without labels; null "
    "leaves it out of the mean.",
    **{
        (name, "undefined"): "Value of a class whose denominator is zero, as "
        "`zero_division` of scikit-learn; null leaves the class out of the average."
        for name in ("f1", "iou", "precision", "recall")
    },
}
"""(metric, argument) -> text, where it differs from `ARGUMENTS`."""

_IMPORTS = """
from typing import {typing}

{pydantic}from specflow.config.common.metric_fields import MetricBaseConfig
from specflow.config.key_path import KeyPath
from specflow.config.kinds import named
"""


def metric_modules() -> dict[str, str]:
    """Module name -> source, of the sections of all metrics."""
    states = metric_names()
    common = [_section(name, states[name]) for name in COMMON]
    others = [_section(name, states[name]) for name in states if name not in COMMON]
    return {
        "common_metrics": _module(
            "The metrics declared most often.", common, is_common=True
        ),
        "other_metrics": _module("The other metrics.", others),
    }


def metric_names() -> dict[str, type[Metric]]:
    """Name -> state class, sorted by name."""
    found = {_name(state): state for state in _states()}
    return {name: found[name] for name in sorted(found.keys() - BY_HAND.keys())}


def _states() -> Iterator[type[Metric]]:
    for module in pkgutil.iter_modules(metrics.__path__):
        if module.name == "metric":
            continue  # It holds the base classes.
        members = importlib.import_module(f"{metrics.__name__}.{module.name}")
        for name in getattr(members, "__all__", ()):
            value = getattr(members, name)
            is_state = inspect.isclass(value) and issubclass(value, Metric)
            if is_state and hasattr(value, "from_batch"):
                yield value


def _name(state: type[Metric]) -> str:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", state.__name__).lower()
    return NAMES.get(state.__name__, snake)


def _section(name: str, state: Any) -> Section:
    parameters = inspect.signature(state.from_batch, eval_str=True).parameters
    paragraph = inspect.cleandoc(state.__doc__ or "").split("\n\n")[0]
    result = inspect.signature(state.compute, eval_str=True).return_annotation
    attributes = [f'state = "{state.__module__}.{state.__qualname__}"']
    if result not in (float, int):
        attributes.append("is_number = False")
    return Section(
        name.title().replace("_", "") + "Config",
        "MetricBaseConfig",
        " ".join(paragraph.split()),
        name,
        [_field(name, state, parameter) for parameter in parameters.values()],
        attributes,
    )


def _field(name: str, state: Any, parameter: inspect.Parameter) -> Field:
    key, annotation = parameter.name, parameter.annotation
    known, text = ARGUMENTS.get(key, ("", ""))
    text = SPECIAL.get((name, key)) or text or _docstring_text(state, key)
    default = None
    if parameter.default is not inspect.Parameter.empty:
        default = value_source(parameter.default)
    elif key in DEFAULTS:
        default = value_source(DEFAULTS[key])
    if is_array(annotation):
        kind = "KeyPath | None" if has_none(annotation) else "KeyPath"
        return Field(key, kind, default, text)
    return Field(key, known or _annotation_source(annotation), default, text)


def _annotation_source(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return f"Literal[{', '.join(map(value_source, get_args(annotation)))}]"
    return inspect.formatannotation(annotation)


def _docstring_text(state: Any, argument: str) -> str:
    """The text of an argument in the docstring of `from_batch`."""
    doc = inspect.getdoc(state.from_batch) or ""
    match = re.search(rf"^    {argument}: ((?:.*\n?)(?: {{5,}}.*\n?)*)", doc, re.M)
    text = " ".join(match[1].split()) if match else ""
    return text[:1].upper() + text[1:].replace("None", "null")


def _module(doc: str, sections: list[Section], *, is_common: bool = False) -> str:
    text = "\n".join(section.source() for section in sections)
    pydantic = [name for name in ("Field", "PositiveInt") if f"{name}" in text]
    imports = _IMPORTS.format(
        typing="Annotated, Literal" if "Annotated[" in text else "Literal",
        pydantic=f"from pydantic import {', '.join(pydantic)}\n\n" if pydantic else "",
    )
    return module_source(doc, imports, sections, exports_classes=is_common)
