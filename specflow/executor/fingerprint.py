"""Which program it is: hashes of what was lowered, before any compiler had its say."""

import hashlib
from collections.abc import Mapping
from typing import Any

from specflow.contract import Mode

__all__ = ["fingerprint", "fingerprints"]

_NAMES = {Mode.TRAIN: "train", Mode.EVAL: "eval", Mode.PREDICT: "predict"}


def fingerprints(lowered: Mapping[Mode, Any]) -> dict[str, str]:
    """A hash of each program, by the name of its mode.

    What is hashed is the StableHLO: operations, shapes, constants, layouts over the
    mesh and what is donated, but neither names nor places in the source.

    Args:
        lowered: mode -> what `jax.jit(...).lower(...)` gave.
    """
    return {
        name: _hashed(lowered[mode].as_text())
        for mode, name in _NAMES.items()
        if mode in lowered
    }


def fingerprint(programs: Mapping[str, str]) -> str:
    """One hash of several, whatever their order.

    >>> fingerprint({"train": "a1", "eval": "b2"}) == fingerprint(
    ...     {"eval": "b2", "train": "a1"})
    True
    """
    return _hashed("".join(f"{name} {programs[name]}\n" for name in sorted(programs)))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
