"""`specflow predict run=DIR`: the predictions for every row, as JSON lines."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from specflow.commands.evaluate import estimator_of_run
from specflow.data import build_data
from specflow.output import replacing

if TYPE_CHECKING:
    from specflow.compose import Composed

__all__ = ["predict"]


def predict(composed: "Composed", *, output: str | None = None) -> int:
    """Writes one JSON object a row of the evaluation data, in the rows' order.

    Args:
        composed: the run's config, with overrides laid over it; nothing in the run
            directory is changed.
        output: file to write; standard output if None.

    Returns:
        The number of rows.

    Raises:
        CheckpointError: the run has no checkpoint, or none that is whole.
        OutputError: the file cannot be written.
    """
    data = build_data(composed.config.data)
    estimator = estimator_of_run(composed, data)
    rows = 0
    with _writing(output) as stream:
        for row in estimator.predict(lambda: data.eval):
            stream.write(json.dumps(_plain(row)) + "\n")
            rows += 1
    estimator.close()
    if output is not None:
        print(f"{rows} rows in {output}", file=sys.stderr)
    return rows


def _plain(value: Any) -> Any:
    """Numbers, lists and dicts; what is not finite is null: JSON has no word for it."""
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    array = np.asarray(value)
    if array.ndim:
        return [_plain(member) for member in array]
    number = array.item()
    return None if isinstance(number, float) and not np.isfinite(number) else number


@contextlib.contextmanager
def _writing(output: str | None) -> Iterator[TextIO]:
    if output is None:
        yield sys.stdout
        return
    with replacing(Path(output)) as temporary, temporary.open("w") as stream:
        yield stream
