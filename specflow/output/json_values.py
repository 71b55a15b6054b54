"""Converts numbers and arrays to strict JSON."""

import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

__all__ = ["JsonObject", "to_json", "to_plain"]

JsonObject: TypeAlias = dict[str, Any]
"""Plain JSON values by name."""


def to_plain(value: Any) -> Any:
    """Converts arrays to lists, NaN and infinities to None, other objects to text.

    JSON has no NaN: null represents a number that is undefined or not finite.

    >>> import numpy as np
    >>> to_plain({"loss": np.float32(0.5), "auc": float("nan"), "hits": np.arange(2)})
    {'loss': 0.5, 'auc': None, 'hits': [0, 1]}
    """
    if isinstance(value, Mapping):
        return {str(key): to_plain(member) for key, member in value.items()}
    if hasattr(value, "tolist"):
        return to_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [to_plain(member) for member in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def to_json(value: Mapping[str, Any]) -> str:
    """Formats values as indented JSON with a final line break.

    >>> print(to_json({"step": 1}), end="")
    {
      "step": 1
    }
    """
    return json.dumps(to_plain(value), indent=2, allow_nan=False) + "\n"
