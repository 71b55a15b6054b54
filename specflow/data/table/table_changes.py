"""Compares the files of a run with those of its data now."""

from collections.abc import Iterator, Mapping

from specflow.diagnostics.errors import Diagnostic

__all__ = ["changed_files"]


def changed_files(
    recorded: Mapping[str, str], files: Mapping[str, str], *, lost: bool = True
) -> Iterator[Diagnostic]:
    """Yields diagnostics of files that differ from those of a run.

    Args:
        recorded: path of each file of the run -> its digest. A file may be renamed.
        files: the same, of the files now.
        lost: report files of the run that are not among them.
    """
    digests = set(files.values())
    for name, digest in files.items():
        if digest in recorded.values():
            continue
        known = name in recorded
        yield Diagnostic(
            name,
            "has changed since the run was trained"
            if known
            else "is no file that the run was trained on",
            code="table-changed",
        )
    for name, digest in recorded.items():
        if lost and digest not in digests and name not in files:
            yield Diagnostic(
                name,
                "is a file that the run was trained on, and is not among the files now",
                code="table-changed",
            )
