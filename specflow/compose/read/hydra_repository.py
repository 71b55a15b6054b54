"""Our folders as Hydra's defaults lists see them."""

from pathlib import Path
from typing import Any

from hydra import __version__, version
from hydra._internal.config_repository import ConfigRepository
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf

from specflow.compose.read.config_folders import Folders
from specflow.compose.read.documents import empty, text_of
from specflow.compose.read.salvage import salvage

__all__ = ["BASE", "DefaultsLists"]

BASE = {"version_base": "1.3"} if __version__.startswith("1.3.") else {}
"""What Hydra is told of the version whose behaviour is asked for. From 1.4 on it has
one behaviour, that of 1.3, and warns of who says so."""


class DefaultsLists(ConfigRepository):
    """Folders of which Hydra sees the defaults lists, and nothing else.

    That is all it takes to find which files make up an experiment; the values are
    merged here, where each keeps its line. What a file asks of Hydra itself, which only
    matters to a sweep, is left out.

    Hydra's public way to its defaults lists starts the whole of it, plugins included,
    which takes as long as the rest of composing; `tests/compose/test_defaults.py` holds
    one against the other.
    """

    instead: dict[str, str]
    """Config that is not there -> one that stands in for it; empty: nothing does."""
    left_out: set[str]
    """Groups that defaults lists change, and that are not there to be changed."""
    at_root: set[str]
    """Configs that are merged at the root, whatever their headers say."""

    def __init__(self, folders: Folders):
        if BASE:
            version.setbase(BASE["version_base"])
        self.sources = []
        self.instead, self.left_out, self.at_root = {}, set(), set()
        self._folders = folders
        self._loaded: dict[str, ConfigResult | None] = {}
        self._no_values = OmegaConf.create({})

    def load_config(self, config_path: str) -> ConfigResult | None:
        """The defaults list of a file, and its package; none if there is no file."""
        if config_path not in self._loaded:  # Hydra asks for each one several times.
            self._loaded[config_path] = self._load(config_path)
        return self._loaded[config_path]

    def file(self, config_path: str) -> Path | None:
        """The file of a config, or of what stands in for it."""
        if config_path.endswith("/None"):  # Hydra's name for a group without a choice.
            return None
        return self._folders.file(self.instead.get(config_path, config_path))

    def files(self) -> list[Path]:
        """The files that have been read."""
        found = map(self.file, self._loaded)
        return [file for file in found if file is not None]

    def forget(self) -> None:
        """Reads everything again, after `instead` or `left_out` has changed."""
        self._loaded.clear()

    def group_exists(self, config_path: str) -> bool:
        """Whether there is a folder of that name."""
        return self._folders.is_group(config_path)

    def config_exists(self, config_path: str) -> bool:
        """Whether there is a file of that name."""
        return self._folders.file(config_path) is not None

    def get_group_options(
        self, group_name: str, results_filter: ObjectType | None = ObjectType.CONFIG
    ) -> list[str]:
        """What can be chosen in a group."""
        del results_filter  # Groups inside groups are no choices.
        return self._folders.choices(group_name)

    def _load(self, config_path: str) -> ConfigResult | None:
        file = self.file(config_path)
        if file is None and config_path not in self.instead:
            return None
        document, head = empty(), ""
        if file is not None:
            # What is wrong with it is told where its values are merged.
            document = salvage(file, self._folders.shown(file)).document
            head = text_of(file, self._folders.shown(file))[:512]
        content = document.content
        listed = []
        if "defaults" in content:
            asked = {"defaults": self._ours(content["defaults"])}
            lists = self._extract_defaults_list(config_path, OmegaConf.create(asked))
            listed = self._create_defaults_list(config_path, lists)
        header = ConfigSource._get_header_dict(head)
        if config_path in self.at_root:
            header["package"] = "_global_"
        return ConfigResult("specflow", str(file), self._no_values, header, listed)

    def _ours(self, entries: Any) -> Any:
        """A defaults list without the choices that Hydra makes for itself."""
        if not isinstance(entries, list):
            return entries  # Hydra says what is wrong with it.

        def words(entry: Any) -> list[str]:
            first = next(iter(entry), "") if isinstance(entry, dict) else entry
            return str(first).split(" ")

        return [
            entry
            for entry in entries
            if not words(entry)[-1].lstrip("/").startswith("hydra/")
            and not (
                "override" in words(entry)[:-1]
                and words(entry)[-1].lstrip("/") in self.left_out
            )
        ]
