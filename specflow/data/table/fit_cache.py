"""Fitted columns and checked cells of large tables, kept in the user's cache.

Reading a large table whole takes longer than all else before the first step. So its
fitted columns are kept by the digests of its files and all settings that decide them,
and so is the fact that its cells were checked.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.columns import FORMAT, FittedColumns
from specflow.config.sections.table import TableConfig
from specflow.data.table.table_files import TableFile
from specflow.data.table.text_store import cache_folder
from specflow.diagnostics.errors import DataError

__all__ = ["CheckedImages", "FitCache"]

_VERSION = 2
"""Higher with each change of what is refused: cells that were checked are not again."""
_IRRELEVANT = {"memory", "shuffle", "eval_files", "test_files", "files", "name"}
"""Settings that change neither columns nor splits; files count by their digests."""


class FitCache:
    """What is known of some files under some settings.

    Args:
        config: the settings.
        files: the files of the rows that are trained and evaluated on.
        fitted: fitted columns of a run, with which cells were checked.
        needs_labels: labels were checked.
    """

    def __init__(
        self,
        config: TableConfig,
        files: Sequence[TableFile],
        fitted: FittedColumns | None,
        *,
        needs_labels: bool,
    ):
        settings = config.model_dump(mode="json", exclude=_IRRELEVANT)
        content = {
            "version": [_VERSION, FORMAT],
            "settings": settings,
            "files": [[file.name, file.digest] for file in files],
            "fitted": None if fitted is None else fitted.digest,
            "needs_labels": needs_labels,
        }
        text = json.dumps(content, sort_keys=True)
        self.key = hashlib.sha256(text.encode()).hexdigest()[:32]
        """Key of the splits and the features."""
        self._columns = self._folder / f"{self.key}.json"
        self._split = self._folder / f"{self.key}.npy"

    @property
    def _folder(self) -> Path:
        return _folder()

    def columns(self) -> FittedColumns | None:
        """The fitted columns, if all cells were checked with them."""
        try:
            return FittedColumns.read(self._columns)
        except DataError:
            return None  # Not there, or of another version: fitted anew.

    def split(self, rows: int) -> npt.NDArray[np.int8] | None:
        """Index of the split of each row."""
        try:
            split = np.load(self._split, allow_pickle=False)
        except (OSError, ValueError):
            return None
        return split if split.shape == (rows,) else None

    def keep_columns(self, fitted: FittedColumns) -> None:
        """Keeps fitted columns whose cells were all checked."""
        text = json.dumps(fitted.to_json())
        _keep(self._columns, lambda path: path.write_text(text, encoding="utf-8"))

    def keep_split(self, split: npt.NDArray[np.int8]) -> None:
        """Keeps the split of each row."""

        def save(path: Path) -> None:
            with path.open("wb") as file:
                np.save(file, split)

        _keep(self._split, save)


class CheckedImages:
    """Whether all images of some rows were decoded before.

    Args:
        content: digests of the files, the columns and the rows.
    """

    def __init__(self, content: str):
        digest = hashlib.sha256(f"{_VERSION} {content}".encode()).hexdigest()[:32]
        self._path = _folder() / f"{digest}.images"

    @property
    def are_checked(self) -> bool:
        """They were."""
        return self._path.is_file()

    def keep(self) -> None:
        """Keeps that they were."""
        _keep(self._path, lambda path: path.touch())


def _folder() -> Path:
    return cache_folder() / "fits"


def _keep(path: Path, write: Callable[[Path], Any]) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(new)
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)  # A cache that cannot be written is none.
