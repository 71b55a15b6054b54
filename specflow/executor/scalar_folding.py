"""Arithmetic of scalar constants on the host, as XLA folds it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["fold", "is_neutral", "keeps_bits"]

_FOLDED: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "neg": np.negative,
    "abs": np.abs,
    "max": np.maximum,
    "min": np.minimum,
    "floor": np.floor,
    "ceil": np.ceil,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "copy": np.copy,
    "reshard": np.copy,
}
"""Operations of IEEE 754 that the host and XLA round alike."""

_KEEPS_BITS = frozenset(
    {
        "add",
        "sub",
        "mul",
        "max",
        "min",
        "clamp",
        "lt",
        "le",
        "gt",
        "ge",
        "eq",
        "ne",
        "select_n",
        "broadcast_in_dim",
        "concatenate",
        "stack",
        "pad",
        "dynamic_update_slice",
        "scatter",
        "rem",
    }
)
"""Operations that XLA computes alike with a constant and with an input, but for what
`LiftedJaxpr` rewrites."""


def fold(
    name: str, params: Mapping[str, Any], values: Sequence[Any], dtype: Any
) -> Any:
    """Computes an operation of scalars on the host, in their dtype.

    Args:
        name: of the primitive.
        params: of the equation.
        values: its inputs, scalars of numpy.
        dtype: of the result.

    Returns:
        The result; None if the host may round it other than XLA.

    >>> float(fold("sub", {}, [np.float32(1), np.float32(0.25)], np.float32))
    0.75
    >>> fold("exp", {}, [np.float32(1)], np.float32) is None
    True
    """
    with np.errstate(all="ignore"):
        if name == "convert_element_type":
            return np.asarray(values[0]).astype(params["new_dtype"])
        if name == "div":
            if np.issubdtype(dtype, np.integer):
                return None
            return np.asarray(np.divide(*values)).astype(dtype)
        if (function := _FOLDED.get(name)) is None:
            return None
        return np.asarray(function(*values)).astype(dtype)


def keeps_bits(name: str, index: int) -> bool:
    """Returns whether an input of an operation may take the place of a constant.

    Args:
        name: of the primitive.
        index: position of the input.

    >>> keeps_bits("mul", 0), keeps_bits("pow", 0), keeps_bits("pow", 1)
    (True, True, False)
    """
    if name == "pow":
        return index == 0  # Exponents such as 2 or 0.5 are other operations.
    if name == "div":
        return True
    return name in _KEEPS_BITS


def is_neutral(value: Any) -> bool:
    """Returns whether XLA removes operations with a constant: it is 0, 1 or -1.

    >>> is_neutral(np.float32(-1)), is_neutral(np.float32(0.5))
    (True, False)
    """
    return bool(value == 0 or value == 1 or value == -1)
