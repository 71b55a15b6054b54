"""Valid trees of a user's config files, made of the shipped ones."""

import random
import re
from functools import cache

import yaml

from specflow.compose import compose
from tests.corpus.edits import CONF
from tests.corpus.sources import LINE, OWN, Sources, entries

__all__ = ["OWN", "tree"]

_OVERRIDE = re.compile(r"(?m)^  - override /(\w+): (\w+)$")
_GROUPS = ("model", "optimizer", "data", "loop", "output", "mesh")
_FREE = (
    *("seed", "loop.log_every", "loop.eval_every", "loop.micro_steps"),
    *("loop.train_steps", "loop.batch_size", "optimizer.lr", "optimizer.eps"),
    *("data.shuffle", "data.split_seed", "output.checkpoint.keep", "mesh.cpu"),
    *("output.checkpoint.every", "optimizer.schedule.final", "loop.recover"),
)
"""Keys that a command line sets."""


@cache
def _shipped() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (CONF / "experiment").glob("*.yaml")))


def tree(rng: random.Random) -> Sources:
    """Returns files and overrides that compose: one experiment, others beside it.

    The experiment is a copy of a shipped one. It may extend another file of the user,
    and sections may be copies of the shipped choices; the command line sets values that
    no file sets.
    """
    while True:
        sources, shipped = _tree(rng)
        tree, set_by = compose([f"experiment={shipped}"]).tree, set()
        for name, text in sources.texts:
            if name != LINE:
                set_by |= {entry.dotted for entry in entries(name, text)}
        words = []
        for key in rng.sample(_FREE, rng.randrange(1, 5)):
            value = _get(tree, key)
            if key not in set_by and value is not None and not isinstance(value, dict):
                written = str(value).lower() if isinstance(value, bool) else value
                words.append(f"{key}={written}")
        line = dict(sources.texts)[LINE]
        return sources.replaced(LINE, "\n".join([line, *words]) + "\n")


def _tree(rng: random.Random) -> tuple[Sources, str]:
    shipped = rng.choice(_shipped())
    own = (CONF / "experiment" / f"{shipped}.yaml").read_text()
    own = re.sub(r"(?m)^# yaml-language-server.*\n", "", own)
    choices = dict(_OVERRIDE.findall(own))
    texts: dict[str, str] = {}
    ours = [group for group in _GROUPS if group in choices]
    for group in rng.sample(ours, min(len(ours), rng.randrange(3))):
        copied = (CONF / group / f"{choices[group]}.yaml").read_text()
        name = f"{group}/own_{choices[group]}.yaml"
        texts[name] = re.sub(r"(?m)^# yaml-language-server.*\n", "", copied)
        own = own.replace(
            f"override /{group}: {choices[group]}\n",
            f"override /{group}: own_{choices[group]}\n",
        )
    if rng.random() < 0.4:
        texts["experiment/baseline.yaml"] = own
        texts["experiment/trial.yaml"] = (
            "# @package _global_\n# The baseline, for longer.\n"
            "defaults:\n  - /experiment/baseline\n  - _self_\n\n"
            f"name: {shipped}_longer\nloop:\n  log_every: 50\n  micro_steps: 1\n"
            "output:\n  checkpoint:\n    every: 250\n    keep: 2\n"
            "optimizer:\n  clip_norm: 1.0\n"
        )
        asked = "trial"
    else:
        texts["experiment/trial.yaml"] = own
        asked = "trial"
    if rng.random() < 0.5:
        other = rng.choice(_shipped())
        texts["experiment/another.yaml"] = (
            CONF / "experiment" / f"{other}.yaml"
        ).read_text()
    texts[LINE] = f"experiment={asked}"
    return Sources(tuple(texts.items())), shipped


def composed_files(sources: Sources) -> list[str]:
    """Returns names of the files that the experiment composes."""
    return [
        name
        for name, _ in sources.texts
        if name not in (LINE, "experiment/another.yaml")
    ]


def shadowed(sources: Sources) -> dict[str, list[str]]:
    """Returns, by dotted key, the files that set it."""
    found: dict[str, list[str]] = {}
    for name in composed_files(sources):
        for entry in entries(name, dict(sources.texts)[name]):
            found.setdefault(entry.dotted, []).append(name)
    return found


def parsed(text: str) -> object:
    """Returns a text as YAML reads it, None if it is not YAML."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _get(tree: object, key: str) -> object:
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree
