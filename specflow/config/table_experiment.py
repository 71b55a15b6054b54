"""Settings of an experiment that its data decides: columns, labels, a tokenizer."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from specflow.config.experiment import ExperimentConfig
from specflow.config.sections.decoder_model import DecoderConfig
from specflow.config.sections.image_models import ResNetConfig, ViTConfig
from specflow.config.sections.model import CnnConfig, MlpConfig
from specflow.config.sections.other_models import (
    LinearConfig,
    TransformerConfig,
    WideAndDeepConfig,
)
from specflow.config.sections.predictions_and_exports import RescaleConfig
from specflow.config.sections.spec import (
    ClassificationExportConfig,
    DeclaredSpecConfig,
    SoftmaxCrossEntropyConfig,
)
from specflow.config.sections.table_spec import TableSpecConfig
from specflow.config.table_heads import Label, TableLabels, spec_of_labels
from specflow.diagnostics.errors import ConfigError, Diagnostic

__all__ = ["completed"]

_OF_CLASSES = ("softmax_cross_entropy", "sigmoid_cross_entropy")
_MODELS = (LinearConfig, MlpConfig, WideAndDeepConfig)
"""Models that take embedded categories, and infer their outputs."""
_OF_IMAGES = (CnnConfig, ResNetConfig, ViTConfig)
"""Models of images, which infer their outputs."""
_OF_TOKENS = (DecoderConfig, TransformerConfig)
"""Models of tokens, which infer their vocabulary."""


def completed(
    experiment: ExperimentConfig,
    *,
    labels: TableLabels | None,
    embeds: bool,
    has_numbers: bool,
    outputs_of: Callable[[Any], int],
    vocabulary: int | None,
) -> ExperimentConfig:
    """Sets what an experiment leaves to its data.

    - `spec=table` is the declared spec of the columns of labels.
    - Predictions of the kind `rescale` get the scaling of their labels.
    - `outputs: null` of a model is the number of classes for a softmax, else the number
      of columns of labels, at least 1; that of the labels, if the data is no table.
    - Signatures without names of classes get those of the labels.
    - Models of specflow get the indices of categories, and embed them.
    - `vocabulary: null` of a model is the number of tokens of the text.

    Args:
        experiment: validated.
        labels: columns of labels; None: the data is no table.
        embeds: a column is an index of an embedding.
        has_numbers: a column is not.
        outputs_of: spec -> number of outputs for the labels of data that is no table.
        vocabulary: number of tokens of the text; None: it is not known.

    Raises:
        ConfigError: the labels do not suit the spec, the vocabulary has more tokens
            than the model, or a number that is left open is not known.
    """
    model: Any = experiment.model
    spec: Any = experiment.spec
    if isinstance(spec, TableSpecConfig):
        spec = spec_of_labels(spec, labels)
    only = None if labels is None or len(labels.columns) != 1 else _only(labels)
    class_names = only.classes if only is not None and only.kind == "class" else None
    if isinstance(spec, DeclaredSpecConfig) and labels is not None:
        if diagnostics := list(_not_classes(spec, labels)):
            raise ConfigError(*diagnostics)
        spec = _with_scaling(spec, labels)
    if isinstance(model, (*_MODELS, *_OF_IMAGES)) and model.outputs is None:
        has_parts = isinstance(spec, DeclaredSpecConfig) and spec.outputs
        outputs = (
            outputs_of(spec)
            if labels is None and not has_parts
            else _outputs(spec, labels)
        )
        model = model.model_copy(update={"outputs": outputs})
    if isinstance(model, _OF_TOKENS):
        model = _with_vocabulary(model, vocabulary)
    if isinstance(spec, DeclaredSpecConfig) and class_names:
        spec = _named_classes(spec, class_names)
    if isinstance(spec, DeclaredSpecConfig) and embeds and isinstance(model, _MODELS):
        spec = _with_categories(spec, has_numbers=has_numbers)
    return experiment.model_copy(update={"model": model, "spec": spec})


def _with_vocabulary(model: Any, vocabulary: int | None) -> Any:
    """A model of tokens with the vocabulary of the text.

    Raises:
        ConfigError: its own is too small, or it has none and that is not known.
    """
    if model.vocabulary is None and vocabulary is not None:
        return model.model_copy(update={"vocabulary": vocabulary})
    if model.vocabulary is None:
        problem, expected = "is null, and the data has no tokenizer", "a number"
        hint = "Set it, such as model.vocabulary=256."
    elif vocabulary is not None and vocabulary > model.vocabulary:
        problem = f"got {model.vocabulary:,}, and the text has {vocabulary:,} tokens"
        expected, hint = f"{vocabulary:,} or more", "Set model.vocabulary=null."
    else:
        return model
    raise ConfigError(
        Diagnostic(
            "model.vocabulary",
            problem,
            expected=expected,
            hint=hint,
            code="model-size",
        )
    )


def _only(labels: TableLabels) -> Label:
    return next(iter(labels.columns.values()))


def _outputs(spec: Any, labels: TableLabels | None) -> int:
    """Number of outputs of a model: of the parts, the classes, or the labels."""
    if isinstance(spec, DeclaredSpecConfig) and spec.outputs:
        return sum(spec.outputs.values())
    is_softmax = isinstance(spec, DeclaredSpecConfig) and any(
        isinstance(loss, SoftmaxCrossEntropyConfig) for loss in spec.loss.values()
    )
    columns = {} if labels is None else labels.columns
    if is_softmax and labels is not None and len(columns) == 1:
        if _only(labels).is_class:
            return len(_only(labels).classes)
    return max(1, len(columns))


def _not_classes(spec: DeclaredSpecConfig, labels: TableLabels) -> Iterator[Diagnostic]:
    """Losses of classes whose labels are numbers."""
    paths = {labels.path(name): name for name in labels.columns}
    for name, loss in spec.loss.items():
        if getattr(loss, "name", "") not in _OF_CLASSES:
            continue
        column = paths.get(getattr(loss, "labels", ""))
        label = None if column is None else labels.columns[column]
        if label is None or label.kind == "class" or label.is_class:
            continue
        if label.kind == "integer" and label.classes:
            continue  # Codes that a wider softmax takes; others are reported by row.
        yield Diagnostic(
            f"spec.loss.{name}",
            f"is of classes, and column {column} has numbers",
            expected="texts, booleans, or the integers from 0 up, as labels",
            hint="To predict numbers: spec=table, or spec=regression model.outputs=1. "
            f"To take them as classes: data.columns.{column}=category.",
            code="table-head",
        )


def _with_scaling(spec: DeclaredSpecConfig, labels: TableLabels) -> DeclaredSpecConfig:
    """Sets the scaling of predictions of the kind `rescale` that is not declared."""
    columns = {labels.path(name): label for name, label in labels.columns.items()}
    predictions = dict(spec.predictions)
    for name, prediction in spec.predictions.items():
        if not isinstance(prediction, RescaleConfig):
            continue
        label = columns.get(prediction.labels)
        declared = (prediction.offset, prediction.divisor, prediction.transform)
        if label is None or any(value is not None for value in declared):
            continue
        scaling = {
            "offset": label.offset,
            "divisor": label.divisor,
            "transform": label.transform,
        }
        predictions[name] = prediction.model_copy(update=scaling)
    return spec.model_copy(update={"predictions": predictions})


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
