"""Checks of `sweep.storage`: no password in its URL, and no URL of a stranger."""

from collections.abc import Iterable
from typing import Any

from specflow.compose.check.foreign_files import set_by_file
from specflow.compose.provenance import Origins
from specflow.compose.read.config_folders import Folders
from specflow.diagnostics.errors import Diagnostic
from specflow.diagnostics.passwords import without_password
from specflow.runtime.plain_tree import value_at

__all__ = ["STORAGE", "storage_diagnostics"]

STORAGE = "sweep.storage"


def storage_diagnostics(
    tree: Any, origins: Origins, folders: Folders, trusted: Iterable[str]
) -> list[Diagnostic]:
    """Refuses a password in a URL, which the config and its manifest would record.

    Refuses the URL of a database that a file of unknown origin sets, too: results would
    be written to it.

    Args:
        tree: the composed experiment, plain and resolved.
        origins: origins of its values.
        folders: config folders.
        trusted: folders that the user trusts.
    """
    path = tuple(STORAGE.split("."))
    value = value_at(tree, path)
    if not isinstance(value, str) or "://" not in value:
        return []
    origin = origins.leaf(path).exact
    if without_password(value) != value:
        is_postgres = value.startswith("postgres")
        place = "~/.pgpass or PGPASSWORD" if is_postgres else "its driver's own file"
        return [
            Diagnostic(
                STORAGE,
                "has a password in its URL, which files of the sweep would show",
                expected="a URL without one, such as postgresql://user@host/database",
                hint=f"Put the password into {place}.",
                origin=origin,
                code="sweep",
            )
        ]
    return set_by_file(value, origin, folders, trusted, key=STORAGE)
