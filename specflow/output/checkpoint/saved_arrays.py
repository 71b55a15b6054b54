"""Arrays of one checkpoint on disk: their description, and reading them verified."""

import contextlib
import dataclasses
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import ml_dtypes
import numpy as np

from specflow.output.checkpoint.arrays_file import ArraysFile, array_bytes, new_hasher

__all__ = [
    "Bounds",
    "DamagedError",
    "SavedArray",
    "SavedPiece",
    "StoredArrays",
    "piece_name",
    "reason",
    "saved_arrays",
]

Bounds: TypeAlias = tuple[tuple[int, int], ...]
"""Bounds of a piece of an array: start and stop along each dimension."""

_KNOWN_REASON = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|Permission denied"
    r"|Read-only file system|Input/output error"
)
_T = TypeVar("_T")
_R = TypeVar("_R")


class DamagedError(Exception):
    """A checkpoint is corrupted; the text is the reason, in one line."""


@dataclasses.dataclass(frozen=True, slots=True)
class SavedPiece:
    """A piece of an array, as one process wrote it."""

    file: str
    """Name of the file that holds it."""
    bounds: Bounds
    digest: str
    """128-bit xxHash of its bytes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the piece."""
        return tuple(stop - start for start, stop in self.bounds)


@dataclasses.dataclass(frozen=True, slots=True)
class SavedArray:
    """Description of one array in a checkpoint."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pieces: tuple[SavedPiece, ...]
    """The pieces that were written, in order; together they are the array."""

    @property
    def digest(self) -> str | tuple[tuple[Bounds, str], ...]:
        """128-bit xxHash of the array's bytes; (bounds, xxHash) of several pieces."""
        if len(self.pieces) == 1:
            return self.pieces[0].digest
        return tuple((piece.bounds, piece.digest) for piece in self.pieces)

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return array_bytes(self.dtype, self.shape)


def saved_arrays(metadata: Mapping[str, Any]) -> dict[str, SavedArray]:
    """Description of each array that a checkpoint's metadata lists."""
    files = metadata["files"]
    return {
        name: SavedArray(
            tuple(array["shape"]),
            _dtype(array["dtype"]),
            tuple(
                SavedPiece(files[file], tuple(map(tuple, bounds)), digest)
                for file, bounds, digest in array["pieces"]
            ),
        )
        for name, array in metadata["arrays"].items()
    }


def _dtype(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name, name))


def piece_name(name: str, shape: Sequence[int], bounds: Bounds) -> str:
    """Name of a piece in its file; that of the array if it is the complete one.

    >>> piece_name("params/w", (8, 4), ((0, 4), (0, 4)))
    'params/w[0:4,0:4]'
    """
    if bounds == tuple((0, size) for size in shape):
        return name
    return f"{name}[{','.join(f'{start}:{stop}' for start, stop in bounds)}]"


