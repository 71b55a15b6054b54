"""Globs over dotted paths, with which every key selects parameters."""

import re
from functools import cache

__all__ = ["matches"]


def matches(pattern: str, path: str) -> bool:
    """Returns True if a glob matches an entire dotted path.

    `**` matches any number of names, also none; `*` one name or a part of one.
    Everything else matches itself.

    Args:
        pattern: the glob.
        path: of a parameter.

    >>> matches("layers.*.kernel", "layers.0.kernel")
    True
    >>> matches("*.kernel", "layers.0.kernel")
    False
    >>> matches("**.bias", "layers.0.bias"), matches("**.bias", "bias")
    (True, True)
    >>> matches("conv*.**", "conv_in.kernel")
    True
    """
    return _compiled(pattern).fullmatch(f"{path}.") is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # A dot follows every name, also the last one, so that `**` may match nothing.
    return re.compile("".join(_name_regex(name) for name in pattern.split(".")))


def _name_regex(name: str) -> str:
    if name == "**":
        return r"(?:[^.]+\.)*"
    if name == "*":
        return r"[^.]+\."
    return r"[^.]*".join(map(re.escape, name.split("*"))) + r"\."
