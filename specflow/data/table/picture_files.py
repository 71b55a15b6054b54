"""Digests of the pictures that a column of paths names."""

import collections
import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from specflow.columns import FittedColumns
from specflow.data.table.decode_threads import in_threads
from specflow.data.table.image_folder import ImageFolder
from specflow.data.table.kept_digests import kept_folder_digest
from specflow.data.table.picture_digests import PictureDigests, mark_of
from specflow.data.table.read_progress import ReadProgress
from specflow.data.table.read_retries import RetriedFile
from specflow.data.table.table_cells import TableCells
from specflow.diagnostics.errors import DataError, Diagnostic

__all__ = [
    "Pictures",
    "changed_pictures",
    "named_pictures",
    "pictures_of",
    "pictures_of_folders",
]

_FOLDER = "folder "
"""Beginning of the key of the pictures of a folder of classes, before its name."""
_SHOWN = 3
"""Number of places of pictures that are gone which one message names."""


class Pictures:
    """Pictures that a column of paths names; read when their digests are asked for.

    Args:
        find: returns path, as the cells have it -> the file.
        read: returns their digests; None: they are read here.
    """

    def __init__(
        self,
        find: Callable[[], Mapping[str, str]],
        read: Callable[[], PictureDigests] | None = None,
    ):
        self._find, self._known = find, read

    @functools.cached_property
    def files(self) -> dict[str, str]:
        """Path, as the cells have it -> the file; in the order of the paths."""
        return dict(sorted(self._find().items()))

    @functools.cached_property
    def digests(self) -> PictureDigests:
        """Their digests, from the user's cache if no file has changed.

        Raises:
            DataError: a picture cannot be read.
        """
        if self._known is not None:
            return self._known()
        paths = [Path(file) for file in self.files.values()]
        if not paths:
            return PictureDigests("", "")
        whole = hashlib.sha256("\0".join(map(str, paths)).encode("utf-8", "replace"))
        place = paths[0].parent / f".{whole.hexdigest()}"
        try:
            kept = kept_folder_digest(place, paths, lambda _: self._read())
        except OSError as error:
            raise DataError(
                Diagnostic(
                    str(error.filename),
                    f"cannot be read: {error.strerror}",
                    expected="a picture that a row of the table names",
                    code="image-file",
                )
            ) from error
        return PictureDigests(*kept.split(" "))

    def _read(self) -> str:
        def digest(item: tuple[str, str]) -> bytes:
            with RetriedFile(item[0], Path(item[1])) as file:
                return hashlib.file_digest(file, "sha256").digest()

        whole, marks = hashlib.sha256(), []
        progress = ReadProgress("digests of pictures", len(self.files), unit="files")
        items = list(self.files.items())
        for (name, _), each in zip(items, in_threads(digest, items), strict=True):
            whole.update(name.encode("utf-8", "surrogateescape") + b"\0" + each)
            marks.append(mark_of(each))
            progress.advance(1)
        return f"{whole.hexdigest()} {''.join(marks)}"


def pictures_of(
    fitted: FittedColumns,
    parts: Sequence[tuple[TableCells, npt.NDArray[np.int64]]],
    roots: Mapping[str, str | None],
    *,
    digests: Iterable[str],
) -> dict[str, Pictures]:
    """The pictures that cells of a table name, by column and content of the table.

    Args:
        fitted: has the columns of images.
        parts: table and numbers of the rows of each split that is read.
        roots: column -> folder of its relative paths; None: that of the file.
        digests: of the files of the table.
    """
    content = hashlib.sha256(" ".join(sorted(digests)).encode()).hexdigest()

    def find(column: str) -> dict[str, str]:
        files: dict[str, str] = {}
        for cells, rows in parts:
            _find(files, cells, fitted.sources_of(column)[0], rows, roots.get(column))
        return files

    return {
        f"{column} of {content[:16]}": Pictures(functools.partial(find, column))
        for column in fitted.images
    }


def pictures_of_folders(folders: Iterable[ImageFolder]) -> dict[str, Pictures]:
    """The pictures of folders of classes, by the folder."""

    def pictures(folder: ImageFolder) -> Pictures:
        def find() -> dict[str, str]:
            shown = folder.name.rstrip("/")
            return {
                f"{shown}/{each}": str(folder.path / each) for each in folder.images
            }

        return Pictures(find, lambda: folder.digests)

    return {f"{_FOLDER}{folder.name}": pictures(folder) for folder in folders}


def named_pictures(
    diagnostics: Iterable[Diagnostic],
    recorded: Mapping[str, PictureDigests],
    now: Mapping[str, Pictures],
) -> Iterator[Diagnostic]:
    """Yields diagnostics of changed files; pictures in place of a folder of them.

    Args:
        diagnostics: of `changed_files`.
        recorded: folder -> digests of the run.
        now: the same -> the pictures.
    """
    for diagnostic in diagnostics:
        key = f"{_FOLDER}{diagnostic.where}"
        names: list[str] = []
        lost = ""
        if key in recorded and key in now:
            before, after = recorded[key], now[key].digests
            known = {before.mark(number) for number in range(len(before))}
            names = [
                name
                for number, name in enumerate(now[key].files)
                if after.mark(number) not in known
            ] or _differing(before, after, now[key])
            lost = _lost(before, after, now[key], len(names))
        if lost:
            yield dataclasses.replace(diagnostic, problem=lost)
        for name in names:
            problem = "is new, or has changed since the run was trained"
            yield dataclasses.replace(diagnostic, where=name, problem=problem, hint="")
        if not names and not lost:  # Pictures were renamed.
            yield diagnostic


def _lost(
    before: PictureDigests, after: PictureDigests, now: Pictures, new: int
) -> str:
    """Says how many pictures are gone, and between which others they were.

    A run keeps no names of pictures.

    Args:
        before: digests of the run.
        after: digests of now.
        now: the pictures.
        new: number of those that are new or have changed.

    Returns:
        Empty: none is known to be gone.
    """
    left = [after.mark(number) for number in range(len(after))]
    gone = collections.Counter(before.mark(number) for number in range(len(before)))
    gone.subtract(left)
    count = sum(each for each in gone.values() if each > 0) - new
    if count <= 0:
        return ""
    noun = "picture" if count == 1 else "pictures"
    lacks = f"lacks {count:,} {noun} that the run was trained on"
    places: collections.Counter[int] = collections.Counter()
    at = 0
    for number in range(len(before)):
        if at < len(left) and before.mark(number) == left[at]:
            at += 1
        else:
            places[at] += 1
    if at < len(left):
        return lacks  # Others are new, or at other places.
    names = list(now.files)
    shown = [_gap(each, place, names) for place, each in places.items()]
    if len(shown) > _SHOWN:
        shown[_SHOWN:] = [f"others at {len(shown) - _SHOWN:,} more"]
    return f"{lacks}: {', '.join(shown)}"


def _gap(count: int, place: int, names: Sequence[str]) -> str:
    """Describes the place of pictures that are gone, before a number of a picture."""
    if place == 0:
        return f"{count:,} before {names[0]}"
    if place == len(names):
        return f"{count:,} after {names[-1]}"
    return f"{count:,} between {names[place - 1]} and {names[place]}"


def _differing(
    before: PictureDigests, after: PictureDigests, now: Pictures
) -> list[str]:
    """Pictures whose marks are not those at the same places before."""
    if len(before) != len(after):
        return []
    numbered = enumerate(now.files)
    return [name for at, name in numbered if before.mark(at) != after.mark(at)]


def _find(
    files: dict[str, str],
    cells: TableCells,
    name: str,
    rows: npt.NDArray[np.int64],
    root: str | None,
) -> None:
    """Adds the files that the cells of a column name."""
    for _, part, inside in cells.parts([name], rows):
        folders = part.folders(inside, root)
        for value, folder in zip(part.raw(name, inside), folders, strict=True):
            if not value or not isinstance(value, str | os.PathLike):
                continue  # The bytes of a picture are in the file of the table.
            path, file = os.fspath(value), os.path.join(folder, value)
            if files.setdefault(path, file) != file:
                files[file] = file


def changed_pictures(
    recorded: Mapping[str, PictureDigests], now: Mapping[str, Pictures]
) -> Iterator[Diagnostic]:
    """Yields diagnostics of pictures that differ from those of a run.

    Pictures of tables whose own files have changed are not compared.

    Args:
        recorded: column and content of its table -> digests of the run.
        now: the same -> the pictures.
    """
    for key in recorded.keys() & now.keys():
        if key.startswith(_FOLDER):
            continue  # See `named_pictures`.
        before, after = recorded[key], now[key].digests
        if before.sha256 == after.sha256:
            continue
        names = _differing(before, after, now[key])
        for name in names:
            problem = "has changed since the run was trained"
            yield Diagnostic(name, problem, code="table-changed")
        if not names:
            yield Diagnostic(
                f"column {key.rpartition(' of ')[0]}",
                "names other pictures than those that the run was trained on",
                code="table-changed",
            )
