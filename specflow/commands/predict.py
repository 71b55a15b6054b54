"""`specflow predict run=DIR`: predictions for every row, in the order of the rows."""

import contextlib
import operator
import os
import stat
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from specflow.commands.evaluate import estimator_of_run
from specflow.commands.run_data import data_of_run
from specflow.config.class_names import prediction_class_names
from specflow.config.experiment import ExperimentConfig
from specflow.contract import Mode
from specflow.data import Data, Source
from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest
from specflow.distributed import collectives
from specflow.estimator import CheckpointStep, Estimator
from specflow.experiment import completed_by_data, table_labels
from specflow.output import row_format, writing_rows

if TYPE_CHECKING:
    from specflow.compose import Composed

__all__ = ["predict", "predict_and_write"]

_COLUMNS_OF_STEP = ("row", "features", "labels", "predictions")
"""Columns of the rows of a training step, beside their ids."""


def predict(
    composed: "Composed",
    *,
    output: str | None = None,
    format: str | None = None,
    keys: Sequence[str] | None = None,
    rows_of: int | None = None,
    labels: bool = False,
    split: str = "eval",
    step: CheckpointStep = None,
) -> int:
    """Writes one row of predictions for each row of the data, in the same order.

    The ids of the data come first in each row. Labels may be missing.

    Args:
        composed: the run's config with overrides applied; the run directory is not
            changed.
        output: file to write; standard output if None.
        format: `jsonl`, `csv` or `parquet`; None: by the suffix of the file.
        keys: names of the predictions to write, in that order; None: all.
        rows_of: predict for the rows of this training step, counted from 1; each row
            has its number in the training data, its features and its labels.
        labels: write the label of each row too, before its predictions.
        split: data to predict for: `train`, `eval` or `test`.
        step: step of the checkpoint, or `best`; None: the newest.

    Returns:
        The number of rows.

    Raises:
        CheckpointError: the run has no such checkpoint, or only damaged ones.
        ConfigError: there is no such format or prediction.
        OutputError: the file cannot be written.
    """
    resolved_format = row_format(output, format)
    data = data_of_run(
        composed,
        needs_labels=labels,
        needs_train=split == "train" or rows_of is not None,
    )
    # A loss can be NaN before the first checkpoint: the initial values predict then.
    estimator = estimator_of_run(composed, data, needs_checkpoint=rows_of is None)
    source = data.split(split if rows_of is None else "train")
    predictions = estimator.abstract_spec(Mode.PREDICT, source).predictions
    _check_keys(keys or (), predictions)
    columns: dict[str, Any] = dict(getattr(source, "ids", {}))
    names = predictions if isinstance(predictions, Mapping) else ("output",)
    _check_ids(columns, names if rows_of is None else _COLUMNS_OF_STEP)
    if labels and rows_of is None:
        columns["label"] = _named(_labels(source, names), data)
    if rows_of is not None:
        numbers = estimator.rows_of_step(source, rows_of)
        features, of_rows = source.take(numbers)
        columns = {name: array[numbers] for name, array in columns.items()}
        columns |= {"row": numbers, "features": features}
        columns |= {} if of_rows is None else {"labels": of_rows}
        source = features
    return predict_and_write(
        estimator,
        lambda: source,
        keys=keys,
        step=step,
        output=output,
        format=resolved_format,
        columns=columns,
        nested=rows_of is not None,
        class_names=_class_names(composed.config, data),
    )


def predict_and_write(
    estimator: Estimator,
    input_fn: Callable[..., Any],
    *,
    keys: Sequence[str] | None,
    step: CheckpointStep,
    output: str | None,
    format: str,
    columns: Mapping[str, Any] | None = None,
    nested: bool = False,
    class_names: Mapping[str, Sequence[str]] | None = None,
) -> int:
    """Predicts with a checkpoint, writes the rows and closes the estimator.

    Args:
        estimator: of the run.
        input_fn: gives the data.
        keys: names of the predictions to write; None: all.
        step: of the checkpoint.
        output: file to write; standard output if None.
        format: `jsonl`, `csv` or `parquet`.
        columns: come first in each row: name -> values of all rows.
        nested: write the predictions as one column, `predictions`.
        class_names: prediction of class indices -> names to write in their place.

    Returns:
        The number of rows.
    """
    batches: Iterable[Any] = estimator.predict(
        input_fn,
        predict_keys=keys,
        yield_single_examples=False,
        checkpoint_step=step,
        progress=_can_show_progress(output),
    )
    if class_names:
        batches = (_with_class_names(batch, class_names) for batch in batches)
    if nested:
        batches = ({"predictions": batch} for batch in batches)
    rows = _write_rows(batches, columns or {}, output, format)
    estimator.close()
    return rows


