"""Explanation of Hydra's launchers, which run the trials of a sweep."""

import inspect
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from specflow.compose.inspect.section_docs import texts_below
from specflow.compose.read.config_folders import Folders
from specflow.compose.read.hydra_search_path import hydra

__all__ = ["launcher_fields", "launchers"]

_GROUP = "hydra/launcher"
_OF_HYDRA = {
    "basic": "The process of the command, one trial after another; Hydra's own."
}


def launchers(folders: Folders) -> dict[str, str]:
    """Returns name -> meaning of each launcher that is installed.

    Args:
        folders: config folders.
    """
    return {
        name: " ".join(inspect.cleandoc(_type(node).__doc__ or "").split())
        if _is_ours(node)
        else _OF_HYDRA.get(name, "")
        for name, node in _nodes(folders).items()
    }


def launcher_fields(name: str, folders: Folders) -> dict[str, tuple[Any, str]]:
    """Returns key -> (default, meaning) of the options of a launcher; {}: none.

    Args:
        name: of the launcher.
        folders: config folders.
    """
    node = _nodes(folders).get(name)
    if node is None:
        return {}
    own = _type(node)
    texts = texts_below(own.__module__).get(own.__qualname__, {})
    options: Any = OmegaConf.to_container(node)
    return {
        key: (value, texts.get(key, ""))
        for key, value in options.items()
        if key != "_target_"
    }


def _nodes(folders: Folders) -> dict[str, Any]:
    """Name -> config of each launcher; other plugins have no texts of their own."""
    store = ConfigStore.instance()
    with hydra(folders):  # It loads the plugins.
        files = store.list(_GROUP)
    return {
        file.removesuffix(".yaml"): store.load(f"{_GROUP}/{file}").node
        for file in sorted(files)
    }


def _type(node: Any) -> Any:
    return OmegaConf.get_type(node)


def _is_ours(node: Any) -> bool:
    return _type(node).__module__.startswith("hydra_plugins.specflow_")
