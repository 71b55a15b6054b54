"""Tables whose columns sort by a click."""

from collections.abc import Collection, Sequence

from specflow.runtime.html.axes import number_label
from specflow.runtime.html.html_text import Html, element

__all__ = ["number_cell", "sortable_table", "text_cell"]


def sortable_table(
    name: str,
    columns: Sequence[str],
    rows: Sequence[Html],
    numeric: Collection[str] = (),
) -> Html:
    """Returns a table in a region that scrolls.

    Args:
        name: of the region, for screen readers.
        columns: heads.
        rows: elements `tr` with cells of `text_cell` and `number_cell`.
        numeric: heads of columns of numbers.
    """
    heads = [
        element(
            "th",
            {"scope": "col", "class": "number" if column in numeric else None},
            element("button", {"type": "button"}, column or "name"),
        )
        for column in columns
    ]
    table = element(
        "table",
        None,
        element("thead", None, element("tr", None, *heads)),
        element("tbody", None, *rows),
    )
    about = {"class": "table", "tabindex": 0, "role": "region", "aria-label": name}
    return element("div", about, table)


def text_cell(text: str) -> Html:
    """Returns a cell that sorts by its text."""
    return element("td", {"data-value": text}, text)


def number_cell(value: float | None) -> Html:
    """Returns a cell that sorts by its number; empty for None.

    >>> number_cell(0.123456)
    '<td class="number" data-value="0.123456" title="0.123456">0.1235</td>'
    """
    stored, shown = ("", "") if value is None else (repr(value), number_label(value))
    about = {"class": "number", "data-value": stored, "title": stored or None}
    return element("td", about, shown)
