"""`specflow predict run=DIR`: the predictions for every row, in the rows' order."""

import contextlib
import operator
import os
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax

from specflow.commands.evaluate import estimator_of_run, split_of
from specflow.contract import Mode
from specflow.data import build_data
from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest
from specflow.distributed import collectives
from specflow.estimator import CheckpointStep
from specflow.output import row_format, writing_rows

if TYPE_CHECKING:
    from specflow.compose import Composed

__all__ = ["is_progress_seen", "predict", "write_rows"]

_OF_A_STEP = {"row": None, "features": None, "labels": None, "predictions": None}
"""What the rows of a step have beside their ids."""


def predict(
    composed: "Composed",
    *,
    output: str | None = None,
    format: str | None = None,
    keys: Sequence[str] | None = None,
    rows_of: int | None = None,
    split: str = "eval",
    step: CheckpointStep = None,
) -> int:
    """Writes a row of predictions for each row of the data, in the rows' order.

    What the data names its rows by comes first in each row. Labels may be missing.

    Args:
        composed: the run's config, with overrides laid over it; nothing in the run
            directory is changed.
        output: file to write; standard output if None.
        format: `jsonl`, `csv` or `parquet`; by default what the file's suffix says.
        keys: names of the predictions wanted, in that order; all of them by default.
        rows_of: predict for the rows that training saw at this step, counted from 1;
            each has its number in the training data, its features and its labels.
        split: the data to predict for, `train` or `eval`.
        step: predict with the checkpoint of this step, or the `best` one, and not the
            newest.

    Returns:
        The number of rows.

    Raises:
        CheckpointError: the run has no such checkpoint, or none that is whole.
        ConfigError: there is no such format or prediction.
        OutputError: the file cannot be written.
    """
    written_as = row_format(output, format)
    data = build_data(
        composed.config.data,
        needs_labels=False,
        needs_train=split == "train" or rows_of is not None,
    )
    # A loss may be no number before the first checkpoint: the initial values predict.
    estimator = estimator_of_run(composed, data, needs_checkpoint=rows_of is None)
    source = split_of(data, split if rows_of is None else "train")
    predictions = estimator.abstract_spec(Mode.PREDICT, source).predictions
    _check_keys(keys or (), predictions)
    beside: dict[str, Any] = dict(getattr(source, "ids", {}))
    _check_ids(beside, predictions if rows_of is None else _OF_A_STEP)
    if rows_of is not None:
        numbers = estimator.rows_of_step(source, rows_of)
        features, labels = source.take(numbers)
        beside = {name: array[numbers] for name, array in beside.items()}
        beside |= {"row": numbers, "features": features}
        beside |= {} if labels is None else {"labels": labels}
        source = features
    batches = estimator.predict(
        lambda: source,
        predict_keys=keys,
        yield_single_examples=False,
        checkpoint_step=step,
        progress=is_progress_seen(output),
    )
    if rows_of is not None:
        batches = ({"predictions": batch} for batch in batches)
    rows = write_rows(batches, beside, output, written_as)
    estimator.close()
    return rows


def is_progress_seen(output: str | None) -> bool:
    """Whether progress can be shown beside the rows: not on a terminal that shows them,
    itself or through another program that reads them from a pipe.

    Args:
        output: where rows go; None: standard output.
    """
    if output is not None:
        return True
    try:
        return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):  # It is no file, or closed.
        return False


def write_rows(
    batches: Iterable[Any],
    beside: Mapping[str, Any],
    output: str | None,
    written_as: str,
) -> int:
    """Writes batches of predictions row by row, in process 0, and waits for it.

    Args:
        batches: of predictions, as `TPUEstimator.predict` gives them.
        beside: what comes first in each row: name -> values of all rows.
        output: file to write; standard output if None.
        written_as: `jsonl`, `csv` or `parquet`.

    Returns:
        The number of rows.
    """
    rows = 0
    with contextlib.ExitStack() as stack:
        write = None
        if collectives.is_process_zero():
            write = stack.enter_context(writing_rows(output, written_as))
        for batch in batches:
            count = len(jax.tree.leaves(batch)[0])
            if write is not None:
                taken = operator.itemgetter(slice(rows, rows + count))
                known = {
                    name: jax.tree.map(taken, each) for name, each in beside.items()
                }
                write(_joined(known, batch))
            rows += count
    collectives.on_process_zero(lambda: None)
    if output is not None and collectives.is_process_zero():
        print(f"{rows} rows in {output}", file=sys.stderr)
    return rows


def _joined(beside: Mapping[str, Any], predictions: Any) -> Any:
    """Predictions with what is known of their rows before them."""
    if not beside:
        return predictions
    named = isinstance(predictions, Mapping)
    return {**beside, **(predictions if named else {"output": predictions})}


def _check_ids(ids: Mapping[str, Any], predictions: Any) -> None:
    """Refuses ids named as a prediction: rows have one place for both."""
    named = predictions if isinstance(predictions, Mapping) else ("output",)
    diagnostics = [
        Diagnostic(
            "data.ids",
            f"{name} is a prediction too",
            expected="names that no prediction has",
            hint="Rename the array, or the prediction.",
            code="predict-keys",
        )
        for name in ids
        if name in named
    ]
    if diagnostics:
        raise ConfigError(*diagnostics)


def _check_keys(keys: Sequence[str], predictions: Any) -> None:
    """Refuses names that are not predicted: whoever types them means something."""
    there = list(predictions) if isinstance(predictions, Mapping) else []
    diagnostics = [
        Diagnostic(
            "--keys",
            f"{key} is not predicted",
            expected=f"some of {', '.join(there)}"
            if there
            else "none: it is one array",
            hint=did_you_mean(nearest(key, there)),
            origin="command line",
            code="predict-keys",
        )
        for key in keys
        if key not in there
    ]
    if diagnostics:
        raise ConfigError(*diagnostics)
