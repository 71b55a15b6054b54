"""A second judge of what is a mistake: Hydra composes, the JSON Schema validates.

Neither has any of specflow's checks. An edit that both accept is no mistake: it leaves
the tree as it was, or makes another that is valid too.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from jsonschema import Draft202012Validator
from omegaconf import OmegaConf

from tests.corpus.edits import CONF
from tests.corpus.sources import OWN, Sources

__all__ = ["is_valid"]


@cache
def _schema() -> Draft202012Validator:
    return Draft202012Validator(
        json.loads((CONF / "schema/experiment.json").read_text())
    )


def is_valid(sources: Sources, folder: Path) -> bool:
    """Returns whether Hydra composes the files, and the result fits the schema."""
    search = f"hydra.searchpath=[file://{folder / OWN}]"
    words = [_forced(word) for word in sources.overrides]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose("config", [*words, search])
        tree = OmegaConf.to_container(config, resolve=True)
    except Exception:
        return False
    return isinstance(tree, dict) and _schema().is_valid(_plain(tree))


def _forced(word: str) -> str:
    """Forces a value: the shipped configs leave defaults to the types."""
    key = word.partition("=")[0]
    plain = word[:1] not in "+~-" and "=" in word and "." in key
    return f"++{word}" if plain or key == "seed" else word


def _plain(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {str(key): _plain(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_plain(value) for value in tree]
    return tree
