"""Files of a table: globs, formats and digests."""

import dataclasses
import glob
import itertools
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from specflow.data.table.image_folder import ImageFolder, image_folder
from specflow.data.table.kept_digests import file_digest
from specflow.data.table.read_retries import read_retried
from specflow.data.table.remote_files import fetched_files, is_url
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.runtime.filesystem import absence_hint, expanded

__all__ = ["TableFile", "format_of", "matching_files", "table_files", "unreadable"]

_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
_GLOB = "*.csv"
_SEEN = 1_000
"""Number of files of a folder that show the suffix of its tables."""
_WORDS = {
    "csv": "a CSV file",
    "tsv": "a TSV file",
    "jsonl": "a file of JSON objects, one a line,",
    "parquet": "a Parquet file",
    "arrow": "an Arrow file (of pyarrow.feather.write_feather or pyarrow.ipc.new_file)",
    "folder": "a folder of images",
}


@dataclasses.dataclass(frozen=True, slots=True)
class TableFile:
    """One file of a table."""

    name: str
    """Path as the user wrote it, with globs expanded."""
    path: Path
    format: str
    digest: str
    """SHA-256 of the content."""
    images: ImageFolder | None = None
    """The images of a folder of classes."""

    @property
    def folder(self) -> Path:
        """Folder of relative paths in its cells."""
        return self.path if self.images is not None else self.path.parent


def table_files(
    written: Sequence[str], *, key: str, format: str | None = None
) -> list[TableFile]:
    """Finds the files of paths and globs.

    Args:
        written: paths, URLs and globs; files of a glob are in the order of their names.
        key: dotted key of the paths, for messages.
        format: of all files; None: by their suffix.

    Raises:
        DataError: a file is missing or empty, a glob matches none, or the format is
            unknown; all are reported.
    """
    diagnostics: list[Diagnostic] = []
    files: dict[str, TableFile] = {}
    if format == "folder":
        return _folders(written, key)
    for pattern in written:
        for name, path in matching_files(pattern, key, diagnostics):
            chosen = format or _SUFFIXES.get(path.suffix.lower())
            if chosen is None:
                hint = "Or name it: data.format=csv." if key.startswith("data.") else ""
                diagnostics.append(_no_format(name, path, key, hint))
                continue
            try:
                size, digest = _facts(name, path)
            except DataError as error:
                diagnostics += error.diagnostics
                continue
            if not size:
                diagnostics.append(
                    Diagnostic(
                        key,
                        f"{name} is an empty file",
                        expected="a header and rows",
                        code="data-empty",
                    )
                )
            else:
                files[name] = TableFile(name, path, chosen, digest)
    formats = {file.format for file in files.values()}
    if len(formats) > 1:
        diagnostics.append(
            Diagnostic(
                key,
                f"files have different formats: {', '.join(sorted(formats))}",
                expected="one format",
                code="table-format",
            )
        )
    if diagnostics:
        raise DataError(*diagnostics)
    _note_partitions(files)
    return list(files.values())


def _note_partitions(files: Iterable[str]) -> None:
    """Prints which columns the names of folders may mean, which are not read."""
    folders = (part for name in files for part in Path(name).parts[:-1])
    names = dict.fromkeys(part.partition("=")[0] for part in folders if "=" in part)
    if names:
        print(
            f"data: values in the names of folders, such as {next(iter(names))}=..., "
            "are no columns",
            file=sys.stderr,
        )


def _folders(written: Sequence[str], key: str) -> list[TableFile]:
    """Folders of classes."""
    diagnostics: list[Diagnostic] = []
    files: list[TableFile] = []
    for name in dict.fromkeys(written):
        try:
            images = image_folder(name, expanded(name, key), key=key)
            digest = read_retried(name, partial(getattr, images, "digests")).sha256
            files.append(TableFile(name, images.path, "folder", digest, images))
        except DataError as error:
            diagnostics += error.diagnostics
    if diagnostics:
        raise DataError(*diagnostics)
    return files


def format_of(path: Path, *, key: str) -> str:
    """Returns the format of a table to be written, by its suffix.

    Raises:
        DataError: the suffix is no format of tables.
    """
    format = _SUFFIXES.get(path.suffix.lower())
    if format is None:
        raise DataError(_no_format(str(path), path, key, ""))
    return format


def _facts(name: str, path: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256 of a file."""
    size = read_retried(name, lambda: path.stat().st_size)
    return size, file_digest(name, path)


def _no_format(name: str, path: Path, key: str, hint: str) -> Diagnostic:
    return Diagnostic(
        key,
        f"the suffix {path.suffix.lower()!r} of {name} is no format of tables",
        expected=f"one of {', '.join(_SUFFIXES)}",
        hint=hint,
        code="table-format",
    )


def matching_files(
    pattern: str, key: str, diagnostics: list[Diagnostic], *, glob_name: str = _GLOB
) -> Iterable[tuple[str, Path]]:
    """Name and path of each file of a path, a URL, or a glob of them.

    Args:
        pattern: the path, URL or glob, as written.
        key: its dotted key, for messages.
        diagnostics: gets an error where there is no file.
        glob_name: glob of files that a hint names for a folder.
    """
    path = expanded(pattern, key)
    if path.is_file():
        return [(pattern, path)]
    if is_url(pattern):
        return fetched_files(pattern, key, diagnostics)
    if glob.has_magic(pattern):
        names = sorted(glob.glob(str(path), recursive=True))
        found = [(name, Path(name)) for name in names if Path(name).is_file()]
        problem, hint = f"no file matches {pattern!r}", ""
    else:
        found = []
        problem = (
            f"{pattern!r} is a folder"
            if path.is_dir()
            else f"there is no file {pattern!r}"
        )
        if path.is_dir() and glob_name == _GLOB:
            glob_name = _glob_inside(path)
        hint = (
            f"Use a glob, such as {pattern.rstrip('/')}/{glob_name}."
            if path.is_dir()
            else absence_hint(path)
        )
    if not found:
        diagnostics.append(Diagnostic(key, problem, hint=hint, code="missing-file"))
    return found


def _glob_inside(folder: Path) -> str:
    """A glob of the tables in a folder."""
    for file in itertools.islice(folder.rglob("*"), _SEEN):
        if file.suffix.lower() in _SUFFIXES and file.is_file():
            deep = "" if file.parent == folder else "**/"
            return f"{deep}*{file.suffix}"
    return _GLOB


def unreadable(file: TableFile, problem: str, code: str = "data-file") -> DataError:
    """An error of a file that is no table of its format."""
    return DataError(
        Diagnostic(
            file.name,
            problem,
            expected=f"{_WORDS[file.format]} with rows",
            code=code,
        )
    )
