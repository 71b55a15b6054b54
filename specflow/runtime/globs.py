"""Globs over dotted paths: one way, everywhere, to say which parameters are meant."""

import re
from functools import cache

__all__ = ["matches"]


def matches(pattern: str, path: str) -> bool:
    """Whether a glob covers a dotted path, whole.

    `**` stands for any number of names (none too), `*` for one name or a part of one;
    everything else stands for itself.

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
    # Every name is followed by a dot here, the last one too, so that `**` may be empty.
    return re.compile("".join(_name_regex(name) for name in pattern.split(".")))


def _name_regex(name: str) -> str:
    if name == "**":
        return r"(?:[^.]+\.)*"
    if name == "*":
        return r"[^.]+\."
    return r"[^.]*".join(map(re.escape, name.split("*"))) + r"\."
