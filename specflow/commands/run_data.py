"""The data of a command, with the fitted columns of its run."""

import functools
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import yaml

from specflow.columns import FittedColumns
from specflow.commands import jax_session
from specflow.commands.warm_columns import columns_to_start, report_start
from specflow.config.sections.data_sources import TextConfig
from specflow.config.sections.mixture import (
    MixtureConfig,
    records_of,
    tables_of,
)
from specflow.data import Data, build_data
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.distributed import collectives
from specflow.distributed.processes import place
from specflow.estimator.data_lock import (
    check_files,
    naming_pictures,
    stored_tokenizer,
    write_files,
)
from specflow.estimator.data_lock import stored_columns as read_columns
from specflow.output import RunDirectory, existing_run, write_text
from specflow.output.json_values import to_json
from specflow.output.run.config_changes import changes
from specflow.runtime.filesystem import expanded

if TYPE_CHECKING:
    from specflow.commands.swept_trial import SharedParts
    from specflow.compose import Composed

__all__ = ["data_of_run", "data_to_train", "stored_columns", "write_columns"]

_OF_COLUMNS = (
    *("columns", "features", "joined", "labels", "missing", "weights"),
    *("channels", "mean", "resize", "scale", "size", "std"),
)
"""Beginnings of the keys of a table or images that decide how columns are fitted."""


def data_to_train(composed: "Composed", shared: "SharedParts | None" = None) -> Data:
    """Starts JAX, and builds the data of an experiment.

    A table is read before JAX starts, since its problems need no devices; processes of
    several join first, so that one of them reports for all. A run that is resumed has
    the files that it was trained on.

    Args:
        composed: the experiment. Where `output.dir` has a run, its fitted columns are
            used, and the files must be the same. A new run with `warm_start` uses the
            columns of the run that it restores.
        shared: parts of the last trial of a sweep.

    Raises:
        DataError: the data is missing or malformed, or files of the run have changed.
    """
    jax_session.show_warnings()
    config = composed.config
    build = build_data if shared is None else shared.build_data
    run = None
    if config.output.dir:
        run = RunDirectory(expanded(config.output.dir, "output.dir"))
    if not (tables_of(config.data) or records_of(config.data)):
        jax_session.start(composed)
        data = build(config.data)
        if run is not None:
            check = functools.partial(_check_files, composed, run, data)
            collectives.on_process_zero(check)
        return data
    here = place(config.mesh.processes)
    starts_first = here is not None and here.count > 1
    if starts_first:
        jax_session.start(composed)
    stored = None
    if run is not None:
        stored = _stored(run, gathers=starts_first)
        if stored is not None and not config.data.refit:
            check = functools.partial(_refuse_changed_columns, composed, run)
            collectives.on_process_zero(check) if starts_first else check()
    if run is None or stored is None:
        data = _started(composed, build)
    elif config.data.refit:
        data = _refitted(build(config.data), stored)
    else:
        with naming_pictures(run):
            data = build_data(config.data, columns=stored, same_files=True)
        check = functools.partial(_check_files, composed, run, data, stored)
        collectives.on_process_zero(check) if starts_first else check()
    if not starts_first:
        jax_session.start(composed)
    return data


def data_of_run(
    composed: "Composed", *, needs_labels: bool = True, needs_train: bool = True
) -> Data:
    """Builds the data of a run, whose fitted columns are used.

    Args:
        composed: the run's config with overrides applied.
        needs_labels: rows to evaluate must have labels.
        needs_train: rows to train on are used.

    Raises:
        DataError: the data is missing or malformed.
    """
    jax_session.show_warnings()
    config, stored = composed.config, None
    tables = tables_of(config.data)
    if tables or records_of(config.data):
        here = place(config.mesh.processes)
        gathers = here is not None and here.count > 1
        if gathers:
            jax_session.start(composed)
        stored = _stored(existing_run(composed.run or ""), gathers=gathers)
        # A config of a run that was refitted says so too, and its columns are stored.
        if (
            stored is not None
            and config.data.refit
            and any(
                composed.origins.get(f"{key}.refit", "").startswith("override ")
                for key in tables
            )
        ):
            return _refitted(build_data(config.data, needs_labels=needs_labels), stored)
    naming = nullcontext()
    if stored is not None:
        naming = naming_pictures(existing_run(composed.run or ""))
    with naming:
        return build_data(
            _with_tokenizer(config.data, composed.run or ""),
            needs_labels=needs_labels,
            needs_train=needs_train,
            columns=stored,
        )


