"""Warm start: initial values restored from the checkpoint of another run."""

import dataclasses
import hashlib
import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from specflow.columns import FittedColumns
from specflow.diagnostics.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    Diagnostic,
)
from specflow.lifecycle.warm_plan import WarmPlan, plan
from specflow.lifecycle.warm_settings import Vocabulary, WarmStartSettings
from specflow.output import Checkpointer, located
from specflow.output.checkpoint.arrays_file import array_digest
from specflow.output.checkpoint.retention import recorded_best
from specflow.runtime.file_digests import EXPORT_MANIFEST
from specflow.runtime.filesystem import expanded
from specflow.runtime.text_encoding import without_mark

__all__ = [
    "Vocabulary",
    "WarmStartSettings",
    "warm_columns",
    "warm_plan",
    "warm_values",
]


def warm_columns(settings: WarmStartSettings) -> FittedColumns | None:
    """Reads the fitted columns of a table that the checkpoint was trained with.

    Args:
        settings: the checkpoint, or an export.

    Returns:
        The columns; None if the data was no table.

    Raises:
        CheckpointError: there is no checkpoint.
        DataError: it is of a version that did not keep the order of the columns, and
            the run's own file of them is not beside it.
    """
    path = expanded(settings.path, f"{settings.key}.path").absolute()
    if (path / EXPORT_MANIFEST).is_file():
        file = path / "columns.json"
        return FittedColumns.read(file) if file.is_file() else None
    folder, step = _checkpoint(settings, path)
    with Checkpointer(folder) as checkpointer:
        step = checkpointer.latest_step() if step is None else step
        plain = {} if step is None else checkpointer.data_position(step)
    if (columns := plain.get("columns")) is None:
        return None
    where = str(folder / str(step))
    fitted = FittedColumns.from_json(columns, where=where)
    if "order" in columns or len(fitted.columns) < 2:
        return fitted
    # The keys of metadata are sorted, those of the run's own file are not.
    file = folder.parent / "columns.json"
    if file.is_file() and (ordered := FittedColumns.read(file)).digest == fitted.digest:
        return ordered
    raise DataError(
        Diagnostic(
            where,
            "is of a version that did not keep the order of the columns of a table",
            expected=f"the order in which weights take them, in {file}",
            hint="Copy that file of the run, or start from an export of it.",
            code="table-state",
        )
    )


def warm_plan(settings: WarmStartSettings, tree: Mapping[str, Any]) -> WarmPlan:
    """Plans a warm start by names and shapes; reads no array of the checkpoint.

    Args:
        settings: the checkpoint, and the arrays to restore.
        tree: the initial state as nested dicts (`params`, ...); arrays may be abstract.

    Raises:
        CheckpointError: there is no checkpoint; it lacks a selected parameter, or has
            it in another shape; a rename applies to no parameter.
    """
    return _planned(settings, tree, _opened(settings))


def warm_values(
    settings: WarmStartSettings, tree: Mapping[str, Any]
) -> dict[str, dict[str, np.ndarray]]:
    """Reads the arrays that replace initial ones.

    Args:
        settings: the checkpoint, and the arrays to restore.
        tree: the initial state as nested dicts (`params`, ...); arrays may be abstract
            unless a vocabulary maps their rows.

    Returns:
        Part of the state -> name -> array, in the dtype that it has in `tree`.

    Raises:
        CheckpointError: see `warm_plan`.
    """
    source = _opened(settings)
    planned = _planned(settings, tree, source)
    for warning in planned.warnings:
        warnings.warn(f"{warning.where}: {warning.problem}", stacklevel=2)
    taken = [name for names in planned.taken.values() for name in names.values()]
    saved, values = source.read(taken), {}
    for part, names in planned.taken.items():
        values[part] = {}
        for name, saved_name in names.items():
            value, like = saved[saved_name], tree[part][name]
            if part == "params" and name in settings.vocabularies:
                value = _by_token(value, np.asarray(like), settings, name)
            values[part][name] = value.astype(like.dtype, copy=False)
    return values


@dataclasses.dataclass(frozen=True)
class _Source:
    """A checkpoint or an export, its arrays by `part/name`."""

    label: str
    forms: Mapping[str, Any]
    """Shape and dtype of each."""
    digests: Mapping[str, Any]
    read: Callable[[Collection[str]], Mapping[str, np.ndarray]]
    """Reads some of them."""


