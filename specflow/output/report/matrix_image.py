"""Draws a square array, such as a confusion matrix, as a PNG image."""

import io
from typing import Any

import numpy as np

from specflow.output.report.matrix_names import ClassNames, numbered
from specflow.output.report.plots import without_warnings

__all__ = ["is_matrix", "matrix_image"]

_MOST_CLASSES = 100
_MOST_TEXTS = 20
_LONGEST_NAME = 16


def is_matrix(value: Any) -> bool:
    """Returns whether a value is a square array of at least two rows."""
    shape = getattr(value, "shape", ())
    return len(shape) == 2 and shape[0] == shape[1] and 2 <= shape[0] <= _MOST_CLASSES


def matrix_image(value: Any, class_names: ClassNames = numbered) -> dict[str, Any]:
    """Draws a matrix, each row as shares of its sum, and its values as text.

    Args:
        value: float or int[c, c]: true classes by predicted ones.
        class_names: number of classes -> names at the axes.

    Returns:
        The fields of TensorBoard's `Summary.Image`, a PNG.
    """
    with without_warnings():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    matrix = np.asarray(value, np.float64)
    sums = np.maximum(matrix.sum(axis=1, keepdims=True), 1e-30)
    figure = Figure(figsize=(5, 5), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(matrix / sums, cmap="Blues", vmin=0.0, vmax=1.0)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if len(matrix) <= _MOST_TEXTS:
        places = range(len(matrix))
        names = [_shortened(name) for name in class_names(len(matrix))]
        slanted = {"rotation": 45, "ha": "right"} if max(map(len, names)) > 2 else {}
        axes.set_xticks(places, names, **slanted)
        axes.set_yticks(places, names)
        for (true, predicted), count in np.ndenumerate(matrix):
            if count:
                dark = count > 0.5 * sums[true, 0]
                text = f"{count:g}"
                where = {"ha": "center", "va": "center", "fontsize": 8}
                color = "white" if dark else "black"
                axes.text(predicted, true, text, color=color, **where)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    width, height = canvas.get_width_height()
    return {
        "height": height,
        "width": width,
        "colorspace": 4,  # RGBA
        "encoded_image_string": stream.getvalue(),
    }


def _shortened(name: str) -> str:
    """A name that fits its place; a dollar sign alone would begin a formula."""
    short = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    return short.replace("$", r"\$")
