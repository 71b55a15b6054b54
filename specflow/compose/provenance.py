"""Where every value came from: the file and line, or the override, that set it last."""

import dataclasses
from collections.abc import Collection, Iterator
from typing import Any

import yaml

__all__ = ["Origin", "Origins", "Path"]

Path = tuple[str, ...]
"""Keys from the root down to a value; the items of a list are keyed by their place."""


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """Who set a value.

    >>> print(Origin("conf/loop/default.yaml", 4, 1))
    conf/loop/default.yaml:4
    """

    source: str
    """A file, or an override as it was typed."""
    line: int = 0
    """Line in the file, from 1; 0 for what is no file."""
    column: int = 0
    """Column in the file, from 1."""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source

    @property
    def exact(self) -> str:
        """The same with the column, for editors to jump to."""
        return f"{self}:{self.column}" if self.line else self.source

    @classmethod
    def override(cls, line: str) -> "Origin":
        """The origin of what an override set."""
        return cls(f"override {line}")


class Origins:
    """Who set each value, told in the order of merging: the last writer wins.

    >>> origins = Origins()
    >>> origins.lay_file(yaml.compose("lr: 1.0"), "adam.yaml", ("optimizer",))
    >>> str(origins.leaf(("optimizer", "lr"))), str(origins.leaf(("optimizer", "b1")))
    ('adam.yaml:1', 'default')
    >>> origins.lay_value(("optimizer", "lr"), 3e-4, "optimizer.lr=3e-4")
    >>> str(origins.leaf(("optimizer", "lr")))
    'override optimizer.lr=3e-4'
    """

    def __init__(self) -> None:
        self._at: dict[Path, Origin] = {}
        self._sections: set[Path] = set()
        self._above: set[Path] = set()
        """Paths below which something was set."""

    def lay_file(
        self,
        node: yaml.Node,
        shown: str,
        package: Path,
        lists: Collection[Path] = (),
    ) -> None:
        """Notes what a file sets, below the package into which it is merged.

        Args:
            node: what the file holds.
            shown: how messages name it.
            package: the path at which it is merged.
            lists: paths of the lists into whose items it is merged; their other items
                stay whose they are.
        """
        for length in range(1, len(package) + 1):
            self._set(package[:length], Origin(shown, 1, 1), section=True)
        for path, inner, mark in _walk(node, package):
            origin = Origin(shown, mark.line + 1, mark.column + 1)
            if path not in lists:
                self._set(path, origin, section=isinstance(inner, yaml.MappingNode))

    def lay_value(
        self, path: Path, value: Any, line: str, lists: Collection[Path] = ()
    ) -> None:
        """Notes what an override sets; `lists` as for a file."""
        if path not in lists:
            self._set(path, Origin.override(line), section=isinstance(value, dict))
        for key, inner in _items(value):
            self.lay_value((*path, key), inner, line, lists)

    def remove(self, path: Path) -> None:
        """Forgets a path and all below it."""
        for known in [*self._below(path), path]:
            self._at.pop(known, None)
            self._sections.discard(known)

    def delete(self, path: Path, line: str) -> None:
        """Notes that an override took a path away, so that its defaults stand."""
        self._set(path, Origin.override(line), section=False)

    def leaf(self, path: Path) -> Origin:
        """Who set a leaf; what nobody set is a default.

        Of a list, that is who set it or, later, an item or a field of one.
        """
        below, whole = self._below(path), self._at.get(path)
        last = self._at[below[-1]] if below else whole
        if whole is not None and last is not None:
            return whole if last.source == whole.source else last
        if last is not None:
            return last
        # A whole section may have been set, or taken away, at once.
        above = next((at for at in _prefixes(path) if at in self._at), None)
        if above is None or above in self._sections:
            return Origin("default")
        return self._at[above]

    def setters(self, path: Path) -> list[Origin]:
        """Who set a path, or anything inside it."""
        return [self._at[at] for at in (path, *self._below(path)) if at in self._at]

    def keys(self, path: Path) -> list[str]:
        """What was set right below a path, as it was written."""
        found = (at[len(path)] for at in self._below(path))
        return list(dict.fromkeys(found))

    def nearest(self, path: Path) -> Origin | None:
        """Who set a path or, if nobody did, a part of it or the section around it."""
        if path in self._at:
            return self._at[path]
        near = (*self._below(path), *_prefixes(path))
        at = next((at for at in near if at in self._at), None)
        return None if at is None else self._at[at]

    def _below(self, path: Path) -> list[Path]:
        """What was set inside a section or a list, in order."""
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


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """Key, or place in a list, and value of each item."""
    pairs = value.items() if isinstance(value, dict) else ()
    pairs = enumerate(value) if isinstance(value, list) else pairs
    yield from ((_key_text(key), inner) for key, inner in pairs)


def _key_text(key: Any) -> str:
    """A key as an override writes it."""
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
