"""Builds the data of `data=mixture` of that of its parts."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from specflow.columns import FittedColumns
from specflow.config.sections.mixture import MixtureConfig
from specflow.config.sections.records import RecordsConfig
from specflow.config.sections.table import RowsConfig, TableConfig
from specflow.data.data_files import DataFiles
from specflow.data.experiment_data import Data
from specflow.data.joined_source import JoinedSource
from specflow.data.mixture import MixtureSource
from specflow.data.source import Source
from specflow.data.table.table_files import table_files
from specflow.diagnostics.errors import DataError, Diagnostic

__all__ = ["mixed_data"]

_KEY = "data."


def mixed_data(
    config: MixtureConfig,
    build: Callable[..., Data],
    *,
    needs_labels: bool,
    needs_train: bool,
    columns: FittedColumns | None,
    same_files: bool,
    start: FittedColumns | None,
) -> Data:
    """Builds the data of each part, and mixes the rows to train on.

    Columns are fitted to the training rows of the first part that is a table; features
    of all tables mean the same. Without one, labels are those of the first records.

    Args:
        config: the `data` section.
        build: `build_data`; it takes the following arguments for each part.
        needs_labels: rows to evaluate must have labels.
        needs_train: rows to train on are used.
        columns: fitted columns of a run, and all files of its tables.
        same_files: files of a table must be among those of the run.
        start: fitted columns of the run that a warm start restores.

    Raises:
        DataError: the data of parts is missing or malformed, all of them; or rows of
            parts differ, with the part and the array.
    """
    options = {"needs_labels": needs_labels, "needs_train": needs_train}
    parts: dict[str, Data] = {}
    diagnostics: list[Diagnostic] = []
    files: dict[str, str] = {}
    fitted: FittedColumns | None = None
    of_records: FittedColumns | None = None
    for name, part in config.parts.items():
        of_tables: dict[str, Any] = {}
        if isinstance(part, RowsConfig):
            own = None if columns is None else _of_part(columns, part.table)
            of_tables = {
                "columns": own,
                "same_files": same_files and own is not None,
                "start": start if own or fitted is None else fitted,
            }
        try:
            parts[name] = build(part, **options, **of_tables)
        except DataError as error:
            diagnostics += _named(error, name)
            continue
        if (found := parts[name].columns) is not None:
            if isinstance(part, RecordsConfig):
                of_records = of_records or found
            else:
                fitted = fitted or found
            files |= found.files
    if diagnostics:
        raise DataError(*dict.fromkeys(diagnostics))
    fitted = fitted or of_records
    if fitted is not None:
        fitted = dataclasses.replace(fitted, files=files)
    return _mixed(config, parts, fitted, needs_labels=needs_labels)


def _mixed(
    config: MixtureConfig,
    parts: Mapping[str, Data],
    columns: FittedColumns | None,
    *,
    needs_labels: bool,
) -> Data:
    train = MixtureSource(
        {name: part.train for name, part in parts.items()},
        weights=config.weights,
        temperature=config.temperature,
        limit=config.limit,
        epoch=config.epoch,
        shuffle={name: part.shuffle for name, part in parts.items()},
    )
    held = {name: part.eval for name, part in parts.items()}
    sets = held | {
        f"{name}_{each}": rows
        for name, part in parts.items()
        for each, rows in part.sets.items()
    }
    makers = {
        name: part.make_test
        for name, part in parts.items()
        if part.make_test is not None
    }

    def make_test() -> Source:
        return _test_rows(makers)

    has_labels = all(source.spec()[1] is not None for source in held.values())
    return Data(
        train,
        JoinedSource(held, labels=needs_labels or has_labels),
        shuffle=config.shuffle,
        needs_labels=needs_labels,
        sets=sets,
        make_test=make_test if makers else None,
        columns=columns,
        vocabulary=_vocabulary(parts.values()),
        part_tokenizers={
            name: part.tokenizer
            for name, part in parts.items()
            if part.tokenizer is not None
        },
        files=DataFiles.union(part.files for part in parts.values()),
    )


def _vocabulary(parts: Iterable[Data]) -> int | None:
    """The largest number of tokens of all parts; None where one does not know it."""
    sizes = [part.vocabulary for part in parts]
    known = [size for size in sizes if size is not None]
    return max(known) if len(known) == len(sizes) else None


def _test_rows(makers: Mapping[str, Callable[[], Source]]) -> Source:
    """The test rows of all parts that have some.

    Raises:
        DataError: they cannot be read, or no part has any.
    """
    parts: dict[str, Source] = {}
    lacking: list[DataError] = []
    for name, make in makers.items():
        try:
            parts[name] = make()
        except DataError as error:
            if {diagnostic.code for diagnostic in error.diagnostics} != {"data-empty"}:
                raise
            lacking.append(error)
    if not parts:
        raise lacking[0]
    return JoinedSource(parts)


def _of_part(columns: FittedColumns, part: TableConfig) -> FittedColumns:
    """The fitted columns of a run, with the files of one part."""
    paths = {
        "data.files": part.files,
        "data.eval_files": part.eval_files,
        "data.test_files": part.test_files,
    }
    names = {
        file.name
        for key, listed in paths.items()
        if listed
        for file in table_files(listed, key=key, format=part.format)
    }
    own = {name: digest for name, digest in columns.files.items() if name in names}
    return dataclasses.replace(columns, files=own)


def _named(error: DataError, part: str) -> list[Diagnostic]:
    """Diagnostics of one part, under its keys or its name."""

    def where(place: str) -> str:
        if place.startswith(_KEY):
            return f"data.parts.{part}.{place.removeprefix(_KEY)}"
        return f"part {part}, {place}"

    return [
        dataclasses.replace(diagnostic, where=where(diagnostic.where))
        for diagnostic in error.diagnostics
    ]
