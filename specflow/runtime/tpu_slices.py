"""Shapes of TPU slices."""

import itertools
import math

from specflow.runtime.chips import Chip

__all__ = ["boxes", "nearest_shapes", "spelt"]

_LARGE = 4
"""Side of the cubes of which larger three-dimensional slices are made."""


def spelt(shape: tuple[int, ...]) -> str:
    """Returns a shape as in a topology.

    >>> spelt((4, 4, 8))
    '4x4x8'
    """
    return "x".join(map(str, shape))


def boxes(chip: Chip) -> list[tuple[int, ...]]:
    """Lists boxes made of cubes, shortest side first, smallest box first."""
    if not chip.is_cubic:
        return []
    sides = range(_LARGE, chip.chips // _LARGE**2 + 1, _LARGE)
    found = []
    for a, b in itertools.combinations_with_replacement(sides, 2):
        if a * b * b > chip.chips:
            continue
        found += [(a, b, c) for c in range(b, chip.chips // (a * b) + 1, _LARGE)]
    return sorted(found, key=lambda box: (math.prod(box), box))


def nearest_shapes(wanted: tuple[int, ...], chip: Chip) -> list[str]:
    """Returns the three slices of the most similar shapes, smallest first.

    >>> from specflow.runtime.chips import TPUS
    >>> nearest_shapes((3, 3), TPUS["v5e"])
    ['2x2', '2x4', '4x4']
    """

    def distance(shape: tuple[int, ...]) -> tuple[float, int]:
        sides = itertools.zip_longest(
            sorted(shape, reverse=True), sorted(wanted, reverse=True), fillvalue=1
        )
        # A side of zero has no ratio.
        ratios = (abs(math.log(a / b)) if a and b else 99.0 for a, b in sides)
        return sum(ratios), math.prod(shape)

    near = sorted([*chip.shapes, *boxes(chip)], key=distance)[:3]
    return sorted(map(spelt, near), key=_chips)


def _chips(shape: str) -> tuple[int, str]:
    return math.prod(map(int, shape.split("x"))), shape
