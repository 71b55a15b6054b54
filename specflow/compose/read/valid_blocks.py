"""Recovery of the valid blocks of a file that is not valid YAML.

One syntax error must not hide other problems: the rest of the file is still validated.
"""

import dataclasses
import re
from pathlib import Path

from specflow.compose.read.documents import Document, empty, read, text_of
from specflow.diagnostics.errors import ConfigError, Diagnostic

__all__ = ["ValidBlocks", "read_valid_blocks"]

_MOST_BLOCKS = 20
"""Number of invalid blocks after which the rest of the file is not read: each takes
another reading of the file."""


@dataclasses.dataclass(frozen=True)
class ValidBlocks:
    """Readable part of a file."""

    document: Document
    diagnostics: tuple[Diagnostic, ...] = ()
    skipped_keys: frozenset[str] = frozenset()
    """Keys of the root whose values were skipped; an empty text means all."""


def read_valid_blocks(file: Path, shown: str) -> ValidBlocks:
    """Reads a YAML file, or the blocks of it that are valid YAML.

    Args:
        file: path of the file.
        shown: its name in messages.

    Raises:
        ConfigError: the file cannot be read at all.
    """
    text = text_of(file, shown)
    diagnostics: list[Diagnostic] = []
    skipped: set[str] = set()
    while True:
        try:
            return ValidBlocks(
                read(text, shown), tuple(diagnostics), frozenset(skipped)
            )
        except ConfigError as error:
            diagnostics += error.diagnostics
        is_syntax = re.fullmatch(
            r"is not valid YAML.*", diagnostics[-1].problem, re.DOTALL
        )
        line = is_syntax and re.search(r":(\d+):\d+$", diagnostics[-1].origin)
        lines = text.split("\n")
        block = _block(lines, int(line[1]) - 1) if line else range(0)
        is_lost = len(diagnostics) >= _MOST_BLOCKS
        if is_lost or not any(lines[place].strip() for place in block):
            return ValidBlocks(empty(), tuple(diagnostics), frozenset({""}))
        skipped.add(lines[block.start].split(":")[0].strip("\"' {"))
        # Blank lines keep the line numbers of what follows.
        lines[block.start : block.stop] = [""] * len(block)
        text = "\n".join(lines)


def _block(lines: list[str], place: int) -> range:
    """Returns the lines of the root key, with its value, that contain a line.

    >>> _block(["a: 1", "b:", "  c: {", "", "d: 2"], 2)
    range(1, 4)
    """
    starts = [number for number, line in enumerate(lines) if line[:1].strip(" \t#:")]
    start = max((number for number in starts if number <= place), default=0)
    stop = min((number for number in starts if number > place), default=len(lines))
    return range(start, stop)
