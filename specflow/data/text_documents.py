"""Documents of text in files: a file each, or a line of JSON each."""

import dataclasses
import json
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path

from specflow.data.table.table_files import matching_files
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.runtime.text_encoding import other_encoding, without_mark

__all__ = ["Document", "read_documents"]

_SHOWN = 10
"""Number of errors that are reported."""
_MAPPED = 1 << 20
"""Size in bytes from which a file is mapped, and not read."""
_BLOCK = 1 << 20
_JSON = (".jsonl", ".ndjson")


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """A text that is in one split."""

    name: str
    """Path of its file, as written, and its line in a file of several."""
    content: bytes | memoryview
    """UTF-8, without a byte order mark; of a large file the pages of the disk's
    cache."""


def read_documents(paths: Sequence[str], *, key: str, column: str) -> list[Document]:
    """Reads the documents of files, in the order of the paths; empty ones are left out.

    Args:
        paths: files or globs; files of a glob are in the order of their names.
        key: dotted key of the paths, for messages.
        column: key of the text in a line of JSON.

    Raises:
        DataError: files are missing, a byte is not UTF-8, or a line has no text; the
            first ones are named with their byte or line.
    """
    diagnostics: list[Diagnostic] = []
    files: dict[str, Path] = {}
    for pattern in paths:
        files |= dict(matching_files(pattern, key, diagnostics, glob_name="*.txt"))
    documents: list[Document] = []
    for name, path in files.items():
        try:
            content = _content(name, path)
            if path.suffix.lower() in _JSON:
                documents += _of_lines(name, bytes(content), column, diagnostics)
            else:
                documents.append(Document(name, content))
        except DataError as error:
            diagnostics += error.diagnostics
    if diagnostics:
        raise DataError(*_first_ones(diagnostics, key))
    documents = [document for document in documents if len(document.content)]
    if not documents:
        raise DataError(
            Diagnostic(
                key,
                f"{len(files)} files have no text",
                expected="documents that are not empty",
                code="data-empty",
            )
        )
    return documents


def _content(name: str, path: Path) -> bytes | memoryview:
    """The checked content of a file.

    Raises:
        DataError: it cannot be read, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size < _MAPPED:
                whole: bytes | memoryview = file.read()
            else:
                whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise DataError(Diagnostic(name, problem, code="data-file")) from error
    places = range(0, len(whole), _BLOCK)
    other = other_encoding(bytes(whole[place : place + _BLOCK]) for place in places)
    if other is not None:
        raise DataError(
            Diagnostic(
                name if other.line is None else f"{name}:{other.line}",
                other.problem,
                expected="text in UTF-8",
                hint=other.hint(name),
                code="data-file",
            )
        )
    start = 4 - len(without_mark(bytes(whole[:4]).ljust(4)))
    return whole[start:]


def _of_lines(
    name: str, content: bytes, column: str, diagnostics: list[Diagnostic]
) -> Iterator[Document]:
    """Yields the documents of lines of JSON; adds the errors of the others."""
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        place = f"{name}:{number}"
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            problem, found = f"is not JSON at byte {error.pos}: {error.msg}", None
        else:
            is_object = isinstance(value, dict)
            found = value.get(column) if is_object else None
            problem = f"{column} is {type(found).__name__}"
            if not is_object:
                problem = f"is {type(value).__name__}, and no object"
            elif column not in value:
                problem = f"has no {column!r}, but {', '.join(value) or 'nothing'}"
        if isinstance(found, str):
            yield Document(place, found.encode("utf-8", "replace"))
            continue
        diagnostics.append(
            Diagnostic(
                place,
                problem,
                expected=f"an object with the text in {column!r}",
                hint="data.column names another key.",
                code="data-file",
            )
        )


def _first_ones(diagnostics: list[Diagnostic], key: str) -> list[Diagnostic]:
    left = len(diagnostics) - _SHOWN
    if left <= 0:
        return diagnostics
    more = Diagnostic(key, f"{left:,} more files or lines are wrong", code="data-file")
    return [*diagnostics[:_SHOWN], more]
