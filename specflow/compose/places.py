"""Faults that were found after composing, with who set what is wrong."""

import dataclasses
from typing import TYPE_CHECKING

from specflow.errors import Fault

if TYPE_CHECKING:
    from specflow.compose.overrides import Composed

__all__ = ["placed"]


def placed(fault: Fault, composed: "Composed") -> Fault:
    """The fault with the file and line, or the override, that set its key.

    A fault that knows its origin keeps it, and so does one whose key nobody set. Of a
    section, only what a single file or override says of it is told.

    >>> from specflow.compose import compose
    >>> composed = compose(["experiment=digits", "mesh.axes.data=4"])
    >>> print(placed(Fault("mesh.axes", "needs 4 devices"), composed))
    mesh.axes: needs 4 devices (override mesh.axes.data=4).
    >>> print(placed(Fault("loop.batch_size", "got 128"), composed))
    loop.batch_size: got 128 (conf/loop/default.yaml:3:1).
    >>> print(placed(Fault("features.image", "is empty"), composed))
    features.image: is empty.
    """
    if fault.origin or not fault.where:
        return fault
    said = {
        origin
        for key, origin in composed.places.items()
        if key == fault.where or key.startswith(f"{fault.where}.")
    }
    # What others set in the same section is no part of a mistake made on purpose.
    said = {one for one in said if one.startswith("override ")} or said - {"default"}
    return dataclasses.replace(fault, origin=said.pop()) if len(said) == 1 else fault
