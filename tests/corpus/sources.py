"""Valid files and overrides, and edits of their text that can be applied one by one.

Every edit replaces spans of the *original* texts, so any subset of edits can be
applied: all but one of them is what the fix of that one must restore.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from functools import cache

import yaml

__all__ = ["LINE", "OWN", "Change", "Entry", "Mistake", "Sources", "entries"]

OWN = "mine"
"""The user's folder of configs."""
LINE = "command line"
"""Name of the text with one override a line."""


@dataclasses.dataclass(frozen=True)
class Sources:
    """Texts by name: config files, relative to the user's folder, and the overrides."""

    texts: tuple[tuple[str, str], ...]

    @property
    def files(self) -> dict[str, str]:
        """Text of every config file, by its path from the current folder."""
        return {f"{OWN}/{name}": text for name, text in self.texts if name != LINE}

    @property
    def overrides(self) -> list[str]:
        """Overrides of the command line."""
        return dict(self.texts)[LINE].splitlines()

    def replaced(self, name: str, text: str) -> "Sources":
        """Returns sources where one text is another."""
        return Sources(tuple((n, text if n == name else t) for n, t in self.texts))


@dataclasses.dataclass(frozen=True)
class Change:
    """Replacement of a span of an original text."""

    name: str
    start: int
    end: int
    text: str


@dataclasses.dataclass(frozen=True)
class Mistake:
    """An edit that makes sources wrong, with the report that is expected."""

    kind: str
    changes: tuple[Change, ...]
    keys: tuple[str, ...] = ()
    """Dotted keys that a report may name."""
    places: tuple[tuple[str, int], ...] = ()
    """(name, offset in the original text) where a report may point too."""
    certain: bool = True
    """False if another judge must say whether it is a mistake at all."""
    fix: bool = True
    """True if a reader of the text knows what was meant."""
    alone: bool = False
    """True if nothing else can be read beside it: a file that is not YAML."""

    hides: bool = False
    """True if other files, or the fields of a section, cannot be told beside it."""

    def overlaps(self, other: "Mistake") -> bool:
        """Returns whether both change the same lines, or one hides the other."""
        if any(key and _inside(key, o) for key in self.keys for o in other.keys):
            return True
        names = {change.name for change in self.changes}
        if (self.alone or other.alone) and names & {c.name for c in other.changes}:
            return True
        return any(
            mine.name == theirs.name
            and mine.start <= theirs.end + 1
            and theirs.start <= mine.end + 1
            for mine in self.changes
            for theirs in other.changes
        )


def _inside(key: str, other: str) -> bool:
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")


def apply(sources: Sources, mistakes: Iterable[Mistake]) -> Sources:
    """Returns sources with some mistakes in them."""
    texts = dict(sources.texts)
    changes = [change for mistake in mistakes for change in mistake.changes]
    for change in sorted(changes, key=lambda change: (change.start, change.end))[::-1]:
        old = texts[change.name]
        texts[change.name] = old[: change.start] + change.text + old[change.end :]
    return Sources(tuple(texts.items()))


def lines(sources: Sources, mistake: Mistake, mistakes: Iterable[Mistake]) -> set[str]:
    """Returns the places of one mistake in sources that hold several.

    Each is `file:line`, or `override TEXT`.
    """
    changes = sorted(
        (change for one in mistakes for change in one.changes),
        key=lambda change: change.start,
    )
    texts = dict(apply(sources, mistakes).texts)
    found = set()
    for change in mistake.changes:
        begin = _moved(change.name, change.start, changes, inclusive=False)
        end = begin + len(change.text)
        lead = len(change.text) - len(change.text.lstrip("\n "))
        trail = len(change.text) - len(change.text.rstrip("\n "))
        if lead < len(change.text):
            begin, end = begin + lead, end - trail
        text = texts[change.name]
        first, last = text.count("\n", 0, begin), text.count("\n", 0, end)
        found |= {_place(change.name, text, line) for line in range(first, last + 1)}
    for name, offset in mistake.places:
        moved = _moved(name, offset, changes, inclusive=True)
        found.add(_place(name, texts[name], texts[name].count("\n", 0, moved)))
    return found


def _moved(name: str, offset: int, changes: list[Change], *, inclusive: bool) -> int:
    before = [
        change
        for change in changes
        if change.name == name
        and (change.end <= offset if inclusive else change.start < offset)
    ]
    return offset + sum(len(one.text) - one.end + one.start for one in before)


def _place(name: str, text: str, line: int) -> str:
    if name != LINE:
        return f"{OWN}/{name}:{line + 1}"
    written = text.splitlines()
    return f"override {written[line]}" if line < len(written) else LINE


@dataclasses.dataclass(frozen=True)
class Entry:
    """A key with its value in a config file."""

    name: str
    path: tuple[str, ...]
    """From the root of the composed config."""
    key: tuple[int, int]
    """Offsets of the key."""
    value: tuple[int, int]
    """Offsets of the value, of a block up to the end of its last line."""
    line: int
    """Offset of the beginning of the key's line."""
    column: int
    scalar: str | None
    """Text of a scalar as it is read; None for lists and mappings."""
    kind: str
    """Tag of the value: int, float, str, bool, null, seq, map."""
    flow: bool
    """True inside braces."""
    size: int = 0
    """Number of children."""

    @property
    def dotted(self) -> str:
        """The dotted key."""
        return ".".join(self.path)

    @property
    def last(self) -> str:
        """Last part of the key."""
        return self.path[-1]


def package(name: str) -> tuple[str, ...]:
    """Returns where a file's values belong in the composed config."""
    group = name.partition("/")[0]
    return () if group == "experiment" else (group,)


@cache
def entries(name: str, text: str) -> tuple[Entry, ...]:
    """Returns every key of a config file, without its defaults list."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return ()
    return tuple(_below(name, text, root, package(name), False))


def _below(
    name: str, text: str, node: yaml.MappingNode, path: tuple[str, ...], flow: bool
) -> Iterator[Entry]:
    flow = flow or bool(node.flow_style)
    for key, value in node.value:
        if key.value == "defaults" and len(path) == len(package(name)):
            continue
        end = value.end_mark.index
        if isinstance(value, yaml.CollectionNode) and not value.flow_style:
            end = value.start_mark.index + len(
                text[value.start_mark.index : end].rstrip()
            )
        start = key.start_mark.index
        yield Entry(
            name,
            (*path, str(key.value)),
            (start, key.end_mark.index),
            (value.start_mark.index, end),
            text.rfind("\n", 0, start) + 1,
            key.start_mark.column,
            value.value if isinstance(value, yaml.ScalarNode) else None,
            value.tag.rpartition(":")[2],
            flow,
            0 if isinstance(value, yaml.ScalarNode) else len(value.value),
        )
        if isinstance(value, yaml.MappingNode):
            yield from _below(name, text, value, (*path, str(key.value)), flow)
