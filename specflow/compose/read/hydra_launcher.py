"""The launcher of a sweep that chooses none."""

from specflow.compose.read.config_folders import Folders
from specflow.compose.read.defaults_list import defaults_list
from specflow.compose.read.defaults_places import read_defaults
from specflow.compose.read.documents import load
from specflow.compose.read.override_grammar import Request
from specflow.diagnostics.errors import ConfigError

__all__ = ["default_launcher"]

_GROUP = "hydra/launcher"


def default_launcher(request: Request, folders: Folders) -> list[str]:
    """Returns the override that chooses the launcher of specflow.

    Nothing if the command line or a file chooses a launcher. An entry in
    `conf/config.yaml` would win over those of the user's files: the first one that
    Hydra meets counts.

    Args:
        request: overrides of the command.
        folders: config folders.
    """
    if any(one.key_or_group == _GROUP for one in request.hydra):
        return []
    try:
        files = defaults_list(request.singles().choices, folders).files
        entries = [
            entry
            for file, _ in files
            for entry in read_defaults(
                load(file, folders.shown(file)).node, folders.shown(file)
            )
        ]
    except ConfigError:
        return []  # Composing reports it.
    if any(entry.group == _GROUP for entry in entries):
        return []
    return [f"{_GROUP}=specflow"]
