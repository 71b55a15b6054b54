"""Mechanical application of what a report proposes, word by word."""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from specflow.diagnostics.errors import Diagnostic
from tests.corpus.sources import LINE, OWN, Sources, package

__all__ = ["applied", "are_equal"]

_MEANT = re.compile(r"(?:^|(?P<of>[^\s]+): |\s)Did you mean (?P<text>.+?)\?(?:\s|$)")
_WRITE = re.compile(r"(?:^|\. )Write (?P<text>.+?)\.(?: |$)")
_HEADER = '"# @package _global_"'


def applied(sources: Sources, diagnostic: Diagnostic) -> Sources | None:
    """Returns sources with the proposal of a diagnostic applied; None without one."""
    origin = diagnostic.origin
    if origin.startswith("override "):
        return _on_the_line(sources, diagnostic, origin.removeprefix("override "))
    found = re.fullmatch(rf"{OWN}/(.+?):(\d+)(?::(\d+))?", origin)
    texts = dict(sources.texts)
    if found is None or found[1] not in texts:
        return None
    text = texts[found[1]]
    new = _in_file(text, found[1], int(found[2]), int(found[3] or 1), diagnostic)
    return None if new is None else sources.replaced(found[1], new)


def are_equal(one: Sources, other: Sources) -> bool:
    """Returns whether two sources say the same: every file as YAML, every override."""
    for (name, mine), (_, theirs) in zip(one.texts, other.texts, strict=True):
        if mine.split() == theirs.split():
            continue
        if name == LINE:
            lines = (
                [line.lstrip("+") for line in t.splitlines()] for t in (mine, theirs)
            )
            if next(lines) != next(lines):
                return False
            continue
        first = [
            text.partition("\n")[0].startswith("# @package") for text in (mine, theirs)
        ]
        try:
            values = [yaml.safe_load(text) for text in (mine, theirs)]
        except yaml.YAMLError:
            return False
        if first[0] != first[1] or values[0] != values[1]:
            return False
    return True


def _on_the_line(sources: Sources, diagnostic: Diagnostic, line: str) -> Sources | None:
    text = dict(sources.texts)[LINE]
    lines = text.splitlines()
    if line not in lines:
        return None
    at = lines.index(line)
    if "Remove it." in diagnostic.hint:
        del lines[at]
        return sources.replaced(LINE, "\n".join(lines) + "\n")
    meant = _MEANT.search(f"{diagnostic.expected} {diagnostic.hint}")
    meant = _MEANT.search(diagnostic.hint) or meant
    if meant is None:
        return None
    proposal, where = meant["text"], meant["of"] or diagnostic.where
    key, equals, value = line.partition("=")
    bare = key.lstrip("+~")
    if diagnostic.problem.startswith("got") and _is_value(diagnostic, proposal):
        lines[at] = f"{key}={proposal}"
    elif "=" in proposal:
        lines[at] = proposal
    elif bare.startswith(where):
        lines[at] = f"{proposal}{bare[len(where) :]}{equals}{value}"
    else:
        return None
    return sources.replaced(LINE, "\n".join(lines) + "\n")


def _is_value(diagnostic: Diagnostic, proposal: str) -> bool:
    return diagnostic.code not in ("unknown-choice", "defaults") and not (
        proposal.startswith(f"{diagnostic.where}=")
    )