def _planned(
    settings: WarmStartSettings, tree: Mapping[str, Any], source: _Source
) -> WarmPlan:
    def known_rows(path: str) -> int:
        files = settings.vocabularies[path]
        known = _rows(files.old)
        tokens = _tokens(files.new)[: tree["params"][path].shape[0]]
        count = source.forms[f"params/{settings.source(path)}"].shape[0]
        return sum(known.get(token, count) < count for token in tokens)

    planned = plan(
        settings, tree, source.forms, source=source.label, known_rows=known_rows
    )
    if planned.diagnostics:
        raise CheckpointError(*planned.diagnostics)
    names = sorted(name for part in planned.taken.values() for name in part.values())
    digests = repr([(name, source.digests[name]) for name in names])
    digest = hashlib.sha256(digests.encode()).hexdigest()[:16]
    return dataclasses.replace(planned, digest=digest)


def _opened(settings: WarmStartSettings) -> _Source:
    """Opens the checkpoint, the newest one of a directory, or the export of a path."""
    from specflow.serving.load_export import (  # Few start from exports.
        MANIFEST,
        load_export,
    )

    key = f"{settings.key}.path"
    path = expanded(settings.path, key).absolute()
    if (path / MANIFEST).is_file():
        if settings.step is not None:
            raise _step_given(settings, "an export")
        weights = load_export(path, check=False).weights
        arrays = {
            f"{part}/{name}": array
            for part in ("params", "state")
            for name, array in weights.items()
        }
        digests = {name: array_digest(np.asarray(a)) for name, a in arrays.items()}
        return _Source(str(path), arrays, digests, lambda _: arrays)
    folder, step = _checkpoint(settings, path)
    with Checkpointer(folder) as checkpointer:
        step = checkpointer.latest_step() if step is None else step
        if step is not None:
            checkpointer.data_position(step)  # Raises for a damaged checkpoint.
        saved = checkpointer.saved(step)
    forms = {
        name: jax.ShapeDtypeStruct(array.shape, array.dtype)
        for name, array in saved.items()
    }
    digests = {name: array.digest for name, array in saved.items()}

    def read(names: Collection[str]) -> Mapping[str, np.ndarray]:
        with Checkpointer(folder) as checkpointer:
            return checkpointer.arrays(step, names)

    return _Source(str(folder / str(step)), forms, digests, read)


def _checkpoint(settings: WarmStartSettings, path: Path) -> tuple[Path, int | None]:
    """The directory of checkpoints, and the step of one; None: the newest."""
    folder, step = located(path, key=f"{settings.key}.path")
    if settings.step is None or step is not None:
        if settings.step is not None:
            raise _step_given(settings, "a checkpoint")
        return folder, step
    with Checkpointer(folder, best=recorded_best(folder)) as checkpointer:
        return folder, checkpointer.resolve(settings.step)


def _step_given(settings: WarmStartSettings, what: str) -> ConfigError:
    return ConfigError(
        Diagnostic(
            f"{settings.key}.step",
            f"got {settings.step!r}, and {settings.key}.path is {what}",
            expected="a step of a run directory",
            hint="Leave out one of them.",
            code="checkpoint-path",
        )
    )


def _by_token(
    value: np.ndarray, initial: np.ndarray, settings: WarmStartSettings, path: str
) -> np.ndarray:
    """Returns initial rows, with those of known tokens from the checkpoint."""
    if value.shape[1:] != initial.shape[1:]:
        return value  # Rows of another shape fit no token.
    files = settings.vocabularies[path]
    old = _rows(files.old)
    mixed = initial.copy()
    for row, token in enumerate(_tokens(files.new)[: len(mixed)]):
        if old.get(token, len(value)) < len(value):
            mixed[row] = value[old[token]]
    return mixed


def _rows(path: str | Path) -> dict[str, int]:
    """Returns token -> row of a vocabulary file.

    Raises:
        ConfigError: A token is in two lines, so its row is ambiguous.
    """
    rows: dict[str, int] = {}
    for row, token in enumerate(_tokens(path)):
        if rows.setdefault(token, row) != row:
            raise ConfigError(
                Diagnostic(
                    str(path),
                    f"lines {rows[token] + 1} and {row + 1} are both {token!r:.60}",
                    code="warm-start",
                    expected="a vocabulary with every token once",
                )
            )
    return rows


def _tokens(path: str | Path) -> list[str]:
    """Returns the lines of a vocabulary file, which end in LF or CRLF only.

    A token may be another line separator of Unicode. A byte-order mark at the start is
    not part of the first token.

    Source: tf.lookup.TextFileInitializer.
    """
    try:
        content = expanded(path, "vocabularies").read_bytes()
        lines = without_mark(content).split(b"\n")
        tokens = [line.removesuffix(b"\r").decode("utf-8") for line in lines]
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"is not UTF-8 ({error.reason})") from error
    except UnicodeError as error:
        raise _unreadable(path, str(error)) from None
    return tokens if tokens[-1] else tokens[:-1]


def _unreadable(path: str | Path, reason: str) -> ConfigError:
    return ConfigError(
        Diagnostic(
            str(path),
            f"cannot be read: {reason}",
            code="warm-start",
            expected="a vocabulary, one token per line",
        )
    )
