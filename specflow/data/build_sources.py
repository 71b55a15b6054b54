"""Builds the sources of an experiment from its `data` section."""

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from specflow.columns import FittedColumns, TokenizerFile
from specflow.config.base import Component, Target
from specflow.config.sections.data import DigitsConfig
from specflow.config.sections.data_sources import (
    BreastCancerConfig,
    DiabetesConfig,
    NpzConfig,
    TextConfig,
    WineConfig,
)
from specflow.config.sections.mixture import MixtureConfig
from specflow.config.sections.records import RecordsConfig
from specflow.config.sections.table import RowsConfig, SplitConfig, TableConfig
from specflow.data import byte_text, npz, sklearn_sets
from specflow.data.data_files import DataFiles, digests_of
from specflow.data.experiment_data import PARTS, Data
from specflow.data.input_kinds import as_source
from specflow.data.mixed_data import mixed_data
from specflow.data.records import record_data
from specflow.data.source import Source
from specflow.data.table import table_data
from specflow.data.table.picture_files import Pictures
from specflow.diagnostics import user_code
from specflow.diagnostics.errors import DataError, Diagnostic, did_you_mean, nearest
from specflow.runtime.typing import describe

__all__ = ["build_data"]

_KEY_OF_SET = re.compile(r"data\.eval_(files|root)")
"""Key of the files of an evaluation set while they are read as the evaluation split."""
_EXPECTED = '{"train": (features, labels), "eval": (features, labels)}'


def build_data(
    config: Any,
    *,
    needs_labels: bool = True,
    needs_train: bool = True,
    columns: FittedColumns | None = None,
    same_files: bool = False,
    start: FittedColumns | None = None,
) -> Data:
    """Builds the sources of an experiment.

    Args:
        config: the `data` section: a named set, or a `Target` or plugin that returns
            `{"train": (features, labels), "eval": (features, labels)}` or a `Data`. In
            place of the pair, `eval` may have several by name, one of them `eval`.
            `files` are paths and globs of the files that it has read, which a run
            locks.
        needs_labels: rows to evaluate must have labels.
        needs_train: rows to train on are used. If not, and their file is missing, the
            rows to evaluate replace them, so that a run can be evaluated on a machine
            without its training data.
        columns: fitted columns of a run, which are used as they are.
        same_files: the files of tables, or of records, must be those that the columns
            were fitted to; of a mixture, those of its tables.
        start: fitted columns of the run that a warm start restores: the features of
            a table, and those of its labels that it has, mean the same.

    Raises:
        DataError: the data is missing, empty, malformed, or holds a NaN.

    >>> data = build_data(DigitsConfig())
    >>> len(data.train), len(data.eval)
    (1438, 359)
    """
    if isinstance(config, RecordsConfig):
        records = record_data(
            config,
            needs_labels=needs_labels,
            needs_train=needs_train,
            fitted=columns,
            same_files=same_files,
        )
        return Data(
            records.train,
            records.eval,
            shuffle=config.shuffle,
            needs_labels=needs_labels,
            sets=records.sets,
            make_test=records.make_test,
            columns=records.columns,
            files=records.files,
        )
    if isinstance(config, Target | Component):
        return _from_target(config, needs_labels=needs_labels)
    if isinstance(config, MixtureConfig):
        return mixed_data(
            config,
            build_data,
            needs_labels=needs_labels,
            needs_train=needs_train,
            columns=columns,
            same_files=same_files,
            start=start,
        )
    if isinstance(config, RowsConfig):
        config = config.table
        table = table_data(
            config,
            needs_labels=needs_labels,
            needs_train=needs_train,
            fitted=columns,
            same_files=same_files,
            start=start,
        )
        sets = _sets_of(config, needs_labels=needs_labels, fitted=table.fitted)
        return Data(
            table.train,
            table.eval,
            shuffle=bool(config.shuffle),
            needs_labels=needs_labels,
            sets={name: each.rows for name, each in sets.items()},
            make_test=table.make_test,
            columns=table.fitted,
            files=_read_files(
                {**table.files, **_tokenizers(config)}, sets, table.pictures
            ),
        )
    if isinstance(config, TextConfig):
        texts = byte_text.text(config)
        tokenizer = texts.tokenizer
        sets = _sets_of(config, needs_labels=needs_labels, tokenizer=tokenizer)
        return Data(
            texts.train,
            texts.eval,
            shuffle=config.shuffle,
            needs_labels=needs_labels,
            sets={name: each.rows for name, each in sets.items()},
            vocabulary=256 if tokenizer is None else tokenizer.size,
            tokenizer=tokenizer,
            files=_read_files(texts.files, sets),
        )
    sets = _sets_of(config, needs_labels=needs_labels)
    train, held = _named(config, needs_labels=needs_labels, needs_train=needs_train)
    files = npz.npz_digests(config) if isinstance(config, NpzConfig) else {}
    return Data(
        train,
        held,
        shuffle=config.shuffle,
        needs_labels=needs_labels,
        sets={name: each.rows for name, each in sets.items()},
        files=_read_files(files, sets),
    )


