"""Planted mistakes, and the files or overrides that contain them."""

import dataclasses
from typing import Any

import yaml

__all__ = ["Edit", "Planted", "at", "plant"]

Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Edit:
    """A value that is wrong wherever it is written: in a file or on a command line."""

    kind: str
    path: Path
    text: str
    """The value, which YAML and Hydra's grammar read alike."""
    where: str = ""
    """The dotted key that the report must name; by default that of the value."""
    near: str = ""
    """The intended name, which the report must suggest."""
    inside: bool = False
    """True if the report may name the first key inside instead."""

    @property
    def key(self) -> str:
        """The dotted key that is written."""
        return ".".join(self.path)

    @property
    def named(self) -> str:
        """The dotted key that the report must name."""
        return self.where or self.key


@dataclasses.dataclass(frozen=True)
class Planted:
    """A mistake, with the report that is expected of it."""

    kind: str
    experiment: str
    words: tuple[str, ...]
    """The overrides, or all arguments of a `command`."""
    where: str
    """The dotted key that the report must name."""
    places: tuple[str, ...]
    """Accepted places: `file:line:column`, or the override."""
    files: tuple[tuple[str, str], ...] = ()
    """(name, text) of the files in the user's own folder of configs."""
    near: str = ""
    """The intended name, which the report must suggest."""
    command: bool = False
    """True if `words` are all arguments of a command."""
    touches: tuple[Path, ...] = ()
    """Paths that it sets, so that mistakes planted together are independent."""
    edit: Edit | None = None
    """The edit that plants it in a file beside others."""
    inside: bool = False
    """True if the report may name a key inside instead."""

    def is_named_by(self, where: str) -> bool:
        """Returns whether a report that names this key has found the mistake."""
        return where == self.where or (
            self.inside and where.startswith(f"{self.where}.")
        )

    def __str__(self) -> str:
        return f"{self.kind}: {' '.join(self.words)} ({self.places[0]})"


def plant(text: str, path: Path, value: str) -> tuple[str, int, int]:
    """Writes a value into a YAML text, in the place of the one that is there, if any.

    Returns:
        The new text, and line and column, from 1, of the value's key.
    """
    node, found = at(text, path)
    rest = path[len(found) :]
    if not rest:
        key, old = found[-1]
        # A block ends where the next key begins: the end of its line is its own.
        end = "" if text[old.end_mark.index - 1 : old.end_mark.index] != "\n" else "\n"
        begun = text[: key.end_mark.index]
        new = f"{begun}: {value}{end}{text[old.end_mark.index :]}"
        return new, *_place(new, key.start_mark.index)
    if isinstance(node, yaml.MappingNode) and node.flow_style:
        before = text[: node.end_mark.index - 1]
        before += ", " if node.value else ""
        written = ": {".join(rest[:-1]) + (": {" if rest[:-1] else "")
        new = f"{before}{written}{rest[-1]}: {value}{'}' * len(rest)}"
        new += text[node.end_mark.index :]
        return new, *_place(new, len(before) + len(written))
    if not isinstance(node, yaml.MappingNode):
        raise LookupError(f"no mapping at {'.'.join(path)}")
    first = node.value[0][0].start_mark if node.value else None
    column, index = (
        (first.column, first.index - first.column) if first else (0, len(text))
    )
    lines, start = "", 0
    for depth, key in enumerate(rest):
        start = len(lines) + column + 2 * depth
        end = f" {value}" if depth == len(rest) - 1 else ""
        lines += f"{' ' * (column + 2 * depth)}{key}:{end}\n"
    new = text[:index] + lines + text[index:]
    return new, *_place(new, index + start)


def at(text: str, path: Path) -> tuple[yaml.Node, list[tuple[yaml.Node, yaml.Node]]]:
    """The deepest node along a path, and the (key, value) nodes on the way to it."""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    found = []
    for key in path:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        pair = next((pair for pair in pairs if pair[0].value == key), None)
        if pair is None:
            break
        found.append(pair)
        node = pair[1]
    return node, found


def _place(text: str, index: int) -> tuple[int, int]:
    before = text[:index]
    return before.count("\n") + 1, index - before.rfind("\n")
