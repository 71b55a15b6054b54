"""Check of Hydra's options in a command that runs no sweep."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from specflow.compose.check.pydantic_errors import key_not_text
from specflow.compose.provenance import Origin
from specflow.compose.read.config_folders import Folders
from specflow.compose.read.defaults_list import ROOT, composition_diagnostic
from specflow.compose.read.defaults_places import read_defaults
from specflow.compose.read.documents import Document, mark_of
from specflow.compose.read.hydra_errors import (
    HYDRA_ERRORS,
    asked_of_hydra,
    place_of,
    reserved,
    wants_mapping,
)
from specflow.compose.read.hydra_launcher import default_launcher
from specflow.compose.read.override_grammar import Request
from specflow.compose.read.valid_blocks import read_valid_blocks
from specflow.diagnostics.errors import Diagnostic

__all__ = ["option_diagnostics", "sweep_options"]

_OF_SWEEPS = ("sweep", "sweeper", "launcher", "job")
"""Sections of Hydra that a single run does not read."""


def option_diagnostics(
    request: Request, files: Iterable[tuple[Path, str]], folders: Folders
) -> list[Diagnostic]:
    """Reports options of Hydra that a single run cannot use.

    Files may hold options of a sweep, which a single run ignores; on the command line
    they are a mistake. An option that Hydra does not know is a mistake in either.

    Args:
        request: overrides of the command line.
        files: merged files, each with its package.
        folders: config folders.
    """
    documents = _documents(files, folders)
    diagnostics = [
        reserved(key, place_of(file, key.split("."), folders))
        for file, document in documents.items()
        for key in asked_of_hydra("hydra", document.content.get("hydra"))
    ]
    # Reserved keys are reported where the overrides are parsed.
    options = [
        one
        for one in request.hydra
        if not asked_of_hydra(one.key_or_group, one.value())
    ]
    for file, document in documents.items():
        shown = folders.shown(file)
        node, content = document.node, document.content
        diagnostics += _keys_that_are_no_text(node, content, shown)
        if not isinstance(written := document.content.get("hydra", {}), dict):
            place = place_of(file, ["hydra"], folders)
            diagnostics.append(wants_mapping(["hydra"], written, place))
    asked = options or any(map(_asks, documents.values()))
    if asked and len(options) == len(request.hydra) and not diagnostics:
        diagnostics += _refused(request, folders)
    if diagnostics:
        return diagnostics
    return [
        Diagnostic(
            override.key_or_group,
            "is an option of sweeps",
            expected="-m, which runs one, or no option of Hydra",
            origin=f"override {override.input_line}",
            code="sweep",
        )
        for override in options
    ]


def sweep_options(files: Iterable[tuple[Path, str]], folders: Folders) -> Iterator[str]:
    """Yields a note for each option of sweeps in a file: a single run ignores it.

    Args:
        files: merged files, each with its package.
        folders: config folders.
    """
    for file, document in _documents(files, folders).items():
        shown = folders.shown(file)
        node = document.node
        marks = {f"hydra.{key}": mark_of(node, ("hydra", key)) for key in _OF_SWEEPS}
        places = {
            key: Origin(shown, mark.line + 1, mark.column + 1)
            for key, mark in marks.items()
            if mark is not None
        } | {
            entry.group: entry.origin
            for entry in read_defaults(node, shown)
            if entry.group in ("hydra/launcher", "hydra/sweeper")
        }
        for key, place in places.items():
            where = place.exact
            yield f"{key} has no effect without -m, which runs a sweep ({where})"


def _documents(
    files: Iterable[tuple[Path, str]], folders: Folders
) -> dict[Path, Document]:
    """Returns the user's own files that may have a section of Hydra."""
    ours = folders.paths[-1] / f"{ROOT}.yaml"
    # Hydra's own section is at the root.
    own = [file for file, package in files if not package and file != ours]
    return {file: read_valid_blocks(file, folders.shown(file)).document for file in own}


def _keys_that_are_no_text(
    node: yaml.Node, content: Any, shown: str, path: tuple[str, ...] = ()
) -> Iterator[Diagnostic]:
    """Yields the keys of Hydra that YAML does not read as text; Hydra names none."""
    if not isinstance(node, yaml.MappingNode) or not isinstance(content, dict):
        return
    for (key, inner), (name, value) in zip(node.value, content.items(), strict=False):
        at, mark = (*path, str(key.value)), key.start_mark
        if at[0] != "hydra":
            continue
        if not isinstance(name, str):
            origin = Origin(shown, mark.line + 1, mark.column + 1)
            yield key_not_text(at, name, origin.exact)
        yield from _keys_that_are_no_text(inner, value, shown, at)


def _asks(document: Document) -> bool:
    """Returns whether a file sets an option of Hydra."""
    shown = "a file"
    defaults_entries = read_defaults(document.node, shown)
    return "hydra" in document.content or any(
        entry.group.startswith("hydra/") for entry in defaults_entries
    )


def _refused(request: Request, folders: Folders) -> Iterator[Diagnostic]:
    """Yields what Hydra refuses in its own section; a sweep composes it anyway."""
    if GlobalHydra.instance().is_initialized():
        return
    from specflow.compose.read.hydra_search_path import hydra  # It loads plugins.

    lines = [
        *default_launcher(request, folders),
        *(str(one.input_line) for one in (*request.hydra, *request.choices)),
    ]
    with hydra(folders) as state:
        try:
            running = state.hydra
            assert running is not None
            running.compose_config(ROOT, lines, RunMode.RUN, False)
        except HYDRA_ERRORS as error:
            diagnostic = composition_diagnostic(error, folders, request.all())
            if diagnostic.where.startswith("hydra"):
                yield diagnostic
