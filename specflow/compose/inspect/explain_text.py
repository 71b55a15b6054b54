"""Rendering of an explanation: as text, and as plain values for tools."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from specflow.compose.inspect.explain import TO_COME, Explanation
from specflow.compose.read.override_grammar import format_value
from specflow.runtime.plain_tree import ABSENT

__all__ = ["as_lines", "as_plain"]

_WIDTH = 88
_WIDEST = 30
"""Columns up to which texts are aligned; longer ones do not move the others."""


def as_lines(explanation: Explanation) -> Iterator[str]:
    r"""Yields the lines of an explanation.

    >>> from specflow.compose.inspect.explain import explain
    >>> print(*as_lines(explain("loop.eval_steps", ["loop.eval_steps=5"])), sep="\n")
    loop.eval_steps: Number of batches per evaluation; null: all data.
    <BLANKLINE>
    takes    a whole number > 0, or null
    default  null
    value    5
    set by   override loop.eval_steps=5
    """
    key = explanation.key or "an experiment"
    yield from _wrapped(f"{key}: ", explanation.about or "no description.")
    facts = list(_facts(explanation))
    if facts:
        yield ""
    for name, text in facts:
        yield from _wrapped(f"{name:<9}", text)
    if explanation.fields:
        of = f" of {explanation.of}" if explanation.of else ""
        yield from ("", f"fields{of}")
        yield from _fields(explanation.fields)
    if explanation.choices:
        yield from ("", "choices")
        yield from _table(explanation.choices)


def as_plain(explanation: Explanation) -> dict[str, Any]:
    """Returns an explanation as plain values."""
    return {
        "key": explanation.key,
        "about": explanation.about,
        "takes": explanation.takes,
        "defaults": explanation.defaults,
        **({} if explanation.value is ABSENT else {"value": explanation.value}),
        "layers": [
            {
                "origin": one.origin.exact,
                **({} if one.value is ABSENT else {"value": one.value}),
            }
            for one in explanation.layers
        ],
        "fields": {
            key: {
                "about": text,
                **({} if value is ABSENT else {"value": value}),
            }
            for key, (value, text) in explanation.fields.items()
        },
        "choices": explanation.choices,
    }


def _facts(explanation: Explanation) -> Iterator[tuple[str, str]]:
    if explanation.takes:
        yield "takes", explanation.takes
    kinds = [kind for kinds in explanation.defaults.values() for kind in kinds]
    if len(explanation.defaults) > 1:
        rows = [(text, ", ".join(of)) for text, of in explanation.defaults.items()]
        yield from _rows("default", rows)
    elif explanation.defaults:
        (text,) = explanation.defaults
        yield "default", "none: required" if text == TO_COME else text
        if len(kinds) > 1:
            yield "in", ", ".join(kinds)
    if explanation.value is not ABSENT:
        yield "value", format_value(explanation.value)
    if explanation.layers:
        top, *rest = explanation.layers
        yield "set by", top.origin.exact
        yield from _rows(
            "over", [(_shown(one.value), one.origin.exact) for one in rest]
        )
    elif explanation.value is not ABSENT:
        yield "set by", "default"


def _rows(name: str, rows: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    wide = max((len(text) for text, _ in rows if len(text) <= _WIDEST), default=0)
    for place, (text, note) in enumerate(rows):
        yield ("" if place else name), f"{text:<{wide}}  {note}" if wide else note


def _fields(fields: Mapping[str, tuple[Any, str]]) -> Iterator[str]:
    wide = max(len(key) for key in fields if len(key) <= _WIDEST)
    yield from _table(
        {
            f"{key:<{wide}}  {_shown(value)}": text
            for key, (value, text) in fields.items()
        }
    )


def _table(rows: Mapping[str, str]) -> Iterator[str]:
    """Yields two columns; the second wraps, and starts below a long first one."""
    wide = max((len(row) for row in rows if len(row) <= _WIDEST), default=_WIDEST)
    for row, text in rows.items():
        head = f"  {row:<{wide}}  "
        if text and len(row) > wide:
            yield head.rstrip()
            head = " " * (wide + 4)
        yield from _wrapped(head, text)


def _shown(value: Any) -> str:
    if value is ABSENT or value == TO_COME:
        return "" if value is ABSENT else TO_COME
    return format_value(value)


def _wrapped(head: str, text: str) -> Iterator[str]:
    """Yields a text after its head; continuation lines align with the text."""
    indent = " " * (len(head) if len(head) <= _WIDEST + 4 else 4)
    lines = textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=head,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield from lines or [head.rstrip()]
