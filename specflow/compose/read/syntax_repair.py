"""Repair of text that is not valid YAML: the smallest change that makes it valid.

A parser notices a mistake where it can read no further, often a line too late, and says
what it expected there, not what was meant. Here the usual slips are tried, on the line
of the error and on those around it; the first that leaves valid YAML is suggested.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator

__all__ = ["LARGEST", "Repair", "find_repair"]

LARGEST = 100_000
"""Length of texts that are repaired, in characters: every try parses the whole text."""
_PAIR = re.compile(
    r"(?P<key>(?:- )?[\w./@ -]*[\w)])(?P<mark>\s*=\s*|:|\uff1a\s*)(?P<value>\S.*)$"
)
_UNSET = re.compile(r"(?<=[\s\[])\?\?\?(?=\s*[,}\]])")
"""A value in braces or brackets that is to be set later: YAML takes it for a key."""
_CONFLICT = re.compile(r"(<{7}|={7}|>{7}|\|{7})( .*)?$")
_NUMBER = re.compile(r"[-+]?[\d._]+(e[-+]?\d+)?|true|false|null")
_WORD = re.compile(r"[\w-]+(\uff1a.*)?")
_MOST_WORDS = 5
_CLOSING = {"[": "]", "{": "}"}


@dataclasses.dataclass(frozen=True)
class Repair:
    """A change of one line that makes a text valid YAML."""

    line: int
    """Number of the line, from 0."""
    column: int
    """Column of the line's text, from 0."""
    hint: str
    """What to do, for a message."""
    text: str = dataclasses.field(repr=False)
    """The whole text with the change; its lines have the same numbers."""


def find_repair(
    text: str,
    places: tuple[int, ...],
    parses: Callable[[str], bool],
    repeated: str | None = None,
) -> Repair | None:
    r"""Returns the change of one line that makes a text valid YAML; None if none does.

    Args:
        text: which is not valid YAML.
        places: numbers of the lines of the error, from 0, the likeliest first.
        parses: returns whether a text is valid.
        repeated: the key that is repeated at the first place, if that is the error.

    >>> import yaml
    >>> def parses(text):
    ...     try:
    ...         return isinstance(yaml.safe_load(text), dict)
    ...     except yaml.YAMLError:
    ...         return False
    >>> find_repair("a: 1\nb = 2\nc: 3", (2,), parses)
    Repair(line=1, column=0, hint='Write b: 2.')
    >>> find_repair("a\uff1a1\n\nb: 2\nc: 3", (3,), parses)
    Repair(line=0, column=0, hint='Write a: 1.')
    """
    if len(text) > LARGEST:
        return None
    lines = text.split("\n")
    if repeated is not None:
        return _of_repeated(lines, places[0], repeated)
    for place in places:
        slipped = _slipped(lines, place)
        if slipped is not None:
            depth = _depth(lines[place])
            new = [*lines]
            new[slipped] = " " * depth + lines[slipped].strip()
            if parses(text := "\n".join(new)):
                return Repair(slipped, _depth(lines[slipped]), _indent(depth), text)
    around = [*_around(places, lines)]
    # A word on a line of its own may lack its colon or its dash; and a full-width colon
    # makes a line a text, whose end is noticed below.
    words = [n for n, line in enumerate(lines) if _WORD.fullmatch(line.strip())]
    around += [number for number in words[:_MOST_WORDS] if number not in around]
    for candidates in (_candidates, _made_even, _indented):
        for place in around:
            for new, hint in candidates(lines, place):
                if parses(
                    text := "\n".join([*lines[:place], new, *lines[place + 1 :]])
                ):
                    return Repair(place, _depth(lines[place]), hint, text)
    if any("\t" in lines[place][: _depth(lines[place])] for place in around):
        plain = [
            line.expandtabs(2)[: len(line.expandtabs(2)) - len(line.lstrip())]
            + line.lstrip()
            for line in lines
        ]
        if parses(text := "\n".join(plain)):
            hint = "Indent with spaces: YAML allows no tabs."
            return Repair(places[0], 0, hint, text)
    return None


