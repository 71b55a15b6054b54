"""Suggestions for an interpolation that cannot be resolved."""

import dataclasses
import re
from typing import Any

from omegaconf import OmegaConf
from omegaconf.basecontainer import BaseContainer

from specflow.compose.key_hints import key_hint
from specflow.diagnostics.errors import Diagnostic, did_you_mean, nearest
from specflow.runtime.plain_tree import value_at

__all__ = ["interpolation_hint", "with_interpolation_hint"]

_OTHER_NAMES = {"env": "oc.env", "select": "oc.select", "date": "now", "time": "now"}
"""Resolver under another name, such as OmegaConf's own before 2.1 -> its name."""


def with_interpolation_hint(diagnostic: Diagnostic, tree: Any) -> Diagnostic:
    """Returns a diagnostic with the hint for its interpolation, if it is of one."""
    if diagnostic.code != "interpolation" or diagnostic.hint:
        return diagnostic
    hint = interpolation_hint(diagnostic.problem, tree)
    if hint == did_you_mean(f"${{{diagnostic.where}}}"):
        hint = ""  # A value cannot be its own.
    return dataclasses.replace(diagnostic, hint=hint)


def interpolation_hint(problem: str, tree: Any) -> str:
    """Says what a user meant by an interpolation, or which ones there are.

    Args:
        problem: OmegaConf's message.
        tree: the experiment.

    >>> tree = {"loop": {"train_steps": 5}}
    >>> interpolation_hint("Interpolation key 'loop.trainsteps' not found", tree)
    'Did you mean ${loop.train_steps}?'
    >>> interpolation_hint("Interpolation key 'SEED' not found", tree)
    'Did you mean ${oc.env:SEED}? As a number: ${oc.decode:${oc.env:SEED}}.'
    >>> interpolation_hint("Unsupported interpolation type env", tree)
    'Did you mean ${oc.env:...}?'
    >>> interpolation_hint("no viable alternative at input '${name'", tree)
    'Close it: ${name}.'
    """
    if found := re.search(r"Interpolation key '([^'.][^']*)' not found", problem):
        if re.fullmatch(r"[A-Z][A-Z0-9_]*", found[1]):
            variable = f"${{oc.env:{found[1]}}}"
            return f"{did_you_mean(variable)} As a number: ${{oc.decode:{variable}}}."
        return _of_key(found[1], tree)
    if found := re.search(r"Environment variable '(\w+)' not found", problem):
        return f"Set it, or write what to use without it: ${{oc.env:{found[1]},...}}."
    if "HydraConfig was not set" in problem:
        return "A single run has no settings of Hydra; ${name} and ${now:%Y} are known."
    if found := re.search(r"Unsupported interpolation type (\S+)", problem):
        known = [name for name in BaseContainer._resolvers if name[:1] != "_"]
        near = _OTHER_NAMES.get(found[1]) or nearest(found[1], known)
        if near and OmegaConf.has_resolver(near):
            return did_you_mean(f"${{{near}:...}}")
        return f"Interpolations do not calculate; there are {', '.join(sorted(known))}."
    opened = re.search(r"at input '(\$\{[\w.]+)'", problem)
    return f"Close it: {opened[1]}}}." if opened else ""


def _of_key(key: str, tree: Any) -> str:
    path = tuple(key.split("."))
    around = value_at(tree, path[:-1])
    known = [*map(str, around)] if isinstance(around, dict) else []
    hint = key_hint(path, known, tree)
    found = re.match(r"Did you mean ([\w.]+)\?", hint)
    if found is None:
        return ""
    if found[1] == key:
        return f"It has its default; an interpolation needs a value: set {key}."
    return did_you_mean(f"${{{found[1]}}}")
