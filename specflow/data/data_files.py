"""The files that data is read from, which a run locks."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from specflow.data.table.kept_digests import file_digest
from specflow.data.table.picture_digests import PictureDigests
from specflow.data.table.picture_files import (
    Pictures,
    changed_pictures,
    named_pictures,
)
from specflow.data.table.table_changes import changed_files
from specflow.data.table.table_files import matching_files
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.runtime.file_digests import is_intact, signed

__all__ = ["DataFiles", "digests_of"]

_FORMAT = 1


@dataclasses.dataclass(frozen=True, slots=True)
class DataFiles:
    """Digests of files: path, as the user wrote it -> SHA-256 of the content.

    >>> trained = DataFiles({"a.npz": "0f"}, {"b.npz": "1e"})
    >>> now = DataFiles({"a.npz": "ff"}, {"c.npz": "2d"})
    >>> [str(each.where) for each in trained.changes(now)]
    ['a.npz']
    """

    rows: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Files of the rows to train on and of the evaluation split."""
    sets: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Files of further evaluation sets."""
    pictures: Mapping[str, Pictures] = dataclasses.field(
        default_factory=dict, compare=False
    )
    """Pictures that a column of paths names; read when the files are compared or
    written."""
    known_pictures: Mapping[str, PictureDigests] = dataclasses.field(
        default_factory=dict, compare=False
    )
    """Digests of those of a run, as it has written them."""

    def __bool__(self) -> bool:
        return bool(self.rows or self.sets)

    def changes(self, now: "DataFiles") -> list[Diagnostic]:
        """Diagnostics of files that are not those of a run.

        An evaluation set may get other files, but none with another content.

        Args:
            now: files of the data now; these are those of the run.
        """
        kept = {name: self.sets[name] for name in now.sets if name in self.sets}
        now_kept = {name: now.sets[name] for name in kept}
        files = [*changed_files(self.rows, now.rows), *changed_files(kept, now_kept)]
        return [
            *named_pictures(files, self.known_pictures, now.pictures),
            *changed_pictures(self.known_pictures, now.pictures),
        ]

    @classmethod
    def union(cls, several: Iterable["DataFiles"]) -> Self:
        """All files of several data sets."""
        rows: dict[str, str] = {}
        sets: dict[str, str] = {}
        pictures: dict[str, Pictures] = {}
        for files in several:
            rows |= files.rows
            sets |= files.sets
            pictures |= files.pictures
        return cls(rows, sets, pictures)

    def to_json(self) -> dict[str, Any]:
        """The files as plain values, with a digest of themselves."""
        plain = {"format": _FORMAT, "rows": dict(self.rows), "sets": dict(self.sets)}
        pictures = {
            key: each.digests.to_json()
            for key, each in self.pictures.items()
            if each.files
        }
        return signed(plain | ({"pictures": pictures} if pictures else {}))

    @classmethod
    def from_json(cls, plain: Any, *, where: str) -> Self:
        """The files of the result of `to_json`.

        Args:
            plain: the document.
            where: its file, for messages.

        Raises:
            DataError: it is damaged, or of a later version.
        """
        if not isinstance(plain, Mapping) or not is_intact(plain):
            raise DataError(
                Diagnostic(
                    where,
                    "is damaged: its digest differs",
                    expected="digests of files, as a run writes them",
                    hint="Restore it, or train in another output.dir.",
                    code="table-state",
                )
            )
        if plain["format"] != _FORMAT:
            raise DataError(
                Diagnostic(
                    where,
                    f"has format {plain['format']}",
                    expected=f"format {_FORMAT}",
                    hint="Use the version of specflow that wrote it.",
                    code="table-state",
                )
            )
        known = {
            key: PictureDigests(**each)
            for key, each in plain.get("pictures", {}).items()
        }
        return cls(dict(plain["rows"]), dict(plain["sets"]), known_pictures=known)


def digests_of(written: Sequence[str], *, key: str) -> dict[str, str]:
    """Path -> SHA-256 of the files of paths and globs that exist.

    Args:
        written: paths and globs; those without a file are left out.
        key: dotted key of the paths, for messages.

    Raises:
        DataError: a file cannot be read.
    """
    return {
        name: file_digest(name, path)
        for pattern in written
        for name, path in matching_files(pattern, key, [])
    }