def _with_tokenizer(config: Any, run: str, part: str | None = None) -> Any:
    """Texts with the tokenizers that the run was trained with, whatever its files are.

    Args:
        config: the `data` section.
        run: path of the run directory.
        part: of a mixture; None: the data is none.
    """
    if isinstance(config, MixtureConfig):
        parts: dict[str, Any] = config.parts
        kept = {name: _with_tokenizer(each, run, name) for name, each in parts.items()}
        return config.model_copy(update={"parts": kept})
    if not isinstance(config, TextConfig) or config.tokenizer is None:
        return config
    stored = stored_tokenizer(existing_run(run), part)
    return (
        config
        if stored is None
        else config.model_copy(update={"tokenizer": str(stored)})
    )


def _started(composed: "Composed", build: Callable[[Any], Data]) -> Data:
    """Builds the data of a new run."""
    config = composed.config.data
    start = columns_to_start(composed) if tables_of(config) else None
    if start is None:
        return build(config)
    if config.refit:
        return _refitted(build(config), start)
    data = build_data(config, start=start)
    if collectives.is_process_zero():
        report_start(composed, start)
    return data


def _refitted(data: Data, stored: FittedColumns) -> Data:
    """Prints what columns that are fitted anew have changed."""
    if data.columns is not None and collectives.is_process_zero():
        changes = stored.changes(data.columns) or ["the columns are the same"]
        for change in changes:
            print(f"data.refit: {change}", file=sys.stderr)
    return data


def _refuse_changed_columns(composed: "Composed", run: RunDirectory) -> None:
    """Refuses declared columns that the fitted ones of a run do not have.

    Without `output.on_change=accept` the run refuses all changes, when it is opened.

    Raises:
        DataError: the columns would silently stay as they are.
    """
    config = composed.config
    if config.output.on_change != "accept" or not run.config.is_file():
        return
    hint = "Restore the value, or fit the columns anew: data.refit=true."
    diagnostics = [
        Diagnostic(
            change.key,
            f"was {change.old} when the columns of '{run.path}' were fitted, and is "
            f"{change.new}",
            expected="the columns of the run, which are used as they are",
            hint=hint,
            origin=composed.origins.get(change.key, ""),
            code="table-changed",
        )
        for change in changes(run.load_config(), yaml.safe_load(composed.yaml()))
        for table in tables_of(config.data)
        if change.key.startswith(tuple(f"{table}.{name}" for name in _OF_COLUMNS))
    ]
    if diagnostics:
        raise DataError(*diagnostics)


def _check_files(
    composed: "Composed",
    run: RunDirectory,
    data: Data,
    stored: FittedColumns | None = None,
) -> None:
    """Compares the files of the data with those of the run that is resumed.

    With `output.on_change=accept` those that no columns were fitted to may differ.

    Args:
        composed: the experiment.
        run: its directory; there need be no run.
        data: with the files of now.
        stored: the fitted columns of the run.

    Raises:
        DataError: files have changed; they are named.
    """
    fitted = {name for each in (stored, data.columns) if each for name in each.files}
    accepts = composed.config.output.on_change == "accept"
    check_files(run, data, accepts=accepts, fitted=fitted)


def write_columns(run: RunDirectory, data: Data) -> None:
    """Writes the files of the data, and the columns of a table, to the run directory.

    Raises:
        OutputError: the file cannot be written.
    """
    if data.columns is not None:
        write_text(run.columns, to_json(data.columns.to_json()))
    write_files(run, data)


def stored_columns(path: str) -> FittedColumns | None:
    """The fitted columns of a run; None if its data is no table.

    Args:
        path: of the run directory.
    """
    return _stored(existing_run(path), gathers=False)


def _stored(run: RunDirectory, *, gathers: bool) -> FittedColumns | None:
    """The fitted columns of a run, which only process 0 may be able to read."""

    def read() -> Any:
        columns = read_columns(run)
        return None if columns is None else columns.to_json()

    if not gathers:
        return read_columns(run)
    plain = collectives.on_process_zero(read)
    return plain and FittedColumns.from_json(plain, where=str(run.columns))
