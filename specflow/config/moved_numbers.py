"""Numbers of a config, and copies of it with some of them moved."""

import hashlib
from collections.abc import Collection, Iterator
from typing import Any

from pydantic import BaseModel

from specflow.config.base import Bound, Component

__all__ = ["moved_numbers", "number_keys"]


def number_keys(
    section: Any, key: str, *, integers: bool = False, users: bool = False
) -> Iterator[str]:
    """Yields the keys of the numbers of a section, but for 0, 1 and -1.

    Those are often other programs than the numbers beside them: a dropout rate of 0 is
    no dropout.

    Args:
        section: a section, or a value in it.
        key: its key.
        integers: whether integers are yielded too.
        users: whether sections that call code of users are searched.

    >>> from specflow.config.sections.optimizer import SgdConfig
    >>> sorted(number_keys(SgdConfig(lr=0.5, momentum=0.9), "optimizer"))
    ['optimizer.lr', 'optimizer.momentum']
    """
    if isinstance(section, Bound | Component) and not users:
        return
    if isinstance(section, bool):
        return
    if isinstance(section, float) or (integers and isinstance(section, int)):
        if section not in (0, 1, -1):
            yield key
        return
    for name, value in _children(section):
        inner = f"{key}.{name}"
        yield from number_keys(value, inner, integers=integers, users=users)


def moved_numbers(section: Any, key: str, keys: Collection[str]) -> Any:
    """Returns a copy of a section with other numbers, which it does not validate.

    Each number moves by another amount, so that sums and quotients of them move too.

    Args:
        section: a section, or a value in it.
        key: its key.
        keys: of the numbers to move.

    >>> from specflow.config.sections.optimizer import SgdConfig
    >>> moved_numbers(SgdConfig(lr=0.5), "optimizer", ["optimizer.lr"]).lr < 0.5
    True
    """
    if key in keys:
        return _moved(section, key)
    moved = {
        name: other
        for name, child in _children(section)
        if (other := moved_numbers(child, f"{key}.{name}", keys)) is not child
    }
    if not moved:
        return section
    if isinstance(section, BaseModel):
        return section.model_copy(update=moved)
    if isinstance(section, dict):
        return {**section, **moved}
    return type(section)(moved.get(i, child) for i, child in enumerate(section))


def _children(section: Any) -> Iterator[tuple[Any, Any]]:
    """Yields the names and values inside of a section."""
    if isinstance(section, BaseModel):
        yield from section
    elif isinstance(section, dict):
        yield from section.items()
    elif isinstance(section, list | tuple):
        yield from enumerate(section)


def _moved(number: float, key: str) -> float:
    digest = hashlib.sha256(key.encode()).digest()
    share = int.from_bytes(digest[:4], "big") / 2**32
    # Products of both differ from those of the config, also when they are rounded.
    if isinstance(number, int):
        return number + 1 + digest[4] % 3 + int(number * (0.1 + 0.2 * share))
    return number * (0.5 + 0.2 * share)