def _around(places: tuple[int, ...], lines: list[str]) -> Iterator[int]:
    """Yields the lines of an error, and the written ones before each."""
    seen: set[int] = set()
    for place in places:
        before = [n for n in range(place - 1, -1, -1) if lines[n].strip()][:1]
        for number in (place, *before):
            if number not in seen and number < len(lines) and lines[number].strip():
                seen.add(number)
                yield number


def _slipped(lines: list[str], place: int) -> int | None:
    """Returns the line before, if it is indented less than those around it."""
    if place >= len(lines):
        return None
    before = [n for n in range(place - 1, -1, -1) if lines[n].strip()][:2]
    if len(before) < 2:
        return None
    last, first = before
    depth, own = _depth(lines[place]), _depth(lines[last])
    if own >= depth or lines[last].rstrip().endswith(":"):
        return None
    after = next((line for line in lines[place + 1 :] if line.strip()), "")
    opens = lines[first].rstrip().endswith(":") and (
        own <= _depth(lines[first]) or own % 2 > depth % 2 or _depth(after) == depth
    )
    return last if opens or _depth(lines[first]) == depth else None


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _indent(depth: int) -> str:
    return f"Indent it by {depth} space{'s' if depth != 1 else ''}."


def _of_repeated(lines: list[str], place: int, key: str) -> Repair | None:
    line = lines[place]
    depth = _depth(line)
    if not re.match(rf"['\"]?{re.escape(key)}\b", line.lstrip()):
        hint = "Remove it here, or earlier in the braces."
        new = [*lines[:place], _without_pair(line, key), *lines[place + 1 :]]
        return Repair(place, depth, hint, "\n".join(new))
    start = re.compile(rf"['\"]?{re.escape(key)}['\"]?\s*:")
    for number in range(place - 1, -1, -1):
        other = lines[number]
        margin = _depth(other)
        if margin == depth and start.match(other.lstrip()):
            hint = f"Remove it here, or at line {number + 1}."
            return Repair(place, depth, hint, _without_block(lines, place))
        if other.strip() and margin < depth:
            return None
    return None


def _without_block(lines: list[str], place: int) -> str:
    """Returns a text without a key and what is indented below it."""
    depth, end = _depth(lines[place]), place + 1
    while end < len(lines) and lines[end].strip() and _depth(lines[end]) > depth:
        end += 1
    return "\n".join([*lines[:place], *[""] * (end - place), *lines[end:]])


def _without_pair(line: str, key: str) -> str:
    """Returns a line without the last pair of a key in braces.

    >>> _without_pair("a: {b: 1, c: 2, b: [3, 4]}", "b")
    'a: {b: 1, c: 2}'
    """
    pairs = [*re.finditer(rf",\s*['\"]?{re.escape(key)}['\"]?\s*:", line)]
    if not pairs:
        return line
    begin, end = pairs[-1].span()
    depth = 0
    while end < len(line) and (depth or line[end] not in ",]}"):
        depth += (line[end] in "[{") - (line[end] in "]}")
        end += 1
    return line[:begin] + line[end:]


def _candidates(lines: list[str], place: int) -> Iterator[tuple[str, str]]:
    """Yields what may have been meant by a line, the likeliest first."""
    line = lines[place]
    margin = line[: len(line) - len(line.lstrip())]
    written = line.strip()
    if _CONFLICT.match(written) or written in ("---", "..."):
        yield "", "Remove this line."
        return
    plain = margin.replace("\t", "  ").replace("\u00a0", " ")
    if plain != margin:
        for depth in _depths(lines, place):
            yield f"{' ' * depth}{written}", _indent(depth)
    bare = re.split(r"\s#", written)[0].rstrip()
    for new in (*_rewritten(bare), *(_rewritten(written) if bare != written else ())):
        yield f"{plain}{new}", f"Write {new}."
        if new.startswith("- "):
            for depth in _depths(lines, place):
                yield f"{' ' * depth}{new}", f"Write {new}."


