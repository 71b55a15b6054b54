"""Hydra's search path for a sweep: the config folders."""

import contextlib
from collections.abc import Iterator
from typing import ClassVar

from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from specflow.compose.read.config_folders import Folders
from specflow.compose.read.hydra_repository import BASE
from specflow.runtime.entry_points import brought_folders

__all__ = ["hydra"]


class OwnFolders(SearchPathPlugin):
    """Adds the config folders to Hydra's search path, in order."""

    urls: ClassVar[tuple[str, ...]] = ()

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra when it is initialized."""
        for url in self.urls:
            search_path.prepend("own", url, anchor="main")
        for folder in brought_folders():
            search_path.append("plugins", f"file://{folder}")


@contextlib.contextmanager
def hydra(folders: Folders) -> Iterator[GlobalHydra]:
    """Context in which Hydra is initialized with the config folders."""
    Plugins.instance().register(OwnFolders)
    *own, ours = folders.paths
    # The calling program may itself run under Hydra.
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        OwnFolders.urls = tuple(f"file://{folder}" for folder in own)
        with initialize_config_dir(config_dir=str(ours), job_name="specflow", **BASE):
            yield GlobalHydra.instance()
    finally:
        if outer is not None:
            GlobalHydra.instance().initialize(outer)
