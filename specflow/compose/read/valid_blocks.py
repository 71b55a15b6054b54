"""Recovery of a file that is not valid YAML.

One syntax error must not hide other problems: the file is read on with the error
repaired as its hint suggests, and without the block that contains it if there is no
repair.
"""

import dataclasses
import re
from functools import lru_cache
from pathlib import Path

from specflow.compose.read.documents import (
    Document,
    InvalidYamlError,
    empty,
    read,
    text_of,
)
from specflow.compose.read.syntax_repair import LARGEST
from specflow.diagnostics.errors import ConfigError, Diagnostic

__all__ = ["ValidBlocks", "read_valid_blocks"]

_MOST_ERRORS = 20
"""Number of errors after which the rest of the file is not read: each takes another
reading of the file."""


@dataclasses.dataclass(frozen=True)
class ValidBlocks:
    """Readable part of a file."""

    document: Document
    diagnostics: tuple[Diagnostic, ...] = ()
    skipped_keys: frozenset[str] = frozenset()
    """Keys of the root whose values were skipped; an empty text means all."""
    guessed_places: frozenset[str] = frozenset()
    """`file:line` of each line that was read as its hint suggests."""


def read_valid_blocks(file: Path, shown: str) -> ValidBlocks:
    """Reads a YAML file, or what of it is valid YAML or can be repaired.

    Args:
        file: path of the file.
        shown: its name in messages.

    Raises:
        ConfigError: the file cannot be read at all.
    """
    return _blocks_of(text_of(file, shown), shown)


# Several steps of a composition read a file, and each repair takes many parses.
@lru_cache(maxsize=64)
def _blocks_of(text: str, shown: str) -> ValidBlocks:
    diagnostics: list[Diagnostic] = []
    skipped: set[str] = set()
    repaired: set[str] = set()
    guessed: set[str] = set()

    def blocks(document: Document, *more: str) -> ValidBlocks:
        keys = frozenset({*skipped, *more})
        return ValidBlocks(document, tuple(diagnostics), keys, frozenset(guessed))

    while True:
        try:
            return blocks(read(text, shown))
        except InvalidYamlError as error:
            invalid = error
        except ConfigError as error:
            diagnostics += error.diagnostics
            return blocks(empty(), "")
        lines, block = text.split("\n"), _block(text, invalid)
        new = invalid.repaired
        if new is None and block and len(text) <= LARGEST:
            invalid, new = _repaired_alone(lines, block, shown, invalid)
            new = new or _without_value(lines, block, shown, invalid)
        (diagnostic,) = invalid.diagnostics
        place = diagnostic.origin.rpartition(":")[0]
        is_again = place in repaired
        if not is_again:
            diagnostics.append(diagnostic)
        if len(diagnostics) >= _MOST_ERRORS or not block:
            return blocks(empty(), "")
        if new is not None and not is_again:
            repaired.add(place)
            if not diagnostic.hint.startswith("Remove"):
                guessed.add(place)
            text = new
            continue
        skipped.add(lines[block.start].split(":")[0].strip("\"' {"))
        # Blank lines keep the line numbers of what follows.
        lines[block.start : block.stop] = [""] * len(block)
        text = "\n".join(lines)


def _repaired_alone(
    lines: list[str], block: range, shown: str, invalid: InvalidYamlError
) -> tuple[InvalidYamlError, str | None]:
    """Repairs a block without regard to errors in others, if that is possible."""
    rest = [*lines]
    rest[: block.start] = [""] * block.start
    rest[block.stop :] = [""] * (len(lines) - block.stop)
    try:
        read("\n".join(rest), shown)
    except InvalidYamlError as error:
        if error.repaired is not None:
            new = error.repaired.split("\n")[block.start : block.stop]
            lines = [*lines[: block.start], *new, *lines[block.stop :]]
            (first,), (found,) = invalid.diagnostics, error.diagnostics
            hinted = dataclasses.replace(first, hint=found.hint, origin=found.origin)
            return InvalidYamlError(hinted), "\n".join(lines)
    except ConfigError:
        pass
    return invalid, None


def _without_value(
    lines: list[str], block: range, shown: str, invalid: InvalidYamlError
) -> str | None:
    """Removes the value at an error, if what is left of its block is valid."""
    place = int(invalid.diagnostics[0].origin.split(":")[-2]) - 1
    key = re.match(r"\s+[\w.-]+:(?=\s)", lines[place])
    if key is None:
        return None
    rest = [""] * len(lines)
    rest[block.start : block.stop] = lines[block.start : block.stop]
    rest[place] = key[0]
    try:
        read("\n".join(rest), shown)
    except ConfigError:
        return None
    return "\n".join([*lines[:place], key[0], *lines[place + 1 :]])


def _block(text: str, invalid: InvalidYamlError) -> range:
    """Returns the lines of the root key that contain an error, if it has a place."""
    line = re.search(r":(\d+):\d+$", invalid.diagnostics[0].origin)
    lines = text.split("\n")
    block = _lines_of_key(lines, int(line[1]) - 1) if line else range(0)
    return block if any(lines[place].strip() for place in block) else range(0)


def _lines_of_key(lines: list[str], place: int) -> range:
    """Returns the lines of the root key, with its value, that contain a line.

    >>> _lines_of_key(["a: 1", "b:", "  c: {", "", "d: 2"], 2)
    range(1, 4)
    """
    starts = [number for number, line in enumerate(lines) if line[:1].strip(" \t#:")]
    start = max((number for number in starts if number <= place), default=0)
    stop = min((number for number in starts if number > place), default=len(lines))
    return range(start, stop)
