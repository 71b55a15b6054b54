"""Config folders as a repository for Hydra's defaults lists."""

from pathlib import Path
from typing import Any

from hydra import __version__, version
from hydra._internal.config_repository import ConfigRepository
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf

from specflow.compose.read.config_folders import Folders
from specflow.compose.read.defaults_entries import checked_entries
from specflow.compose.read.documents import empty, text_of
from specflow.compose.read.package_headers import stray_header
from specflow.compose.read.valid_blocks import read_valid_blocks
from specflow.diagnostics.errors import Diagnostic

__all__ = ["BASE", "DefaultsLists"]

BASE = {"version_base": "1.3"} if __version__.startswith("1.3.") else {}
"""Argument that selects the behaviour of Hydra 1.3. From 1.4 on that is the only one,
and passing the argument warns."""


class DefaultsLists(ConfigRepository):
    """Config folders with their defaults lists, and no values.

    The defaults lists determine the files of an experiment; their values are merged by
    specflow, which records the line of each. Entries for Hydra itself, which only
    matter to a sweep, are left out.

    Hydra's public API for defaults lists loads all of Hydra and its plugins, which
    takes as long as the rest of composition; `tests/compose/test_defaults.py` compares
    the results.
    """

    instead: dict[str, str]
    """Missing config -> the one that replaces it; empty text if none does."""
    left_out: set[str]
    """Groups whose choice a defaults list changes although none has been made."""
    overriding: set[tuple[str, str]]
    """(file, group) of entries that lack `override`: another list has chosen before."""
    at_root: set[str]
    """Configs that are merged at the root whatever their package header."""

    malformed: dict[str, tuple[Diagnostic, ...]]
    """Config -> the problems of the entries of its defaults list."""

    def __init__(self, folders: Folders):
        if BASE:
            version.setbase(BASE["version_base"])
        self.sources = []
        self.instead, self.left_out, self.at_root = {}, set(), set()
        self.overriding = set()
        self.malformed = {}
        self._folders = folders
        self._loaded: dict[str, ConfigResult | None] = {}
        self._no_values = OmegaConf.create({})

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Returns the defaults list and package of a file; None if it is missing."""
        if config_path not in self._loaded:  # Hydra loads each one several times.
            self._loaded[config_path] = self._load(config_path)
        return self._loaded[config_path]

    def file(self, config_path: str) -> Path | None:
        """Returns the file of a config, or of the one that replaces it."""
        if config_path.endswith("/None"):  # Hydra's name for a group without a choice.
            return None
        return self._folders.file(self.instead.get(config_path, config_path))

    def files(self) -> list[Path]:
        """Returns the files that were read."""
        files = map(self.file, self._loaded)
        return [file for file in files if file is not None]

    def forget(self) -> None:
        """Clears the cache, after what replaces or leaves out entries has changed."""
        self._loaded.clear()

    def group_exists(self, config_path: str) -> bool:
        """Returns whether a group exists."""
        return self._folders.is_group(config_path)

    def config_exists(self, config_path: str) -> bool:
        """Returns whether a config exists."""
        return self._folders.file(config_path) is not None

    def get_group_options(
        self, group_name: str, results_filter: ObjectType | None = ObjectType.CONFIG
    ) -> list[str]:
        """Returns the choices of a group."""
        del results_filter  # Nested groups are not choices.
        return self._folders.choices(group_name)

    def _load(self, config_path: str) -> ConfigResult | None:
        file = self.file(config_path)
        if file is None and config_path not in self.instead:
            return None
        document, head, shown = empty(), "", ""
        if file is not None:
            # Its problems are reported where its values are merged.
            shown = self._folders.shown(file)
            document = read_valid_blocks(file, shown).document
            head = text_of(file, shown)[:512]
        config = self.instead.get(config_path, config_path)
        overriding = {group for name, group in self.overriding if name == shown}
        checked = checked_entries(document, config, shown, self._folders, overriding)
        self.malformed[config] = checked.diagnostics
        asked = {"defaults": self._ours(checked.entries)}
        lists = self._extract_defaults_list(config_path, OmegaConf.create(asked))
        listed = self._create_defaults_list(config_path, lists)
        header: dict[str, str | None] = {"package": None}
        try:
            header = ConfigSource._get_header_dict(head)
        except ValueError:
            pass  # It is reported with its place.
        if stray := stray_header(config, head, document.content, shown):
            self.malformed[config] += (stray,)
            header["package"] = None
        if config_path in self.at_root:
            header["package"] = "_global_"
        return ConfigResult("specflow", str(file), self._no_values, header, listed)

    def _ours(self, entries: list[Any]) -> list[Any]:
        """Returns a defaults list without the choices of Hydra's own groups.

        And without those that change a choice which has not been made; a package, which
        makes it a choice of its own, is removed instead.
        """
        ours = []
        for entry in entries:
            first = next(iter(entry), "") if isinstance(entry, dict) else entry
            *keywords, name = str(first).split(" ")
            group, at, _ = name.partition("@")
            if group.lstrip("/").startswith("hydra/"):
                continue
            if "override" in keywords and group.lstrip("/") in self.left_out:
                if at:
                    ours.append({f"override {group}": entry[first]})
                continue
            ours.append(entry)
        return ours
