"""Edits of any YAML tree: rename, retype, delete, move, duplicate, reorder, break."""

import random
from collections.abc import Iterator

from tests.corpus.edits import NAMES, OPEN, misspell
from tests.corpus.sources import LINE, Change, Entry, Mistake, Sources, entries
from tests.corpus.trees import composed_files, shadowed

__all__ = ["structural"]

_RETYPED = {
    "int": ("many", "true", "{a: 1}", "[1, x]", "-77777777", "1.5"),
    "float": ("fast", "true", "{a: 1}", "[x]", "-1e9"),
    "bool": ("maybe", "3", "[true]", "{a: 1}"),
    "str": ("3", "true", "{a: {b: 1}}", "[1]", "1.5"),
    "seq": ("3", "{a: 1}", "true"),
    "map": ("3", "word", "[x]"),
    "null": ("{a: 1}",),
}
_BROKEN = (
    ("bracket", "{key}: [{value}"),
    ("brace", "{key}: {{a: {value}"),
    ("quote", "{key}: '{value}"),
    ("colon", "{key}: {value}: 1"),
    ("tab", "\t{key}: {value}"),
    ("alias", "{key}: *{key}"),
    ("tag", "{key}: !!int x{value}"),
    ("unknown tag", "{key}: !mine {value}"),
    ("at sign", "{key}: @{value}"),
    ("percent sign", "{key}: %{value}"),
    ("backtick", "{key}: `{value}`"),
    ("text after braces", "{key}: {{a: 1}} {value}"),
    ("deeper than its key", "{key}: {value}\n{indent}   deeper: 1"),
)

_UNKNOWABLE = (
    "alias",
    "tag",
    "deeper than its key",
    "colon",
    "text after braces",
    "brace",
)
"""Breaks after which nobody can say what stood there."""


def structural(rng: random.Random, sources: Sources) -> Iterator[Mistake]:
    """Yields edits of the config files, of every kind."""
    texts, set_by = dict(sources.texts), shadowed(sources)
    for name in composed_files(sources):
        text = texts[name]
        every = entries(name, text)
        for entry in every:
            yield from _rename(rng, entry, every)
            if len(set_by[entry.dotted]) == 1:
                yield from _retype(rng, text, entry)
            yield from _delete(text, entry, every)
            yield from _move(rng, text, entry, every)
            yield from _duplicate(text, entry)
            yield from _break(rng, text, entry)
        yield from _reorder(rng, text, every)
        yield from _defaults(rng, name, text)
    yield from _overrides(rng, texts[LINE])


def _is_open(entry: Entry) -> bool:
    return ".".join(entry.path[:-1]) in OPEN


def _rename(
    rng: random.Random, entry: Entry, every: tuple[Entry, ...]
) -> Iterator[Mistake]:
    if _is_open(entry):
        return
    siblings = {one.last for one in every if one.path[:-1] == entry.path[:-1]}
    word = misspell(rng, entry.last, siblings | {"lr", "b1", "b2"})
    wrong = ".".join((*entry.path[:-1], word))
    change = Change(entry.name, *entry.key, word)
    inside = "in braces" if entry.flow else "in a block"
    yield Mistake(f"rename {inside}", (change,), (wrong, entry.dotted))
    if entry.last == "name" and entry.scalar in NAMES and len(entry.path) > 1:
        other = misspell(rng, entry.scalar, NAMES)
        change = Change(entry.name, *entry.value, other)
        yield Mistake("rename a choice's name", (change,), (entry.dotted,))


def _retype(rng: random.Random, text: str, entry: Entry) -> Iterator[Mistake]:
    if "${" in text[slice(*entry.value)]:
        return
    wrong = rng.choice(_RETYPED.get(entry.kind, ("{a: 1}",)))
    if entry.kind == "map" and not text[slice(*entry.value)].startswith("{"):
        change = Change(entry.name, entry.key[1], entry.value[1], f": {wrong}")
    else:
        change = Change(entry.name, *entry.value, wrong)
    yield Mistake("retype", (change,), (entry.dotted,), certain=False, fix=False)
    yield Mistake(
        "null",
        (
            Change(
                entry.name, change.start, change.end, change.text.replace(wrong, "null")
            ),
        ),
        (entry.dotted,),
        certain=False,
        fix=False,
    )


