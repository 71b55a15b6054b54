"""Arrays from `.npz` files, one for training and one for evaluation."""

import functools
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.config.sections.data_sources import NpzConfig
from specflow.data.data_files import digests_of
from specflow.data.source import ArraySource
from specflow.diagnostics.errors import DataError, Diagnostic, did_you_mean, nearest
from specflow.runtime.filesystem import absence_hint, expanded

__all__ = ["npz", "npz_digests", "read_npz"]


def npz(
    config: NpzConfig, *, needs_labels: bool = True, needs_train: bool = True
) -> tuple[ArraySource, ArraySource]:
    """Loads the sources of `data.train` and `data.eval`.

    Args:
        config: files, and names of their arrays.
        needs_labels: rows of `data.eval` must have labels.
        needs_train: the file of `data.train` must exist; otherwise the rows of
            `data.eval` replace missing ones.

    Raises:
        DataError: a file is missing, is no `.npz`, lacks the labels, or breaks a rule
            of `ArraySource`; ids are in neither file.
    """
    named = functools.partial(read_npz, labels=config.labels, ids=config.ids)
    held_by: dict[str, Any] = {"key": "data.eval", "needs_labels": needs_labels}
    if not (needs_train or expanded(config.train, "data.train").is_file()):
        held = named(config.eval, **held_by)
        return held, held
    sources: list[ArraySource] = []
    diagnostics: list[Diagnostic] = []
    train_by: dict[str, Any] = {"key": "data.train"}
    for path, by in ((config.train, train_by), (config.eval, held_by)):
        try:
            sources.append(named(path, **by))
        except DataError as error:
            diagnostics += error.diagnostics
    if diagnostics:
        raise DataError(*dict.fromkeys(diagnostics))
    train, held = sources
    known = {name for source in sources for name in (*source.spec()[0], *source.ids)}
    diagnostics = [
        Diagnostic(
            "data.ids",
            f"neither {config.train} nor {config.eval} has an array {name!r}",
            expected="names of arrays",
            hint=did_you_mean(nearest(name, sorted(known))),
            code="unknown-array",
        )
        for name in config.ids
        if name not in train.ids and name not in held.ids
    ]
    if diagnostics:
        raise DataError(*diagnostics)
    return train, held


def npz_digests(config: NpzConfig) -> dict[str, str]:
    """Path -> SHA-256 of the files of `data.train` and `data.eval` that exist."""
    return digests_of([config.train], key="data.train") | digests_of(
        [config.eval], key="data.eval"
    )


def read_npz(
    path: str | Path,
    *,
    labels: str | None,
    ids: Sequence[str] = (),
    key: str = "data",
    needs_labels: bool = True,
) -> ArraySource:
    """Loads the rows of one file. Pickled objects are refused, never loaded.

    Args:
        path: the file.
        labels: name of the array of labels; None if there is none.
        ids: names of the arrays of row ids, if any.
        key: the dotted key that named the file, for messages.
        needs_labels: the array of labels must exist.
    """
    file = expanded(path, key)
    if not file.is_file():
        raise DataError(
            Diagnostic(
                key,
                f"{str(path)!r} is a folder"
                if file.is_dir()
                else f"there is no file {str(path)!r}",
                expected="an .npz file" if file.is_dir() else "",
                hint="" if file.is_dir() else absence_hint(file),
                code="missing-file",
            )
        )
    arrays = _read_arrays(file, key)
    if labels is not None and needs_labels and labels not in arrays:
        raise DataError(
            Diagnostic(
                "data.labels",
                f"{file} has no array {labels!r}; it has {', '.join(arrays) or 'none'}",
                expected="the name of an array, or null when there are no labels",
                hint=did_you_mean(nearest(labels, arrays)),
                code="unknown-array",
            )
        )
    label = None if labels is None else arrays.pop(labels, None)
    named = {name: arrays.pop(name) for name in ids if name in arrays}
    return ArraySource(arrays, label, ids=named, origin=str(file))


def _read_arrays(file: Path, key: str) -> dict[str, npt.NDArray[Any]]:
    if not zipfile.is_zipfile(file):
        raise DataError(
            Diagnostic(
                key,
                f"{file} is not an .npz archive",
                hint="Write it with numpy.savez(path, labels=..., ...).",
                code="data-file",
            )
        )
    name = ""
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {}
            for name in archive.files:
                arrays[name] = archive[name]
            return arrays
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            Diagnostic(
                key,
                f"{file}: array {name!r} cannot be read: {error}",
                expected="arrays of numbers",
                hint="Arrays of Python objects are pickles and are refused."
                if "pickle" in str(error)
                else "",
                code="data-file",
            )
        ) from error
