"""Names of metrics that a tracker refuses, mapped to ones that it accepts."""

import re

__all__ = ["MetricNames"]


class MetricNames:
    """Maps names to accepted ones; each name keeps its own.

    Args:
        refused: pattern of what a name must not contain; each match becomes `_`. None:
            every name is accepted.
        longest: largest number of characters; None: no limit.

    >>> names = MetricNames(r"[^A-Za-z0-9_/]")
    >>> [names.accepted(name) for name in ("eval/top@5", "eval/top%5", "eval/loss")]
    ['eval/top_5', 'eval/top_5_2', 'eval/loss']
    >>> names.mapped
    {'eval/top@5': 'eval/top_5', 'eval/top%5': 'eval/top_5_2'}
    """

    def __init__(self, refused: str | None = None, longest: int | None = None):
        self._refused = None if refused is None else re.compile(refused)
        self._longest = longest
        self._accepted: dict[str, str] = {}
        self._taken: set[str] = set()

    @property
    def mapped(self) -> dict[str, str]:
        """Name -> accepted name, of those that differ."""
        return {name: new for name, new in self._accepted.items() if name != new}

    def accepted(self, name: str) -> str:
        """Returns the accepted form of a name, always the same."""
        if name not in self._accepted:
            new = self._without_refused(name)
            free, number = new, 1
            while free in self._taken:
                number += 1
                free = f"{new[: self._room(number)]}_{number}"
            self._taken.add(free)
            self._accepted[name] = free
        return self._accepted[name]

    def _room(self, number: int) -> int | None:
        return None if self._longest is None else self._longest - len(f"_{number}")

    def _without_refused(self, name: str) -> str:
        if self._refused is not None:
            name = self._refused.sub("_", name)
        return name[: self._longest] or "_"
