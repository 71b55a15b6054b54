"""Export outputs: the named results of an exported model's signatures."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import field_validator, model_validator

from specflow.contract.checked import Checked, Flaw, refuse
from specflow.runtime.typing import describe, is_array, is_floating, leaves

__all__ = [
    "DEFAULT_SERVING",
    "ClassificationOutput",
    "ExportOutput",
    "PredictOutput",
    "RegressionOutput",
    "complete_export_outputs",
]

DEFAULT_SERVING = "serving_default"
"""Name of the signature that is used when a request names none."""


class ExportOutput(Checked):
    """Results of one signature; base class of the three kinds."""

    def tensors(self) -> dict[str, Any]:
        """Name -> array of each result."""
        raise NotImplementedError


def _check_floating(name: str, value: Any) -> Any:
    if not is_array(value) or not is_floating(value.dtype):
        refuse(Flaw(f"{name} is {describe(value)}", expected="a floating array"))
    return value


class PredictOutput(ExportOutput):
    """Named tensors, unchanged.

    Args:
        outputs: a dict of arrays, or one array (named `output`).

    >>> import numpy as np
    >>> list(PredictOutput(np.zeros(2)).outputs)
    ['output']
    """

    ARRAYS = ("outputs",)

    outputs: dict[str, Any]

    def __init__(self, outputs: Any):
        self._fill(outputs=outputs)

    @field_validator("outputs", mode="before")
    @classmethod
    def _named(cls, value: Any) -> dict[str, Any]:
        named = {"output": value} if is_array(value) else value
        if not isinstance(named, Mapping) or not named:
            refuse(
                Flaw(f"got {describe(value)}", expected="an array or a dict of them")
            )
        flaws = [
            Flaw(f"key {key!r} is not a string", expected="names as keys")
            for key in named
            if not isinstance(key, str)
        ]
        flaws.extend(
            Flaw(f"got {describe(leaf)}", at=f"[{path!r}]", expected="an array")
            for path, leaf in leaves(named)
            if not is_array(leaf)
        )
        if flaws:
            refuse(*flaws)
        return dict(named)

    def tensors(self) -> dict[str, Any]:
        return dict(self.outputs)


class ClassificationOutput(ExportOutput):
    """Scores of the classes, predicted classes, or both.

    Args:
        scores: floating, "b c", or "b" for the second of two classes.
        classes: predicted class of each example, any batch-major array.
        class_names: names of the classes, by index; metadata of the signature.
    """

    ARRAYS = ("scores", "classes")

    scores: Any = None
    classes: Any = None
    class_names: tuple[str, ...] | None = None

    def __init__(
        self, scores: Any = None, classes: Any = None, class_names: Any = None
    ):
        self._fill(scores=scores, classes=classes, class_names=class_names)

    @field_validator("class_names", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> tuple[str, ...] | None:
        if value is None:
            return None
        # A string is a sequence of strings too: its characters.
        listed = isinstance(value, Iterable) and not isinstance(value, str | Mapping)
        names: tuple[Any, ...] = tuple(value) if listed else (None,)
        if not all(isinstance(name, str) for name in names):
            refuse(
                Flaw(f"got {value!r}", expected="a list of strings, one for each class")
            )
        return names

    @field_validator("scores")
    @classmethod
    def _floating(cls, value: Any) -> Any:
        return None if value is None else _check_floating("scores", value)

    @field_validator("classes")
    @classmethod
    def _array(cls, value: Any) -> Any:
        if value is not None and not is_array(value):
            refuse(Flaw(f"got {describe(value)}", expected="an array of classes"))
        return value

    @model_validator(mode="after")
    def _one_of(self) -> "ClassificationOutput":
        if self.scores is None and self.classes is None:
            refuse(Flaw("neither scores nor classes", expected="at least one of them"))
        shape = () if self.scores is None else self.scores.shape
        # One score for each class, or a single one of the second of two classes.
        if (
            self.class_names
            and len(shape) > 1
            and shape[-1]
            not in (
                1,
                len(self.class_names),
            )
        ):
            refuse(
                Flaw(
                    f"{len(self.class_names)} class_names for {describe(self.scores)}",
                    expected="a name for each score of an example",
                )
            )
        return self

    def tensors(self) -> dict[str, Any]:
        both = {"scores": self.scores, "classes": self.classes}
        return {name: value for name, value in both.items() if value is not None}


class RegressionOutput(ExportOutput):
    """One floating value for each example.

    Args:
        value: floating, "b" or "b 1".
    """

    ARRAYS = ("value",)

    value: Any

    def __init__(self, value: Any):
        self._fill(value=value)

    @field_validator("value")
    @classmethod
    def _floating(cls, value: Any) -> Any:
        return _check_floating("value", value)

    def tensors(self) -> dict[str, Any]:
        return {"value": self.value}


def complete_export_outputs(outputs: Any, predictions: Any) -> dict[str, ExportOutput]:
    """Returns the signatures of a PREDICT spec, completed by the default one.

    None gives one signature of all predictions. A single signature of another name is
    also the default. The caller's dict is not changed.
    """
    if outputs is None and isinstance(predictions, Mapping) and not predictions:
        return {}
    if outputs is None:
        return {DEFAULT_SERVING: PredictOutput(predictions)}
    if not isinstance(outputs, Mapping):
        refuse(
            Flaw(
                f"got {describe(outputs)}",
                kind=TypeError,
                expected="a dict: signature name -> PredictOutput, "
                "ClassificationOutput or RegressionOutput",
            )
        )
    if not outputs:
        refuse(
            Flaw("is empty", expected="at least one signature, or None for the default")
        )
    flaws = [
        Flaw(f"name {name!r} is not a string", kind=TypeError, expected="a string")
        for name in outputs
        if not isinstance(name, str)
    ]
    flaws.extend(
        Flaw(
            f"got {describe(output)}",
            kind=TypeError,
            at=f"[{name!r}]",
            expected="a PredictOutput, ClassificationOutput or RegressionOutput",
        )
        for name, output in outputs.items()
        if not isinstance(output, ExportOutput)
    )
    if not flaws and DEFAULT_SERVING not in outputs and len(outputs) > 1:
        flaws.append(
            Flaw(
                f"has {', '.join(outputs)} and no default",
                expected=f"one of several signatures to be named '{DEFAULT_SERVING}'",
            )
        )
    if flaws:
        refuse(*flaws)
    completed = dict(outputs)
    completed.setdefault(DEFAULT_SERVING, next(iter(outputs.values())))
    return completed
