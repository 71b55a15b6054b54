"""Compares the files of a run with those of its data now."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from specflow.diagnostics.errors import DataError, Diagnostic

__all__ = ["changed_files", "refused_changes"]

_SHOWN = 10
"""Number of files that one report names."""
_HINT = "Restore the files, or train in another output.dir."


def changed_files(
    recorded: Mapping[str, str], files: Mapping[str, str], *, lost: bool = True
) -> Iterator[Diagnostic]:
    """Yields diagnostics of files that differ from those of a run.

    Args:
        recorded: path of each file of the run -> its digest. A file may be renamed.
        files: the same, of the files now.
        lost: report files of the run that are not among them.
    """
    digests, known_digests = set(files.values()), set(recorded.values())
    for name, digest in files.items():
        known = name in recorded
        if recorded[name] == digest if known else digest in known_digests:
            continue
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


def refused_changes(diagnostics: Sequence[Diagnostic], hint: str = _HINT) -> DataError:
    """The error for changed files: the first ones, and how many more there are.

    Args:
        diagnostics: at least one, of `changed_files`.
        hint: what to do.
    """
    first = dataclasses.replace(diagnostics[0], hint=hint)
    shown = [first, *diagnostics[1:_SHOWN]]
    if (left := len(diagnostics) - _SHOWN) > 0:
        problem = f"{left:,} more have changed"
        shown.append(Diagnostic("files", problem, code="table-changed"))
    return DataError(*shown)