def _labels(source: Any, names: Iterable[str]) -> Any:
    """Returns the labels of all rows.

    Raises:
        ConfigError: the rows have none, or a prediction has that name.
    """
    if "label" in names:
        problem = "are named like the prediction label"
    elif isinstance(source, Source) and (
        (found := source.take(np.arange(len(source)))[1]) is not None
    ):
        return found
    else:
        problem = "are not in this data"
    raise ConfigError(
        Diagnostic(
            "--labels",
            problem,
            origin="command line",
            code="usage",
        )
    )


def _can_show_progress(output: str | None) -> bool:
    """Returns whether progress does not mix with the rows.

    Not if rows go to a terminal, or to a program that may show them on one.

    Args:
        output: file of the rows; None: standard output.
    """
    if output is not None:
        return True
    try:
        return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):  # It is no file, or closed.
        return False


def _write_rows(
    batches: Iterable[Any],
    columns: Mapping[str, Any],
    output: str | None,
    format: str,
) -> int:
    """Writes batches of predictions row by row on process 0; the others wait.

    Args:
        batches: of predictions, from `Estimator.predict`.
        columns: come first in each row: name -> values of all rows.
        output: file to write; standard output if None.
        format: `jsonl`, `csv` or `parquet`.

    Returns:
        The number of rows.
    """
    rows = 0
    with contextlib.ExitStack() as stack:
        write = None
        if collectives.is_process_zero():
            write = stack.enter_context(writing_rows(output, format))
        for batch in batches:
            count = len(jax.tree.leaves(batch)[0])
            if write is not None:
                batch_rows = operator.itemgetter(slice(rows, rows + count))
                first = {
                    name: jax.tree.map(batch_rows, values)
                    for name, values in columns.items()
                }
                write(_joined(first, batch))
            rows += count
    collectives.on_process_zero(lambda: None)
    if output is not None and collectives.is_process_zero():
        print(f"{rows} rows in {output}", file=sys.stderr)
    return rows


def _named(labels: Any, data: Data) -> Any:
    """Labels of a table's classes by their names; others as they are."""
    if data.columns is None or data.columns.joined_labels:
        return labels
    columns = data.columns.labels
    if isinstance(labels, Mapping):
        return {
            name: _by_name(values, columns[name].names) if name in columns else values
            for name, values in labels.items()
        }
    return _by_name(labels, data.columns.class_names)


def _by_name(labels: Any, names: Sequence[str] | None) -> Any:
    return labels if names is None else np.array(names)[labels]


def _class_names(config: ExperimentConfig, data: Data) -> dict[str, tuple[str, ...]]:
    """Declared predictions of class indices, with the names of a table's classes."""
    labels = table_labels(data)
    if labels is None:
        return {}
    return prediction_class_names(completed_by_data(config, data).spec, labels)


def _with_class_names(
    batch: Mapping[str, Any], class_names: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """A batch of predictions with names in place of indices; unknown ones stay."""
    named = dict(batch)
    for prediction, names in class_names.items():
        if prediction in batch:
            indices = np.asarray(batch[prediction]).astype(np.int64)
            if not ((indices < 0) | (indices >= len(names))).any():
                named[prediction] = np.array(names)[indices]
    return named


def _joined(columns: Mapping[str, Any], predictions: Any) -> Any:
    """Predictions with other columns before them."""
    if not columns:
        return predictions
    named = isinstance(predictions, Mapping)
    return {**columns, **(predictions if named else {"output": predictions})}


def _check_ids(ids: Iterable[str], names: Iterable[str]) -> None:
    """Refuses ids with the name of a prediction: a row has one column for a name."""
    taken = set(names)
    diagnostics = [
        Diagnostic(
            "data.ids",
            f"{name} is a prediction too",
            expected="names that no prediction has",
            hint="Rename the array, or the prediction.",
            code="predict-keys",
        )
        for name in ids
        if name in taken
    ]
    if diagnostics:
        raise ConfigError(*diagnostics)


def _check_keys(keys: Sequence[str], predictions: Any) -> None:
    """Refuses names of predictions that do not exist."""
    names = list(predictions) if isinstance(predictions, Mapping) else []
    diagnostics = [
        Diagnostic(
            "--keys",
            f"{key} is not predicted",
            expected=f"some of {', '.join(names)}"
            if names
            else "none: the prediction is one array",
            hint=did_you_mean(nearest(key, names)),
            origin="command line",
            code="predict-keys",
        )
        for key in keys
        if key not in names
    ]
    if diagnostics:
        raise ConfigError(*diagnostics)