def _delete(text: str, entry: Entry, every: tuple[Entry, ...]) -> Iterator[Mistake]:
    if entry.flow or (not entry.column and entry.scalar is None):
        return
    end = text.find("\n", entry.value[1]) + 1
    # Alone in its section, a key leaves null as the value of the section.
    above = [one for one in every if one.path == entry.path[:-1] and one.size == 1]
    if end:
        yield Mistake(
            "delete",
            (Change(entry.name, entry.line, end, ""),),
            (entry.dotted, ".".join(entry.path[:-1])),
            tuple((one.name, one.key[0]) for one in above),
            certain=False,
            fix=False,
            alone=True,
        )


def _move(
    rng: random.Random, text: str, entry: Entry, every: tuple[Entry, ...]
) -> Iterator[Mistake]:
    """Moves a line into another section, or to the root."""
    if entry.flow or entry.scalar is None or entry.last == "name" or _is_open(entry):
        return
    end = text.find("\n", entry.value[1]) + 1
    blocks = [
        one
        for one in every
        if one.scalar is None
        and not one.flow
        and one.kind == "map"
        and not text[slice(*one.value)].startswith("{")
        and one.path != entry.path[:-1]
        and one.dotted not in OPEN
        and not any(two.path == (*one.path, entry.last) for two in every)
    ]
    if not end or not blocks:
        return
    into = rng.choice(blocks)
    first = next(one for one in every if one.path[:-1] == into.path)
    if entry.line == first.line or first.flow:
        return
    line = f"{' ' * first.column}{entry.last}: {text[slice(*entry.value)]}\n"
    key = ".".join((*into.path, entry.last))
    siblings = [one for one in every if one.path[:-1] == entry.path[:-1]]
    if len(siblings) == 1:
        return  # The section would be left empty, which is another mistake.
    yield Mistake(
        "move to another section",
        (
            Change(entry.name, entry.line, end, ""),
            Change(entry.name, first.line, first.line, line),
        ),
        (key,),
        certain=False,
    )
    if len(entry.path) > 1:
        at = len(text)
        yield Mistake(
            "move to the root",
            (
                Change(entry.name, entry.line, end, ""),
                Change(
                    entry.name, at, at, f"{entry.last}: {text[slice(*entry.value)]}\n"
                ),
            ),
            (entry.last,)
            if entry.name.startswith("experiment/")
            else (f"{entry.path[0]}.{entry.last}",),
            certain=False,
        )


def _duplicate(text: str, entry: Entry) -> Iterator[Mistake]:
    if entry.flow:
        written = text[entry.key[0] : entry.value[1]]
        yield Mistake(
            "duplicate in braces",
            (Change(entry.name, entry.value[1], entry.value[1], f", {written}"),),
            (entry.dotted, entry.name),
            places=((entry.name, entry.key[0]),),
            alone=True,
        )
        return
    end = text.find("\n", entry.value[1]) + 1
    if end:
        yield Mistake(
            "duplicate" if entry.scalar is not None else "duplicate a section",
            (Change(entry.name, end, end, text[entry.line : end]),),
            (entry.dotted, entry.name),
            places=((entry.name, entry.key[0]),),
            alone=True,
        )


def _break(rng: random.Random, text: str, entry: Entry) -> Iterator[Mistake]:
    if entry.flow or entry.scalar is None:
        return
    written = text[slice(*entry.value)]
    if written[:1] in "'\"|>&*{[" or not written:
        return
    kind, form = rng.choice(_BROKEN)
    new = form.format(key=entry.last, value=written, indent=" " * entry.column)
    yield Mistake(
        f"break: {kind}",
        (Change(entry.name, entry.key[0], entry.value[1], new),),
        (entry.dotted, entry.name),
        fix=kind not in _UNKNOWABLE,
        alone=True,
        certain=False,
    )


def _reorder(
    rng: random.Random, text: str, every: tuple[Entry, ...]
) -> Iterator[Mistake]:
    """Swaps the elements of lists: most orders mean something else, few a mistake."""
    for entry in every:
        written = text[slice(*entry.value)]
        if entry.kind == "seq" and entry.size > 1 and written.startswith("["):
            if "{" in written:
                continue
            parts = written[1:-1].split(", ")
            rng.shuffle(parts)
            change = Change(entry.name, *entry.value, f"[{', '.join(parts)}]")
            yield Mistake(
                "reorder", (change,), (entry.dotted,), certain=False, fix=False
            )