def _tokenizers(config: TableConfig) -> dict[str, str]:
    """Digests of the tokenizers of declared columns."""
    files = [getattr(each, "tokenizer_file", None) for each in config.columns.values()]
    return digests_of([file for file in files if file is not None], key="data.columns")


@dataclasses.dataclass(frozen=True, slots=True)
class _Set:
    """A further evaluation set, and digests of its files."""

    rows: Source
    files: Mapping[str, str]
    pictures: Mapping[str, Pictures] = dataclasses.field(default_factory=dict)


def _read_files(
    rows: Mapping[str, str],
    sets: Mapping[str, _Set],
    pictures: Mapping[str, Pictures] | None = None,
) -> DataFiles:
    of_sets = [DataFiles({}, each.files, each.pictures) for each in sets.values()]
    return DataFiles.union([DataFiles(rows, {}, pictures or {}), *of_sets])


def _sets_of(
    config: Any,
    *,
    needs_labels: bool,
    fitted: FittedColumns | None = None,
    tokenizer: TokenizerFile | None = None,
) -> dict[str, _Set]:
    """Reads the evaluation sets of `data.eval_sets`: files or a folder each.

    Args:
        config: the `data` section.
        needs_labels: the rows must have labels.
        fitted: the columns of a table.
        tokenizer: of the tokens of a text; None: they are bytes.

    Raises:
        DataError: some cannot be read; all problems at once.
    """
    sets: dict[str, _Set] = {}
    diagnostics: list[Diagnostic] = []
    for name, path in config.eval_sets.items():
        key = f"data.eval_sets.{name}"
        try:
            if isinstance(config, TableConfig):
                sets[name] = _table_set(
                    config, path, fitted=fitted, needs_labels=needs_labels
                )
            elif isinstance(config, TextConfig):
                text = byte_text.whole_text(config, path, key=key, tokenizer=tokenizer)
                sets[name] = _Set(*text)
            else:
                rows = npz.read_npz(
                    path,
                    labels=getattr(config, "labels", "labels"),
                    ids=getattr(config, "ids", ()),
                    key=key,
                    needs_labels=needs_labels,
                )
                sets[name] = _Set(rows, digests_of([path], key=key))
        except DataError as error:
            diagnostics += [
                dataclasses.replace(
                    diagnostic, where=_KEY_OF_SET.sub(key, diagnostic.where)
                )
                for diagnostic in error.diagnostics
            ]
    if diagnostics:
        raise DataError(*dict.fromkeys(diagnostics))
    return sets


