"""Shapes in HLO syntax."""

import math
import re

__all__ = ["ARRAY", "bytes_of"]

ARRAY = re.compile(r"(?P<dtype>[a-z]+\d*\w*)\[(?P<dims>[\d,<=]*)\]")
"""An array: dtype and sides."""
_BITS = {"pred": 8, "token": 0, "s4": 4, "u4": 4, "s2": 2, "u2": 2, "c64": 64}


def bytes_of(shape: str) -> int:
    """Returns the bytes of a shape in HLO syntax.

    >>> bytes_of("f32[2,3]"), bytes_of("bf16[]"), bytes_of("pred[7]")
    (24, 2, 7)
    """
    found = ARRAY.match(shape)
    if found is None:
        return 0
    digits = re.search(r"\d+", found["dtype"])
    bits = _BITS.get(found["dtype"], int(digits[0]) if digits else 0)
    dims = [int(size.lstrip("<=")) for size in found["dims"].split(",") if size]
    return math.prod(dims) * bits // 8