def _indented(lines: list[str], place: int) -> Iterator[tuple[str, str]]:
    """Yields a line at other depths."""
    for depth in _depths(lines, place):
        if depth != _depth(lines[place]):
            yield f"{' ' * depth}{lines[place].strip()}", _indent(depth)


def _made_even(lines: list[str], place: int) -> Iterator[tuple[str, str]]:
    """Yields a line that is indented by an odd number of spaces at even depths."""
    if _depth(lines[place]) % 2:
        for new, hint in _indented(lines, place):
            if _depth(new) % 2 == 0:
                yield new, hint


def _rewritten(written: str) -> Iterator[str]:
    keyword = re.match(r"- (override|optional): (/?\S+: \S+)$", written)
    if keyword:
        yield f"- {keyword[1]} {keyword[2]}"
    pair = _PAIR.match(written)
    if pair and not (pair["mark"] == ":" and pair["value"][:2] == "//"):
        if pair["mark"].strip() != ":" or not written[pair.end("mark") - 1].isspace():
            yield f"{pair['key']}: {pair['value']}"
    if (quoted := _UNSET.sub("'???'", written)) != written:
        yield quoted
    yield from _closed(written)
    if re.match(r"- [\w.]+:( |$)", written):
        yield written[2:]
    key, colon, value = written.partition(": ")
    value = value.strip()
    if colon and value:
        if value[:2] in ("''", '""') and value[-1] == value[0] and len(value) > 3:
            yield f"{key}: {value[1:]}"
        if value[0] in "@`%!&" and (rest := value[1:].strip("`")):
            tagged = re.match(r"![^\s]*\s+(?P<rest>.+)", value)
            rest = tagged["rest"] if tagged else rest
            yield f"{key}: {rest}"
        head = re.match(r"(?P<braces>[\[{].*[\]}])\s+\S", value)
        if head:
            yield f"{key}: {head['braces']}"
        first, again, _ = value.partition(": ")
        if again:
            yield f"{key}: {first}"
        if value[0] not in "'\"[{*":
            quoted = value.replace("'", "''")
            yield f"{key}: '{quoted}'"
    if re.fullmatch(r"[\w-]+", written):
        yield f"{written}:"
        yield f"- {written}"
    elif ":" in written and written.startswith(("override ", "/")):
        yield f"- {written}"


def _closed(written: str) -> Iterator[str]:
    """Yields a line with its open brackets, braces and quotes closed."""
    stack: list[str] = []
    quote = ""
    for character in written:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in _CLOSING:
            stack.append(_CLOSING[character])
        elif stack and character == stack[-1]:
            stack.pop()
    alone = re.match(r"(?P<key>[^:]+: )[\[{'\"](?P<value>[-+\w.]+)$", written)
    if alone and (quote == "" or _NUMBER.fullmatch(alone["value"])):
        yield f"{alone['key']}{alone['value']}"
    if quote:
        yield f"{written}{quote}{''.join(stack[::-1])}"
    elif stack and written[-1] not in "[{":
        yield f"{written}{''.join(stack[::-1])}"


def _depths(lines: list[str], place: int) -> Iterator[int]:
    """Yields how far a line may be indented: as those beside it, or inside the last."""
    seen: set[int] = set()
    beside = [
        *(n for n in range(place - 1, -1, -1) if lines[n].strip()),
    ][:1]
    beside += [n for n in range(place + 1, len(lines)) if lines[n].strip()][:1]
    for number in beside:
        other = lines[number]
        depth = len(other.expandtabs(2)) - len(other.lstrip())
        depths = [depth, depth + 2] if other.rstrip().endswith(":") else [depth]
        if number < place and other.rstrip().endswith(":"):
            depths = depths[::-1]
        for one in depths:
            if one not in seen:
                seen.add(one)
                yield one
    for one in (0, 2, 4):
        if one not in seen:
            yield one
