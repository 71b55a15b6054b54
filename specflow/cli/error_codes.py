"""Error codes as users type them, and the line of a report that names their pages."""

import dataclasses
import re
from collections.abc import Iterable

from specflow.diagnostics.error_pages import ErrorPage, error_pages
from specflow.diagnostics.errors import ConfigError, Diagnostic, nearest

__all__ = ["nearest_code", "page_of", "where_explained"]

_PRINTED = re.compile(r"(?:error|warning)\[([\w-]+)\]:?")
"""A code as it is printed in a message."""
_KEYS = ("mesh", "spec", "sweep")
"""Codes that are also keys of an experiment, which a bare word means."""


def page_of(word: str) -> ErrorPage | None:
    """Returns the page of the code that a word of the command line names, if any.

    >>> page_of("unknown-key").code, page_of("error[spec]").code, page_of("spec")
    ('unknown-key', 'spec', None)
    """
    if printed := _PRINTED.fullmatch(word):
        return error_pages().get(printed[1])
    return None if word in _KEYS else error_pages().get(word)


def nearest_code(word: str, error: ConfigError) -> ConfigError:
    """Returns the error of a word that is no key, with the code that it may mean.

    Args:
        word: as typed.
        error: of the word as a key; returned as it is where a key is more likely.
    """
    printed = _PRINTED.fullmatch(word)
    typed = printed[1] if printed else word
    first, *others = error.diagnostics
    is_key = first.code != "unknown-key" or others or "Did you mean" in first.hint
    near = None if "." in typed else nearest(typed, error_pages())
    if near is None or (is_key and not printed and "-" not in word):
        return error
    hint = f"Did you mean the error code {near}?"
    problem = "no such key and no such error code"
    return ConfigError(
        dataclasses.replace(first, where=word, problem=problem, hint=hint)
    )


def where_explained(diagnostics: Iterable[Diagnostic]) -> str:
    """Returns the line that names the pages of a report's codes; empty: there is none.

    >>> print(where_explained([Diagnostic("seed", "got -1", code="range")]))
    explain: specflow explain range
    """
    codes = dict.fromkeys(
        f"'error[{code}]'" if (code := diagnostic.code) in _KEYS else code
        for diagnostic in diagnostics
        if diagnostic.code in error_pages()
    )
    if len(codes) < 2:
        return "".join(f"explain: specflow explain {code}" for code in codes)
    return f"explain: specflow explain CODE, for {', '.join(codes)}"