def _table_set(
    config: TableConfig,
    paths: list[str],
    *,
    fitted: FittedColumns | None,
    needs_labels: bool,
) -> _Set:
    """Reads all rows of some files, by columns that are fitted already."""
    all_rows = {
        "eval_files": paths,
        "test_files": [],
        "split": SplitConfig(by="files"),
        "fold": None,
        "eval_sets": {},
    }
    table = table_data(
        config.model_copy(update=all_rows),
        needs_labels=needs_labels,
        needs_train=False,
        fitted=fitted,
    )
    return _Set(table.eval, table.files, table.pictures)


def _named(
    config: Any, *, needs_labels: bool, needs_train: bool
) -> tuple[Source, Source]:
    match config:
        case DigitsConfig():
            return sklearn_sets.digits(config)
        case DiabetesConfig():
            return sklearn_sets.diabetes(config)
        case BreastCancerConfig():
            return sklearn_sets.breast_cancer(config)
        case WineConfig():
            return sklearn_sets.wine(config)
        case NpzConfig():
            return npz.npz(config, needs_labels=needs_labels, needs_train=needs_train)
    raise TypeError(f"not a data config: {type(config).__name__}")


def _from_target(config: Target | Component, *, needs_labels: bool) -> Data:
    """Calls the user's function, and checks the data that it returns."""
    try:
        value = config()
    except DataError:
        raise
    except Exception as error:
        if user_code.is_users(error):
            raise
        raise DataError(
            Diagnostic(
                config.path,
                f"raised {type(error).__name__}: {error}",
                code="target-failed",
            )
        ) from error
    if isinstance(value, Data):
        return value
    if not isinstance(value, Mapping):
        raise DataError(
            Diagnostic(
                config.path,
                f"returned {describe(value)}",
                expected=_EXPECTED,
                code="target-result",
            )
        )
    if {*value} - {"files"} != {*PARTS}:
        odd = [key for key in value if key not in (*PARTS, "files")]
        raise DataError(
            Diagnostic(
                config.path,
                f"returned a dict of {', '.join(map(str, value)) or 'nothing'}",
                expected=_EXPECTED,
                hint=did_you_mean(nearest(str(odd[0]), PARTS)) if odd else "",
                code="target-result",
            )
        )
    train = _part(config.path, "train", value["train"])
    held = value["eval"]
    named = held if _is_named(held) else {"eval": held}
    sets = {part: _part(config.path, part, rows) for part, rows in named.items()}
    main = sets.pop("eval")
    files = _declared_files(config.path, value.get("files", ()))
    return Data(train, main, sets=sets, needs_labels=needs_labels, files=files)


def _declared_files(path: str, files: Any) -> DataFiles:
    """Digests of the files that a user's function has read.

    Raises:
        DataError: they are no paths, or there is no such file.
    """
    listed = [files] if isinstance(files, str | os.PathLike) else files
    is_list = isinstance(listed, Sequence) and all(
        isinstance(each, str | os.PathLike) for each in listed
    )
    missing = [
        os.fspath(each)
        for each in (listed if is_list else ())
        if not digests_of([os.fspath(each)], key=path)
    ]
    if not is_list or missing:
        raise DataError(
            Diagnostic(
                f"{path}, files",
                f"names {missing[0]!r}, which is no file"
                if missing
                else f"is {describe(files)}",
                expected="paths or globs of the files that were read",
                code="target-result",
            )
        )
    return DataFiles(digests_of([os.fspath(each) for each in listed], key=path))


def _is_named(value: Any) -> bool:
    """Returns whether a value is several sets of rows by name, not arrays by name."""
    return (
        isinstance(value, Mapping)
        and "eval" in value
        and all(isinstance(rows, tuple | Source) for rows in value.values())
    )


def _part(path: str, part: str, value: Any) -> Source:
    source = as_source(value, origin=f"{part} data of {path}", finite=True)
    if source is None:
        raise DataError(
            Diagnostic(
                f"{path}, {part}",
                f"is {describe(value)}",
                expected="(features, labels): arrays or dicts of arrays, rows first",
                code="target-result",
            )
        )
    return source