class StoredArrays(contextlib.AbstractContextManager["StoredArrays"]):
    """The files of a checkpoint, open for reading.

    Args:
        path: the checkpoint.
        saved: description of all its arrays.

    Raises:
        DamagedError: a file is missing, or its header or size has changed.
    """

    def __init__(self, path: Path, saved: Mapping[str, SavedArray]):
        self._saved = saved
        self._files: dict[str, ArraysFile] = {}
        described: dict[str, dict[str, Any]] = {}
        for name, array in saved.items():
            for piece in array.pieces:
                key = piece_name(name, array.shape, piece.bounds)
                content = described.setdefault(piece.file, {})
                content[key] = (array.dtype, piece.shape)
        with contextlib.ExitStack() as stack:
            for file, content in described.items():
                with _damage(file):
                    self._files[file] = ArraysFile(path / file, content)
                stack.callback(self._files[file].close)
            self._stack = stack.pop_all()

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, name: str) -> np.ndarray:
        """Reads an array to the host, and verifies its digests.

        Raises:
            DamagedError: it cannot be read, or has changed.
        """
        array = self._saved[name]
        complete = np.empty(array.shape, array.dtype)
        self.fill(name, {tuple((0, size) for size in array.shape): complete})
        return complete

    def read_all(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Reads arrays to the host, several at once, and verifies their digests.

        Raises:
            DamagedError: some cannot be read, or have changed.
        """
        names = list(names)
        values, damages = in_threads(self.read, names)
        raise_first(damages)
        return dict(zip(names, values, strict=True))

    def fill(self, name: str, targets: Mapping[Bounds, np.ndarray]) -> set[Bounds]:
        """Fills parts of an array, which do not overlap.

        A piece that lies in the parts completely is verified. Of another one, only the
        bytes in the parts are read.

        Args:
            name: of the array.
            targets: bounds of a part -> array that is filled with it.

        Returns:
            Bounds of the pieces that were verified.

        Raises:
            DamagedError: a piece cannot be read, or has changed.
        """
        array, verified = self._saved[name], set()
        for piece in array.pieces:
            overlaps = {
                bounds: overlap
                for bounds in targets
                if (overlap := _overlap(piece.bounds, bounds)) is not None
            }
            if not overlaps:
                continue
            complete = _covers(targets, piece.bounds)
            if complete:
                verified.add(piece.bounds)
            with self._reading(name, array, piece) as (file, key):
                if (target := targets.get(piece.bounds)) is not None:
                    self._check(name, piece, file.read(key, target))
                elif complete:
                    self._distribute(name, piece, file, key, targets)
                else:
                    for bounds, overlap in overlaps.items():
                        part = targets[bounds][_inside(overlap, bounds)]
                        where = _inside(overlap, piece.bounds)
                        file.read_part(key, piece.shape, where, part)
        return verified

    def verify(self, name: str, *, skip: Iterable[Bounds] = ()) -> None:
        """Verifies the pieces of an array, with memory for none of them.

        Args:
            name: of the array.
            skip: bounds of pieces that need not be verified.

        Raises:
            DamagedError: a piece cannot be read, or has changed.
        """
        array, skip = self._saved[name], set(skip)
        for piece in array.pieces:
            if piece.bounds not in skip:
                size = array_bytes(array.dtype, piece.shape)
                with self._reading(name, array, piece) as (file, key):
                    self._check(name, piece, file.digest(key, size))

    def damages(self) -> list[str]:
        """Verifies all arrays; returns a reason for each that is damaged."""
        return [str(damage) for damage in in_threads(self.verify, list(self._saved))[1]]

    def _distribute(
        self,
        name: str,
        piece: SavedPiece,
        file: ArraysFile,
        key: str,
        targets: Mapping[Bounds, np.ndarray],
    ) -> None:
        """Reads a piece once, some rows after others, into the parts that hold it."""
        (begin, _), *others = piece.bounds
        dtype = self._saved[name].dtype
        hasher = new_hasher()
        for first, rows in file.rows(key, piece.shape, dtype, hasher):
            start = begin + first
            block = ((start, start + len(rows)), *others)
            for bounds, part in targets.items():
                if (overlap := _overlap(block, bounds)) is not None:
                    values = rows[_inside(overlap, block)]
                    part[_inside(overlap, bounds)] = values
        self._check(name, piece, hasher.hexdigest())

    @contextlib.contextmanager
    def _reading(
        self, name: str, array: SavedArray, piece: SavedPiece
    ) -> Iterator[tuple[ArraysFile, str]]:
        with _damage(name):
            key = piece_name(name, array.shape, piece.bounds)
            yield self._files[piece.file], key

    @staticmethod
    def _check(name: str, piece: SavedPiece, digest: str) -> None:
        if digest != piece.digest:
            raise DamagedError(f"{name} changed since it was written")


def in_threads(
    function: Callable[[_T], _R], values: Sequence[_T]
) -> tuple[list[_R], list[DamagedError]]:
    """Calls a function that reads files on each value, several at once.

    Returns:
        (results in order, of the calls that did not fail, the damages of the others).
    """
    results: list[_R] = []
    damages: list[DamagedError] = []
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        for future in [threads.submit(function, value) for value in values]:
            try:
                results.append(future.result())
            except DamagedError as error:
                damages.append(error)
    return results, damages


def raise_first(damages: Sequence[Exception | str]) -> None:
    """Raises the first damage, with the number of the others, if there is one.

    Raises:
        DamagedError: there is one.
    """
    if damages:
        more = f" and {len(damages) - 1} more" if len(damages) > 1 else ""
        raise DamagedError(f"{damages[0]}{more}")


def reason(error: BaseException) -> str:
    """Shortens an error to one line.

    >>> reason(OSError(28, "No space left on device"))
    'No space left on device'
    """
    text = str(error) or type(error).__name__
    if known := _KNOWN_REASON.search(text):
        return known[0]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    line = text.strip().split("\n")[0]
    return line if len(line) <= 160 else f"{line[:157]}..."


@contextlib.contextmanager
def _damage(where: str) -> Iterator[None]:
    """Raises errors of reading as damage."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise DamagedError(f"{where}: {reason(error)}") from error


def _overlap(first: Bounds, second: Bounds) -> Bounds | None:
    overlap = tuple(
        (max(a, c), min(b, d)) for (a, b), (c, d) in zip(first, second, strict=True)
    )
    return None if any(start >= stop for start, stop in overlap) else overlap


def _inside(overlap: Bounds, bounds: Bounds) -> tuple[slice, ...]:
    """Index of an overlap within the piece of these bounds."""
    return tuple(
        slice(start - origin, stop - origin)
        for (start, stop), (origin, _) in zip(overlap, bounds, strict=True)
    )


def _covers(parts: Iterable[Bounds], piece: Bounds) -> bool:
    """Returns whether parts that do not overlap contain a piece completely."""
    overlaps = [o for o in (_overlap(piece, part) for part in parts) if o is not None]
    return sum(map(_size, overlaps)) == _size(piece)


def _size(bounds: Bounds) -> int:
    return math.prod(stop - start for start, stop in bounds)