def _in_file(
    text: str, name: str, row: int, column: int, diagnostic: Diagnostic
) -> str | None:
    hint, lines = diagnostic.hint, text.split("\n")
    if row > len(lines):
        return None
    line = lines[row - 1]
    if _HEADER in diagnostic.expected or _HEADER in hint:
        stray = re.search(r"Line (\d+) is '", str(diagnostic))
        if stray:
            del lines[int(stray[1]) - 1]
        if re.search(r"first line is '", str(diagnostic)):
            del lines[0]
        return "\n".join(["# @package _global_", *lines]).replace("\ufeff", "")
    if "Remove the package header" in hint:
        del lines[row - 1]
        return "\n".join(lines)
    if "Remove this line" in hint:
        del lines[row - 1]
        return "\n".join(lines)
    if "Remove this" in hint or "Remove it here" in hint:
        return _removed(text, row, column)
    if "Remove the two lines" in hint:
        return None
    if "Move this entry up" in hint:
        first = next(n for n, one in enumerate(lines) if "- override " in one)
        lines.insert(first, lines.pop(row - 1))
        return "\n".join(lines)
    indent = re.search(r"Indent it by (\d+) space", hint)
    if indent:
        lines[row - 1] = " " * int(indent[1]) + line.strip()
        return "\n".join(lines)
    moved = re.search(r"Write (\w+) inside ([\w.]*\w)", hint)
    if moved:
        return _moved(text, name, row, column, (*moved[2].split("."), moved[1]))
    if unwrapped := re.search(r"Move its keys (?:up|to the root)", hint):
        del unwrapped
        return _unwrapped(text, name, row, column)
    several = re.search(r"Write - (.+), one item each", hint)
    if several:
        end = row
        while not lines[end].lstrip().startswith(("- ", "#")) and ":" in lines[end]:
            if not lines[end].startswith(" "):
                break
            end += 1
        lines[row - 1 : end] = [f"  - {one}" for one in several[1].split(" and - ")]
        return "\n".join(lines)
    written = _WRITE.search(hint)
    is_pair = diagnostic.code in ("unknown-key", "type", "missing")
    if written and (is_pair or diagnostic.problem.startswith("got the name")):
        path = _path_at(text, row, column, diagnostic.where)
        if path is None:
            return None
        tree, pair = yaml.safe_load(text), yaml.safe_load(written["text"])
        taken = _take(tree, path)
        around = path if isinstance(taken, str) else path[:-1]
        if isinstance(taken, str):
            _put(tree, path, {})
        for key, value in pair.items():
            _put(tree, (*around, key), value)
        return text[: text.find("\n") + 1] + yaml.safe_dump(tree, sort_keys=False)
    if written and "and the name of the choice" not in hint:
        entry = (
            "- " if line.lstrip().startswith("- ") and diagnostic.code != "yaml" else ""
        )
        margin = line[: len(line) - len(line.lstrip())].replace("\t", "  ")
        if written["text"].startswith("- ") and diagnostic.code == "defaults":
            entry, margin = "", "  "
        lines[row - 1] = f"{margin}{entry}{written['text']}"
        return "\n".join(lines)
    meant = _MEANT.search(hint)
    if meant is None:
        return None
    if diagnostic.code in ("defaults", "unknown-choice") and line.lstrip().startswith(
        "- "
    ):
        return _entry(lines, row, diagnostic, meant["text"])
    of = meant["of"]
    return _of_key(text, name, row, column, diagnostic, meant["text"], of)


def _entry(lines: list[str], row: int, diagnostic: Diagnostic, proposal: str) -> str:
    """Applies a proposal to an entry of a defaults list."""
    line = lines[row - 1]
    margin, _, entry = line.partition("- ")
    head, colon, choice = entry.partition(": ")
    if re.fullmatch(r"\w+=\S+", proposal):  # A choice, as on the command line.
        group, _, meant = proposal.partition("=")
        entry = f"{head}: {meant}" if colon else f"/{group}/{meant}"
    elif colon and ":" not in proposal and not proposal.endswith(f"/{choice}"):
        if diagnostic.where and proposal == diagnostic.where and "/" not in proposal:
            proposal = head.replace(head.rpartition("/")[2], proposal)
        entry = f"{proposal}: {choice}"
    else:
        entry = proposal
    lines[row - 1] = f"{margin}- {entry}"
    return "\n".join(lines)


def _removed(text: str, row: int, column: int) -> str:
    """Removes what begins at a place: a pair in braces, or a line and its block."""
    lines = text.split("\n")
    line = lines[row - 1]
    before = line[: column - 1]
    if before.rstrip().endswith((",", "{")):
        rest = re.sub(
            r"^[^,{}\[\]]*(?:\{[^{}]*\}|\[[^\[\]]*\])?", "", line[column - 1 :]
        )
        lines[row - 1] = re.sub(r",\s*$", "", before) + rest
        return "\n".join(lines)
    depth, end = len(line) - len(line.lstrip()), row
    while end < len(lines) and lines[end].strip():
        if len(lines[end]) - len(lines[end].lstrip()) <= depth:
            break
        end += 1
    return "\n".join(lines[: row - 1] + lines[end:])


