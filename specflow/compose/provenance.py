"""Origins of config values: the file and line, or the override, that set each last."""

import dataclasses
from collections.abc import Collection, Iterator
from typing import Any

import yaml

from specflow.runtime.plain_tree import walk

__all__ = ["Origin", "Origins", "Path"]

Path = tuple[str, ...]
"""Keys from the root to a value; the key of a list item is its index."""


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """Place that set a value.

    >>> print(Origin("conf/loop/default.yaml", 4, 1))
    conf/loop/default.yaml:4
    """

    source: str
    """File, or override as typed."""
    line: int = 0
    """Line in the file, from 1; 0 for other sources."""
    column: int = 0
    """Column in the file, from 1."""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source

    @property
    def exact(self) -> str:
        """The origin with its column, for editors to jump to."""
        return f"{self}:{self.column}" if self.line else self.source

    @classmethod
    def override(cls, line: str) -> "Origin":
        """Returns the origin of a value that an override set."""
        return cls(f"override {line}")


class Origins:
    """Origins of all values, recorded in merge order: the last writer wins.

    >>> origins = Origins()
    >>> origins.record_file(yaml.compose("lr: 1.0"), "adam.yaml", ("optimizer",))
    >>> str(origins.leaf(("optimizer", "lr"))), str(origins.leaf(("optimizer", "b1")))
    ('adam.yaml:1', 'default')
    >>> origins.record_value(("optimizer", "lr"), 3e-4, "optimizer.lr=3e-4")
    >>> str(origins.leaf(("optimizer", "lr")))
    'override optimizer.lr=3e-4'
    """

    def __init__(self) -> None:
        self._at: dict[Path, Origin] = {}
        self._sections: set[Path] = set()
        self._above: set[Path] = set()
        """Paths below which a value was set."""

    def copy(self) -> "Origins":
        """Returns the same origins, apart from these."""
        copied = Origins()
        copied._at, copied._sections = dict(self._at), set(self._sections)
        copied._above = set(self._above)
        return copied

    def record_file(
        self,
        node: yaml.Node,
        shown: str,
        package: Path,
        lists: Collection[Path] = (),
    ) -> None:
        """Records the values that a file sets, below its package.

        Args:
            node: root node of the file.
            shown: its name in messages.
            package: path at which it is merged.
            lists: paths of lists with items that it is merged into; the other items
                keep their origins.
        """
        for length in range(1, len(package) + 1):
            self._set(package[:length], Origin(shown, 1, 1), section=True)
        for path, inner, mark in _walk(node, package):
            origin = Origin(shown, mark.line + 1, mark.column + 1)
            if path not in lists:
                self._set(path, origin, section=isinstance(inner, yaml.MappingNode))

    def record_value(
        self, path: Path, value: Any, line: str, lists: Collection[Path] = ()
    ) -> None:
        """Records the values that an override sets; `lists` as for a file."""
        origin = Origin.override(line)
        for keys, inner in walk(value):
            at = (*path, *map(_key_text, keys))
            if at not in lists:
                self._set(at, origin, section=isinstance(inner, dict))

    def remove(self, path: Path) -> None:
        """Removes the origins of a path and of all values inside it."""
        for known in [*self._below(path), path]:
            self._at.pop(known, None)
            self._sections.discard(known)

    def delete(self, path: Path, line: str) -> None:
        """Records that an override deleted a path, which then has its defaults."""
        self._set(path, Origin.override(line), section=False)

    def leaf(self, path: Path) -> Origin:
        """Returns the origin of a leaf; `default` if no layer set it.

        For a list, this is the last origin of the list, an item, or a field of one.
        """
        below, own = self._below(path), self._at.get(path)
        last = self._at[below[-1]] if below else own
        if own is not None and last is not None:
            return own if last.source == own.source else last
        if last is not None:
            return last
        # The section around it may have been replaced or deleted by one override.
        above = next((at for at in _prefixes(path) if at in self._at), None)
        if above is None or above in self._sections:
            return Origin("default")
        return self._at[above]

    def copy_below(self, path: Path) -> dict[Path, tuple[Origin, bool]]:
        """Returns (origin, whether it is a section) of every path inside a section."""
        return {at: (self._at[at], at in self._sections) for at in self._below(path)}

    def restore(self, copied: dict[Path, tuple[Origin, bool]]) -> None:
        """Records copied origins again, except those of paths that were set since."""
        for at, (origin, section) in copied.items():
            if at not in self._at:
                self._set(at, origin, section=section)

    def setters(self, path: Path) -> list[Origin]:
        """Returns the origins of a path and of all values inside it."""
        return [self._at[at] for at in (path, *self._below(path)) if at in self._at]

    def keys(self, path: Path) -> list[str]:
        """Returns the keys set directly below a path, as written."""
        keys = (at[len(path)] for at in self._below(path))
        return list(dict.fromkeys(keys))

    def nearest(self, path: Path) -> Origin | None:
        """Returns the origin of a path, else of a part of it or a section around it."""
        if path in self._at:
            return self._at[path]
        near = (*self._below(path), *_prefixes(path))
        at = next((at for at in near if at in self._at), None)
        return None if at is None else self._at[at]

    def _below(self, path: Path) -> list[Path]:
        """Returns the paths set inside a section or a list, in order."""
        if path and path not in self._above:
            return []
        length = len(path)
        return [at for at in self._at if len(at) > length and at[:length] == path]

    def _set(self, path: Path, origin: Origin, *, section: bool) -> None:
        self._above.update(_prefixes(path))
        if section and path in self._sections:
            self._at[path] = origin
            return
        self.remove(path)  # Mappings merge; anything else replaces what was there.
        self._at[path] = origin
        if section:
            self._sections.add(path)


def _prefixes(path: Path) -> Iterator[Path]:
    return (path[:length] for length in range(len(path) - 1, 0, -1))


def _key_text(key: Any) -> str:
    """Returns a key as an override spells it."""
    words = {None: "null", True: "true", False: "false"}
    return words[key] if key is None or isinstance(key, bool) else str(key)


def _walk(node: Any, path: Path) -> Iterator[tuple[Path, yaml.Node, Any]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            yield inner, value, key.start_mark
            yield from _walk(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            yield (*path, str(place)), value, value.start_mark
            yield from _walk(value, (*path, str(place)))