def _defaults(rng: random.Random, name: str, text: str) -> Iterator[Mistake]:
    """Edits of a defaults list: rename, delete, duplicate, reorder."""
    if "defaults:\n" not in text:
        return
    start = text.index("defaults:\n") + len("defaults:\n")
    lines, at = [], start
    for line in text[start:].splitlines(keepends=True):
        if not line.startswith("  - "):
            break
        lines.append((at, line))
        at += len(line)
    for offset, line in lines:
        span = (name, offset, offset + len(line) - 1)
        written = line.rstrip("\n")
        head, colon, choice = written.partition(": ")
        group = head.rpartition("/")[2].removeprefix("  - ")
        keys = (group, "defaults", name, "experiment", *([choice] if choice else ()))

        def one(
            kind: str,
            new: str,
            *more: str,
            span: tuple = span,
            keys: tuple = keys,
            fix: bool = True,
            hides: bool = False,
        ) -> Mistake:
            return Mistake(
                kind,
                (Change(*span, new),),
                (*keys, *more),
                certain=False,
                alone=True,
                fix=fix,
                hides=hides,
            )

        if colon:
            slip = misspell(rng, choice, NAMES)
            yield one("rename a choice", f"{head}: {slip}", slip)
            wrong = misspell(rng, group)
            yield one(
                "rename a group", f"{head[: -len(group)]}{wrong}: {choice}", wrong
            )
            yield one("retype a choice", f"{head}: 5", fix=False, hides=True)
            yield one("retype a choice", f"{head}: {{a: b}}", fix=False, hides=True)
            yield one("null for a choice", f"{head}: null", fix=False, hides=True)
        elif "/" in written:
            wrong = misspell(rng, group)
            yield one("rename a parent", f"{written[: -len(group)]}{wrong}", wrong)
        yield one("duplicate an entry", f"{written}\n{written}")
        for odd in ("5", "null", "[a, b]", "{a: b, c: d}", "true", "${nope}"):
            if rng.random() < 0.15:
                yield one(
                    "entry of another type", f"  - {odd}", odd, fix=False, hides=True
                )
    if len(lines) > 2:
        shuffled = [line for _, line in lines]
        rng.shuffle(shuffled)
        yield Mistake(
            "reorder a defaults list",
            (Change(name, start, at, "".join(shuffled)),),
            ("defaults", name, "experiment"),
            certain=False,
            fix=False,
            alone=True,
        )


def _overrides(rng: random.Random, text: str) -> Iterator[Mistake]:
    at = 0
    for line in text.splitlines():
        key, _, value = line.partition("=")
        head, dot, last = key.rpartition(".")
        span = (LINE, at, at + len(line))
        at += len(line) + 1
        if key == "experiment":
            slip = misspell(rng, value)
            change = Change(*span, f"{key}={slip}")
            yield Mistake(
                "rename a choice", (change,), (key, slip), certain=False, alone=True
            )
            continue
        slip = misspell(rng, last, ("lr", "b1"))
        wrong = f"{head}{dot}{slip}"
        yield Mistake(
            "rename on the line",
            (Change(*span, f"{wrong}={value}"),),
            (wrong, key),
        )
        if head:
            slip = f"{misspell(rng, head)}.{last}"
            yield Mistake(
                "rename on the line",
                (Change(*span, f"{slip}={value}"),),
                (slip, slip.rpartition(".")[0], key, slip.partition(".")[0]),
            )
            for other in ("model", "loop", "output", "optimizer", "data", "mesh"):
                if other != key.partition(".")[0] and rng.random() < 0.3:
                    moved = f"{other}.{last}"
                    yield Mistake(
                        "move on the line",
                        (Change(*span, f"{moved}={value}"),),
                        (moved,),
                        certain=False,
                    )
            yield Mistake(
                "move on the line",
                (Change(*span, f"{last}={value}"),),
                (last,),
                certain=False,
            )
        for wrong in ("fast", "{a: 1}", "[x]", "-77777777", "null"):
            if rng.random() < 0.3:
                yield Mistake(
                    "retype on the line",
                    (Change(*span, f"{key}={wrong}"),),
                    (key,),
                    certain=False,
                    fix=False,
                )