def _of_key(
    text: str,
    name: str,
    row: int,
    column: int,
    diagnostic: Diagnostic,
    proposal: str,
    of: str | None,
) -> str | None:
    """Applies a proposal to a key or to its value."""
    path = _path_at(text, row, column, diagnostic.where)
    if path is None:
        return None
    tree = yaml.safe_load(text)
    head = text[: text.find("\n") + 1] if text.startswith("#") else ""
    if diagnostic.problem.startswith("got") or diagnostic.code == "interpolation":
        try:
            value = yaml.safe_load(proposal)
        except yaml.YAMLError:
            return None
        _put(tree, path, value)
        return head + yaml.safe_dump(tree, sort_keys=False)
    if "=" in proposal:
        key, _, value = proposal.partition("=")
        taken = _take(tree, path)
        _put(tree, tuple(key.split("."))[len(package(name)) :], yaml.safe_load(value))
        del taken
        return head + yaml.safe_dump(tree, sort_keys=False)
    if of is not None:
        inner = of.split(".")[len(diagnostic.where.split(".")) :]
        path = (*path, *inner)
    if proposal == "defaults":
        target: tuple[Any, ...] = ("defaults",)
    else:
        target = tuple(proposal.split("."))
        known = package(name)
        if target[: len(known)] != known:
            return None
        target = target[len(known) :]
        if not target:
            return None
    value = _take(tree, path)
    if of is not None and not _get(tree, path[:-1]):
        _take(tree, path[:-1])
    _put(tree, target, value)
    return head + yaml.safe_dump(tree, sort_keys=False)


def _get(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _moved(
    text: str, name: str, row: int, column: int, target: tuple[str, ...]
) -> str | None:
    path = _path_at(text, row, column, "")
    if path is None:
        return None
    tree = yaml.safe_load(text)
    head = text[: text.find("\n") + 1] if text.startswith("#") else ""
    value = _take(tree, path)
    _put(tree, target[len(package(name)) :], value)
    return head + yaml.safe_dump(tree, sort_keys=False)


def _unwrapped(text: str, name: str, row: int, column: int) -> str | None:
    path = _path_at(text, row, column, "")
    tree = yaml.safe_load(text)
    head = text[: text.find("\n") + 1] if text.startswith("#") else ""
    if path is None:
        return None
    inner = _take(tree, path)
    if not isinstance(inner, dict):
        return None
    for key, value in inner.items():
        _put(tree, (*path[:-1], key), value)
    return head + yaml.safe_dump(tree, sort_keys=False)


def _path_at(text: str, row: int, column: int, where: str) -> tuple[Any, ...] | None:
    """Returns the path of the key or element that begins at a place."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None
    found = [
        path
        for path, mark in _marks(root, ())
        if (mark.line + 1, mark.column + 1) == (row, column)
    ]
    last = where.rpartition(".")[2]
    named = [path for path in found if str(path[-1]) == last]
    paths = named or found
    if not paths:
        return None
    # A list's elements have no place of their own: the key stands for them.
    path = paths[0]
    parts = where.split(".")
    if last.isdecimal() and str(path[-1]) in parts:
        rest = parts[len(parts) - 1 - parts[::-1].index(str(path[-1])) + 1 :]
        path = (*path, *(int(one) if one.isdecimal() else one for one in rest))
    return path


def _marks(node: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*path, _key(key)), key.start_mark
            yield from _marks(value, (*path, _key(key)))
    elif isinstance(node, yaml.SequenceNode):
        for at, value in enumerate(node.value):
            yield (*path, at), value.start_mark
            yield from _marks(value, (*path, at))


def _key(node: Any) -> Any:
    return (
        yaml.safe_load(node.value) if node.style is None and node.value else node.value
    )


def _take(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        tree = tree[key]
    value = tree[path[-1]]
    del tree[path[-1]]
    return value


def _put(tree: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        inner = tree.get(key) if isinstance(tree, dict) else tree[key]
        if not isinstance(inner, dict | list):
            inner = tree[key] = {}
        tree = inner
    last = path[-1]
    if (
        isinstance(tree, dict)
        and isinstance(tree.get(last), dict)
        and isinstance(value, dict)
    ):
        tree[last] |= value
    else:
        tree[last] = value
