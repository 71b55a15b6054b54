"""Devices that a collective joins, from the line of its instruction."""

import math
import re
from collections.abc import Sequence

import numpy as np

__all__ = ["group_size", "nodes_joined"]

_EXPLICIT = re.compile(r"replica_groups=\{(\{[\d,{}]+\})\}")
_DIMS, _ORDER = r"\[([\d,]+)\]", r"(?:T\(([\d,]+)\))?"
_IOTA = re.compile(rf"replica_groups={_DIMS}<={_DIMS}{_ORDER}")
_MESH = re.compile(
    r"replica_groups=mesh\[(?P<axes>[^\]]*)\]"
    rf"(?:, device_ids=\({_DIMS}{_ORDER}\))? "
    r"\{(?P<used>[^}]*)\}"
)
_PAIRS = re.compile(r"source_target_pairs=\{(\{[\d,{}]+\})\}")


def group_size(line: str) -> int:
    """Returns the number of devices that exchange data; 0 if the line has no groups.

    >>> group_size("all-reduce(%x), replica_groups=[2,4]<=[8]")
    4
    """
    if found := _EXPLICIT.search(line):
        return found[1].partition("}")[0].count(",") + 1
    if found := _IOTA.search(line):
        return _numbers(found[1])[1]
    if found := _MESH.search(line):
        sizes, used = _axes(found)
        return math.prod(sizes[axis] for axis in used)
    return 0


def nodes_joined(line: str, node_of: Sequence[int]) -> int:
    """Returns the number of nodes that a group spans; the most, if groups differ.

    Args:
        line: of a collective.
        node_of: node of each device of the mesh, in its order.

    >>> line = "all-reduce(%x), replica_groups=[4,2]<=[2,4]T(1,0)"
    >>> nodes_joined(line, [0] * 4 + [1] * 4)
    2
    """
    groups = _groups(line, len(node_of))
    return max((len({node_of[one] for one in group}) for group in groups), default=1)


def _groups(line: str, devices: int) -> Sequence[Sequence[int]]:
    """Lists the devices of each group; of a permutation, each pair."""
    if found := _EXPLICIT.search(line) or _PAIRS.search(line):
        return [_numbers(group) for group in re.findall(r"\{([\d,]+)\}", found[1])]
    if found := _IOTA.search(line):
        return _iota(found[2], found[3]).reshape(_numbers(found[1])).tolist()
    if found := _MESH.search(line):
        sizes, used = _axes(found)
        ids = _iota(found[2], found[3]) if found[2] else np.arange(devices)
        if ids.size != math.prod(sizes.values()):
            return []
        grid = ids.reshape(list(sizes.values()))
        places = [list(sizes).index(axis) for axis in used]
        last = range(grid.ndim - len(places), grid.ndim)
        joined = np.moveaxis(grid, places, list(last))
        return joined.reshape(-1, math.prod(sizes[axis] for axis in used)).tolist()
    return [range(devices)] if "replica_groups={}" in line else []


def _iota(dims: str, order: str | None) -> np.ndarray:
    """Numbers in the order of a transposed grid."""
    shape = _numbers(dims)
    grid = np.arange(math.prod(shape)).reshape(shape)
    return (grid.transpose(_numbers(order)) if order else grid).reshape(-1)


def _axes(found: re.Match[str]) -> tuple[dict[str, int], list[str]]:
    """Sizes of the axes of a mesh, and the axes that a group extends over."""
    sizes = re.findall(r"'([^']+)'=(\d+)", found["axes"])
    used = re.findall(r"'([^']+)'", found["used"])
    return {axis: int(size) for axis, size in sizes}, used


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]
