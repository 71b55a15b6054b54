"""The sweeper of a command that chooses none."""

from specflow.compose.read.config_folders import Folders
from specflow.compose.read.defaults_list import defaults_list
from specflow.compose.read.defaults_places import read_defaults
from specflow.compose.read.documents import load
from specflow.compose.read.override_grammar import Request
from specflow.diagnostics.errors import ConfigError

__all__ = ["default_sweeper"]

_GROUP = "hydra/sweeper"


def default_sweeper(request: Request, folders: Folders) -> list[str]:
    """Returns the override that chooses the sweeper of specflow, for a search.

    That is a command with a section `sweep`, of a file or typed, or with an interval,
    of which no grid can be made. Nothing if the command line or a file chooses a
    sweeper.

    Args:
        request: overrides of the command.
        folders: config folders.

    >>> from specflow.compose.read.config_folders import folders
    >>> from specflow.compose.read.override_grammar import read
    >>> for line in ("optimizer.lr=0.1,0.2", "optimizer.lr=interval(0,1)", "sweep=tpe"):
    ...     print(default_sweeper(read([line], folders())[0], folders()))
    []
    ['hydra/sweeper=specflow']
    ['hydra/sweeper=specflow']
    """
    if any(one.key_or_group == _GROUP for one in request.hydra):
        return []
    written = (*request.choices, *request.values)
    is_search = any(
        one.key_or_group.partition(".")[0] == "sweep"
        or (one.is_sweep_override() and not one.is_discrete_sweep())
        for one in written
        if not one.is_delete()
    )
    try:
        files = defaults_list(request.singles().choices, folders).files
        for file, package in files:
            shown = folders.shown(file)
            document = load(file, shown)
            if any(
                entry.group == _GROUP for entry in read_defaults(document.node, shown)
            ):
                return []
            content = document.content
            has_section = isinstance(content, dict) and content.get("sweep")
            is_search = is_search or package == "sweep" or bool(has_section)
    except ConfigError:
        return []  # Composing reports it.
    return [f"{_GROUP}=specflow"] if is_search else []
