"""Arrays of `.npy` files and stored `.npz` files, mapped into memory.

`numpy.load` maps no array of an `.npz` file. One that was stored without compression is
a part of the file, behind a local header of the archive, and is mapped there.
"""

import dataclasses
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow import DataError, data
from specflow.diagnostics.errors import Diagnostic

__all__ = ["NpyRecords", "number_of_rows"]

_LOCAL = struct.Struct("<26xHH")
"""Local header of a member of an archive: lengths of its name and its extra field."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Part:
    """Arrays of one path."""

    name: str
    arrays: Mapping[str, npt.NDArray[Any]]
    files: Sequence[tuple[str, Path]]

    @property
    def rows(self) -> int:
        return len(next(iter(self.arrays.values())))


class NpyRecords:
    """The rows of arrays.

    Args:
        written: folders of `.npy` files, or `.npz` files; also globs.
        key: dotted key of them, for messages.

    Raises:
        DataError: a file is missing or malformed, or arrays differ in their rows.
    """

    def __init__(self, written: Sequence[str], *, key: str):
        self._parts = _opened(written, key)
        self._firsts = np.cumsum([0, *(part.rows for part in self._parts)])
        self.files: Mapping[str, str] = {
            name: data.file_digest(name, path)
            for part in self._parts
            for name, path in part.files
        }
        self.fields = {
            name: data.RecordField(
                kind="numbers",
                dtype=array.dtype,
                shape=array.shape[1:],
                about=f"{array.dtype}{list(array.shape[1:])}",
            )
            if array.dtype.kind in "biuf"
            else data.RecordField(
                kind="text" if array.dtype.kind in "SU" else "other",
                about=str(array.dtype),
            )
            for name, array in self._parts[0].arrays.items()
        }

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def place(self, row: int) -> str:
        """Path and number of a row."""
        part = int(np.searchsorted(self._firsts, row, side="right")) - 1
        return f"{self._parts[part].name}, row {row - int(self._firsts[part])}"

    def read(
        self, rows: npt.NDArray[np.int64], fields: Sequence[str] | None
    ) -> dict[str, Any]:
        """Reads rows: array -> its values."""
        names = list(self.fields) if fields is None else fields
        parts = np.searchsorted(self._firsts, rows, side="right") - 1
        read: dict[str, Any] = {}
        for name in names:
            first = self._parts[0].arrays[name]
            values = np.empty((len(rows), *first.shape[1:]), first.dtype)
            for number in np.unique(parts).tolist():
                places = np.flatnonzero(parts == number)
                inside = rows[places] - self._firsts[number]
                values[places] = self._parts[number].arrays[name][inside]
            read[name] = values.tolist() if values.dtype.kind in "SU" else values
        return read


def number_of_rows(written: Sequence[str], *, key: str) -> int:
    """Number of rows of arrays, of their headers."""
    return sum(part.rows for part in _opened(written, key))


def _opened(written: Sequence[str], key: str) -> list[_Part]:
    parts: list[_Part] = []
    problems: list[Diagnostic] = []
    for name, path in data.record_paths(written, key, problems):
        try:
            parts.append(_part(name, path))
        except DataError as error:
            problems += error.diagnostics
    for part in parts[1:]:
        forms = [
            {
                name: (array.dtype, array.shape[1:])
                for name, array in each.arrays.items()
            }
            for each in (parts[0], part)
        ]
        problems += [
            Diagnostic(
                part.name,
                f"array {name} differs, or is in one of them alone",
                expected=f"the arrays of {parts[0].name}",
                code="data-differs",
            )
            for name in sorted(forms[0].keys() | forms[1].keys())
            if forms[0].get(name) != forms[1].get(name)
        ]
    if problems:
        raise DataError(*problems)
    return parts


def _part(name: str, path: Path) -> _Part:
    """Maps the arrays of a folder, of an archive, or of a single file.

    Raises:
        DataError: there are none, or they differ in their rows.
    """
    if path.is_dir():
        members = sorted(path.glob("*.npy"))
        arrays = {file.stem: _mapped(f"{name}/{file.name}", file) for file in members}
        files = [(f"{name.rstrip('/')}/{file.name}", file) for file in members]
    elif path.suffix == ".npy":
        arrays, files = {path.stem: _mapped(name, path)}, [(name, path)]
    else:
        arrays, files = _of_archive(name, path), [(name, path)]
    rows = {key: len(each) if each.ndim else None for key, each in arrays.items()}
    if not arrays:
        problem = "has no .npy files"
    elif None in rows.values() or len(set(rows.values())) != 1:
        listed = ", ".join(f"{key} has {count}" for key, count in rows.items())
        problem = f"arrays differ in rows: {listed}"
    else:
        return _Part(name, arrays, files)
    raise _wrong(name, problem, code="row-count" if arrays else "data-empty")


def _mapped(name: str, path: Path) -> npt.NDArray[Any]:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise _wrong(name, f"cannot be read: {error}") from error


def _of_archive(name: str, path: Path) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED:
                    raise _wrong(
                        name,
                        f"array {member.filename.removesuffix('.npy')} is compressed, "
                        "and cannot be mapped",
                        hint="Write it with numpy.savez, or read it with data=npz.",
                    )
                file.seek(member.header_offset)
                sizes = _LOCAL.unpack(file.read(_LOCAL.size))
                start = member.header_offset + _LOCAL.size + sum(sizes)
                file.seek(start)
                key = member.filename.removesuffix(".npy")
                arrays[key] = _mapped_at(path, file, start + member.file_size)
    except DataError:
        raise
    except (ValueError, OSError, EOFError, struct.error, zipfile.BadZipFile) as error:
        raise _wrong(name, f"cannot be read: {error}") from error
    return arrays


def _mapped_at(path: Path, file: Any, stop: int) -> npt.NDArray[Any]:
    """Maps the array whose header begins at the position of a file."""
    version = np.lib.format.read_magic(file)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, is_fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("arrays of Python objects are pickles and are refused")
    size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if file.tell() + size > stop:
        raise ValueError("an array is cut off")
    order = "F" if is_fortran else "C"
    if not size:
        return np.zeros(shape, dtype, order)
    return np.memmap(path, dtype, "r", file.tell(), shape, order)


def _wrong(
    name: str, problem: str, code: str = "data-file", hint: str = ""
) -> DataError:
    return DataError(
        Diagnostic(
            name,
            problem,
            expected="arrays with equal numbers of rows, in a folder of .npy files or "
            "an .npz file",
            hint=hint,
            code=code,
        )
    )
