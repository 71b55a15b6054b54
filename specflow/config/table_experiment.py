"""What the columns of a table decide in an experiment."""

from collections.abc import Sequence
from typing import Any

from specflow.config.experiment import ExperimentConfig
from specflow.config.sections.model import MlpConfig
from specflow.config.sections.other_models import LinearConfig, WideAndDeepConfig
from specflow.config.sections.spec import (
    ClassificationExportConfig,
    DeclaredSpecConfig,
    SoftmaxCrossEntropyConfig,
)

__all__ = ["completed"]

_MODELS = (LinearConfig, MlpConfig, WideAndDeepConfig)
"""Models that take embedded categories, and infer their outputs."""


def completed(
    experiment: ExperimentConfig,
    *,
    class_names: Sequence[str] | None,
    labels: int,
    embeds: bool,
    has_numbers: bool,
) -> ExperimentConfig:
    """Sets what an experiment leaves to the columns of its table.

    - `outputs: null` of a model is the number of classes for a softmax, else the number
      of columns of labels, at least 1.
    - Signatures without names of classes get those of the labels.
    - Models of specflow get the indices of categories, and embed them.

    Args:
        experiment: validated.
        class_names: of the labels; None: they are no classes.
        labels: number of columns of labels; 0: the data is no table.
        embeds: a column is an index of an embedding.
        has_numbers: a column is not.
    """
    model: Any = experiment.model
    spec = experiment.spec
    if isinstance(model, _MODELS) and model.outputs is None:
        is_softmax = isinstance(spec, DeclaredSpecConfig) and any(
            isinstance(loss, SoftmaxCrossEntropyConfig) for loss in spec.loss.values()
        )
        outputs = len(class_names) if class_names and is_softmax else max(1, labels)
        model = model.model_copy(update={"outputs": outputs})
    if isinstance(spec, DeclaredSpecConfig) and class_names is not None:
        spec = _named_classes(spec, class_names)
    if isinstance(spec, DeclaredSpecConfig) and embeds and isinstance(model, _MODELS):
        spec = _with_categories(spec, has_numbers=has_numbers)
    return experiment.model_copy(update={"model": model, "spec": spec})


def _named_classes(
    spec: DeclaredSpecConfig, names: Sequence[str]
) -> DeclaredSpecConfig:
    """Names the classes of signatures that have no names."""
    outputs = {
        name: output.model_copy(update={"class_names": list(names)})
        if isinstance(output, ClassificationExportConfig) and output.class_names is None
        else output
        for name, output in spec.export_outputs.items()
    }
    return spec.model_copy(update={"export_outputs": outputs})


def _with_categories(
    spec: DeclaredSpecConfig, *, has_numbers: bool
) -> DeclaredSpecConfig:
    """Adds the indices of categories to the inputs of the model."""
    inputs = {"categories": "features.categories", **spec.inputs}
    if not has_numbers and inputs.get("x") == "features.x":
        del inputs["x"]
    return spec.model_copy(update={"inputs": inputs})
