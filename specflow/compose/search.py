"""What Hydra is told of our folders: where they lie, and what their files ask for."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from specflow.compose.documents import load
from specflow.compose.folders import Folders

__all__ = ["hydra"]

_HYDRA = "hydra/config"
"""The config that Hydra puts before every other: its own."""


class OwnFolders(SearchPathPlugin):
    """Tells Hydra the folders, in the order in which they are searched."""

    urls: ClassVar[tuple[str, ...]] = ()

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra when it is initialized."""
        for url in self.urls:
            search_path.prepend("own", url, anchor="main")


class DefaultsLists(ConfigSource):
    """A folder of which Hydra sees the defaults lists, and nothing else.

    That is all it takes to find which files make up an experiment; the values are
    merged here, where each keeps its line. Hydra's own config is empty as well, and
    what a file asks of Hydra itself, which only matters to a sweep, is left out.
    """

    folders: ClassVar[Folders]

    @staticmethod
    def scheme() -> str:
        """Of the URLs of such folders."""
        return "defaults"

    def load_config(self, config_path: str) -> ConfigResult:
        """The defaults list of a file, and its package."""
        content: dict[str, Any] = {}
        header: dict[str, str | None] = {"package": None}
        if config_path != _HYDRA:
            file = self._file(config_path)
            document = load(file, self.folders.shown(file))
            header = self._get_header_dict(file.read_text(encoding="utf-8")[:512])
            if "defaults" in document.content:
                content = {"defaults": _without_hydra(document.content["defaults"])}
        return ConfigResult(
            self.provider,
            self.full_path(),
            OmegaConf.create(content),
            header,
        )

    def is_group(self, config_path: str) -> bool:
        """Whether there is a folder of that name."""
        return (Path(self.path) / config_path).is_dir()

    def is_config(self, config_path: str) -> bool:
        """Whether there is a file of that name."""
        return config_path == _HYDRA or self._file(config_path).is_file()

    def available(self) -> bool:
        """Whether the folder is there."""
        return self.is_group("")

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """What can be chosen in a group."""
        del results_filter  # Groups inside groups are no choices.
        return Folders((Path(self.path),)).choices(config_path)

    def _file(self, config_path: str) -> Path:
        return Path(self.path) / self._normalize_file_name(config_path)


@contextlib.contextmanager
def hydra(folders: Folders, *, whole: bool = True) -> Iterator[GlobalHydra]:
    """A context in which Hydra knows the folders.

    Args:
        folders: where configs lie.
        whole: whether Hydra sees all of a file, as its sweepers and launchers must, or
            its defaults list alone, which is many times faster.
    """
    Plugins.instance().register(OwnFolders)
    Plugins.instance().register(DefaultsLists)
    *own, ours = folders.paths
    # A job of a sweep composes too, while the sweep has Hydra already.
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        DefaultsLists.folders = folders
        searched, scheme = (own, "file") if whole else (folders.paths, "defaults")
        OwnFolders.urls = tuple(f"{scheme}://{folder}" for folder in searched)
        with initialize_config_dir(
            config_dir=str(ours), job_name="specflow", version_base="1.3"
        ):
            yield GlobalHydra.instance()
    finally:
        if outer is not None:
            GlobalHydra.instance().initialize(outer)


def _without_hydra(entries: Any) -> Any:
    """A defaults list without the choices that Hydra makes for itself."""
    if not isinstance(entries, list):
        return entries  # Hydra says what is wrong with it.

    def name(entry: Any) -> str:
        first = next(iter(entry), "") if isinstance(entry, dict) else entry
        return str(first).split(" ")[-1].lstrip("/")

    return [entry for entry in entries if not name(entry).startswith("hydra/")]
