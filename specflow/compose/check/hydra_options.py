"""Options of Hydra in a command that runs no sweep, where Hydra runs nothing."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException

from specflow.compose.read.config_folders import Folders
from specflow.compose.read.defaults_list import (
    ROOT,
    composition_diagnostic,
    read_defaults,
)
from specflow.compose.read.documents import Document
from specflow.compose.read.hydra_errors import asked_of_hydra, place_of, reserved
from specflow.compose.read.override_grammar import Request
from specflow.compose.read.salvage import salvage
from specflow.diagnostics.errors import Diagnostic

__all__ = ["option_diagnostics"]


def option_diagnostics(
    request: Request, files: Iterable[tuple[Path, str]], folders: Folders
) -> list[Diagnostic]:
    """What is wrong with the options of Hydra that a single run is given.

    Files may hold those of a sweep, which a single run has no use for; on the command
    line they are a mistake. What Hydra does not know is one in either.

    Args:
        request: of the command line.
        files: that are merged, each with its package.
        folders: where configs lie.
    """
    ours = folders.paths[-1] / f"{ROOT}.yaml"
    # Hydra's own section is at the root.
    own = [file for file, package in files if not package and file != ours]
    documents = {file: salvage(file, folders.shown(file)).document for file in own}
    diagnostics = [
        reserved(key, place_of(file, key.split("."), folders))
        for file, document in documents.items()
        for key in asked_of_hydra("hydra", document.content.get("hydra"))
    ]
    # What is reserved is told where the lines are read.
    options = [
        one
        for one in request.hydra
        if not asked_of_hydra(one.key_or_group, one.value())
    ]
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


def _asks(document: Document) -> bool:
    """Whether a file asks anything of Hydra itself."""
    shown = "a file"
    wishes = read_defaults(document.node, shown)
    return "hydra" in document.content or any(
        wish.group.startswith("hydra/") for wish in wishes
    )


def _refused(request: Request, folders: Folders) -> Iterator[Diagnostic]:
    """What Hydra refuses of its own section; in a sweep, it has composed it before."""
    if GlobalHydra.instance().is_initialized():
        return
    from specflow.compose.read.hydra_search_path import hydra  # It loads plugins.

    lines = [str(one.input_line) for one in (*request.hydra, *request.choices)]
    with hydra(folders) as state:
        try:
            running = state.hydra
            assert running is not None
            running.compose_config(ROOT, lines, RunMode.RUN, False)
        except (HydraException, OmegaConfBaseException) as error:
            diagnostic = composition_diagnostic(error, folders, request.all())
            if diagnostic.where.startswith("hydra"):
                yield diagnostic
