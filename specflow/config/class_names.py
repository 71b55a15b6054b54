"""Names of the classes that predictions of a declared spec have."""

from collections.abc import Mapping
from typing import Any

from specflow.config.sections.spec import DeclaredSpecConfig
from specflow.config.table_heads import TableLabels

__all__ = ["prediction_class_names"]

_BINARY = 2


def prediction_class_names(
    spec: Any, labels: TableLabels
) -> dict[str, tuple[str, ...]]:
    """Predictions of indices of classes, with the names of the classes.

    A prediction has the classes of the labels that a loss compares with the outputs
    from which it is computed.

    Args:
        spec: with the sections of a declared spec, else there are none.
        labels: columns of labels of a table.
    """
    if not isinstance(spec, DeclaredSpecConfig):
        return {}
    by_outputs = {
        getattr(loss, "logits", None): _names(labels, getattr(loss, "labels", ""))
        for loss in spec.loss.values()
    }
    found: dict[str, tuple[str, ...]] = {}
    for name, prediction in spec.predictions.items():
        names = by_outputs.get(_outputs(spec.predictions, name))
        kind = getattr(prediction, "name", None)
        if names and (
            kind == "argmax" or (kind == "threshold" and len(names) == _BINARY)
        ):
            found[name] = names
    return found


def _outputs(predictions: Mapping[str, Any], name: str) -> str | None:
    """Key path of the outputs from which a prediction is computed."""
    path = getattr(predictions[name], "of", None)
    while path is not None and path.startswith("predictions."):
        before = predictions.get(path.partition(".")[2])
        path = getattr(before, "of", None)
    return path


def _names(labels: TableLabels, path: str) -> tuple[str, ...] | None:
    """Names of the classes of a column of labels, by its key path."""
    if labels.joined:
        return None
    for name, label in labels.columns.items():
        if labels.path(name) == path and label.kind == "class":
            return label.classes
    return None
