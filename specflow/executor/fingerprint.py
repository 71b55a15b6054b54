"""Fingerprints of programs: hashes of their StableHLO."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from specflow.contract import Mode

if TYPE_CHECKING:
    from specflow.executor.lowered import Lowered

__all__ = ["fingerprint", "fingerprints"]

_NAMES = {Mode.TRAIN: "train", Mode.EVAL: "eval", Mode.PREDICT: "predict"}


def fingerprints(lowered: "Mapping[Mode, Lowered]") -> dict[str, str]:
    """Hashes each program, by the name of its mode.

    The hash covers the StableHLO: operations, shapes, constants, shardings and donated
    buffers, but neither variable names nor source locations, nor the values of
    hyperparameters that are inputs of the program.

    Args:
        lowered: mode -> its program.
    """
    return {
        name: _hash(lowered[mode].text)
        for mode, name in _NAMES.items()
        if mode in lowered
    }


def fingerprint(programs: Mapping[str, str]) -> str:
    """Combines the hashes of several programs into one, independent of their order.

    >>> fingerprint({"train": "a1", "eval": "b2"}) == fingerprint(
    ...     {"eval": "b2", "train": "a1"})
    True
    """
    return _hash("".join(f"{name} {programs[name]}\n" for name in sorted(programs)))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
