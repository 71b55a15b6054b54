"""Pages of error codes: what each means, an example, and what to do.

`docs/errors.md` is their one source. A wheel has it in this package, a checkout (and so
an editable install) among the documents.
"""

import dataclasses
import re
import textwrap
from functools import cache
from pathlib import Path

__all__ = ["ErrorPage", "error_pages", "wrapped"]

_PLACES = (
    Path(__file__).parent / "errors.md",
    Path(__file__).parents[2] / "docs" / "errors.md",
)
_CELL_END = re.compile(r"(?<!\\)\|")
_WIDTH = 80


@dataclasses.dataclass(frozen=True, slots=True)
class ErrorPage:
    """The page of one code."""

    code: str
    meaning: str
    """What it means, in sentences."""
    example: str
    """A message with this code, without the code; `[...]` stands for the rest of it."""
    hint: str
    """What to do, in sentences."""

    @property
    def kind(self) -> str:
        """`warning` if the command continues, otherwise `error`."""
        return "warning" if self.meaning.startswith("A warning") else "error"


@cache
def error_pages() -> dict[str, ErrorPage]:
    """Returns the pages by their codes, in alphabetical order.

    >>> print(error_pages()["export-missing"].meaning)
    A directory holds no export.
    """
    file = next((file for file in _PLACES if file.is_file()), None)
    lines = file.read_text(encoding="utf-8").splitlines() if file else ()
    pages = (_page(line) for line in lines if line.startswith("| `"))
    return {page.code: page for page in pages}


def _page(row: str) -> ErrorPage:
    cells = [cell.replace("\\|", "|").strip() for cell in _CELL_END.split(row)[1:-1]]
    code, meaning, example, hint = cells
    return ErrorPage(code.strip("`"), meaning, example.strip("`"), hint)


def wrapped(page: ErrorPage) -> list[str]:
    r"""Formats a page as the lines that a terminal shows.

    >>> print(*wrapped(error_pages()["export-untrained"]), sep="\n")
    There is nothing to export yet.
    <BLANKLINE>
    Example:
      error[export-untrained] model: has no checkpoint. Expected a model that was
      trained.
    <BLANKLINE>
    What to do:
      Train first, or name the run that has checkpoints: `specflow runs` lists them.
    """
    message = f"{page.kind}[{page.code}] {page.example}"
    parts = (
        ("", page.meaning),
        ("Example:", message),
        ("What to do:", page.hint),
    )
    lines: list[str] = []
    for title, text in parts:
        lines += ["", title] if title else []
        lines += textwrap.wrap(
            text,
            _WIDTH,
            initial_indent="  " if title else "",
            subsequent_indent="  " if title else "",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines
