"""Drawings with axes, grid lines and labels, and figures with captions."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from specflow.runtime.html.axes import Axis
from specflow.runtime.html.html_text import Html, element, joined_html

__all__ = ["Chart", "figure", "framed", "path", "svg"]


@dataclasses.dataclass(frozen=True)
class Chart:
    """Size of a drawing and its margins, in units of the drawing."""

    width: float = 480
    height: float = 290
    left: float = 58
    right: float = 22
    top: float = 30
    bottom: float = 40

    @property
    def x(self) -> tuple[float, float]:
        """Ends of the horizontal axis."""
        return self.left, self.width - self.right

    @property
    def y(self) -> tuple[float, float]:
        """Ends of the vertical axis, the lower one first."""
        return self.height - self.bottom, self.top


def svg(chart: Chart, title: str, description: str, *children: Any) -> Html:
    """Returns a drawing with a name and a description for screen readers."""
    name = re.sub(r"\W+", "-", title)
    return element(
        "svg",
        {
            "viewBox": f"0 0 {chart.width:g} {chart.height:g}",
            "role": "img",
            "aria-labelledby": f"{name}-title {name}-text",
        },
        element("title", {"id": f"{name}-title"}, title),
        element("desc", {"id": f"{name}-text"}, description),
        *children,
    )


def figure(caption: str, drawing: Html, *notes: Any, kind: str = "") -> Html:
    """Returns a drawing with its caption above, and notes below."""
    return element(
        "figure",
        {"class": kind or None},
        element("figcaption", None, caption),
        element("div", {"class": "scroll"}, drawing),
        *(element("p", {"class": "note"}, note) for note in notes if note),
    )


def framed(
    chart: Chart, x: Axis, y: Axis, x_label: str, y_label: str, *, most: int = 6
) -> Html:
    """Returns the axes of a chart: grid lines, ticks and names."""
    (left, right), (bottom, _) = chart.x, chart.y
    parts: list[Html] = []
    for place, text in y.ticks(5):
        ends = {"x1": left, "x2": right, "y1": place, "y2": place, "class": "grid"}
        parts.append(element("line", ends))
        about = {"x": left - 8, "y": place + 4, "class": "tick end"}
        parts.append(element("text", about, text))
    for place, text in x.ticks(most):
        if not x.choices:
            ends = {"x1": place, "x2": place, "y1": bottom, "y2": bottom + 5}
            parts.append(element("line", {**ends, "class": "axis"}))
        about = {"x": place, "y": bottom + 18, "class": "tick middle"}
        shown = text if len(text) <= 14 else f"{text[:13]}…"
        parts.append(element("text", about, shown, element("title", None, text)))
    base = {"x1": left, "x2": right, "y1": bottom, "y2": bottom, "class": "axis"}
    parts.append(element("line", base))
    scales = [" (log scale)" if axis.is_log else "" for axis in (x, y)]
    below = {"x": (left + right) / 2, "y": chart.height - 4, "class": "name middle"}
    parts.append(element("text", below, f"{x_label}{scales[0]}"))
    above = {"x": 4, "y": 14, "class": "name"}
    parts.append(element("text", above, f"{y_label}{scales[1]}"))
    return joined_html(*parts)


def path(points: Sequence[tuple[float, float]]) -> str:
    """Returns the data of a path through points.

    >>> path([(0, 1), (2.25, 3)])
    'M0 1L2.2 3'
    """
    return "M" + "L".join(f"{_short(x)} {_short(y)}" for x, y in points)


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
