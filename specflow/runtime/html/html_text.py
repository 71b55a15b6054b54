"""HTML and SVG in which every text is escaped."""

import html
from collections.abc import Mapping
from typing import Any

__all__ = ["Html", "element", "joined_html"]


_EMPTY = ("br", "img")
"""Elements without content, which have no end."""


class Html(str):
    """Text that is markup; any other text is escaped where it is inserted."""

    __slots__ = ()


def element(
    name: str, attributes: Mapping[str, Any] | None = None, *children: Any
) -> Html:
    """Returns an element.

    Args:
        name: of the tag.
        attributes: None leaves one out, True writes its name alone.
        *children: `Html`, or values whose text is escaped.

    >>> element("p", {"title": 'a "b"', "hidden": None}, "1 < 2", element("br"))
    '<p title="a &quot;b&quot;">1 &lt; 2<br></p>'
    """
    written = "".join(
        f" {key}" if value is True else f' {key}="{html.escape(_text(value))}"'
        for key, value in (attributes or {}).items()
        if value is not None and value is not False
    )
    if name in _EMPTY:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{joined_html(*children)}</{name}>")


def joined_html(*children: Any) -> Html:
    """Returns markup and escaped texts, one after another."""
    return Html(
        "".join(
            child if isinstance(child, Html) else html.escape(_text(child))
            for child in children
        )
    )


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)
