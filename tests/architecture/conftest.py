"""Syntax trees of specflow and of the packages in its wheel."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = [
    path
    for folder in ("specflow", "plugins")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def trees() -> Iterator[tuple[Path, ast.Module]]:
    """Path relative to the repository -> syntax tree, for every module."""
    for path in FILES:
        yield path.relative_to(ROOT), parsed(path)


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())
