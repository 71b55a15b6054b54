"""Plots of the metrics."""

import math
import struct

import numpy as np

from specflow.output import draw_curves
from specflow.output.report.plots import _limits, _panels


def rows():
    rng = np.random.default_rng(0)
    for step in range(20, 2_001, 20):
        yield {
            "step": step,
            "split": "train",
            "loss": 2.3 * math.exp(-step / 500) + 0.05 + 0.02 * rng.standard_normal(),
            "learning_rate": 1e-3 * (1 + math.cos(math.pi * step / 2_000)) / 2,
        }
        if step % 200 == 0:
            yield {
                "step": step,
                "split": "eval",
                "loss": 2.3 * math.exp(-step / 500) + 0.09,
                "accuracy": 1 - 0.9 * math.exp(-step / 300),
                "auc": None,
                "confusion": [[1, 2], [3, 4]],
            }


def test_each_metric_has_a_panel_with_its_finite_numbers_loss_first():
    panels = _panels(
        [
            {"step": 2, "split": "eval", "auc": 0.5, "loss": 1.0, "matrix": [[1]]},
            {"step": 1, "split": "train", "loss": float("nan")},
            {"step": 3, "split": "train", "loss": 2.0, "auc": None},
        ]
    )
    assert panels == {
        "loss": {"eval": [(2, 1.0)], "train": [(3, 2.0)]},
        "auc": {"eval": [(2, 0.5)]},
    }
    assert list(panels) == ["loss", "auc"]


def test_metrics_of_training_alone_come_last():
    panels = _panels(
        [
            {"step": 1, "split": "train", "loss": 1.0, "gradient_norm": 0.5},
            {"step": 2, "split": "eval", "loss": 1.0, "auc": 0.5},
        ]
    )
    assert list(panels) == ["loss", "auc", "gradient_norm"]


def test_a_share_is_plotted_within_its_range():
    assert _limits([0.5, 1.0]) == (0.46, 1.01)
    assert _limits([0.01, 0.9])[0] == 0.0
    assert _limits([0.1, 7.0]) == (None, None)
    assert _limits([-0.5, 0.7]) == (None, None)


def test_the_curves_are_a_png(tmp_path):
    path = tmp_path / "curves.png"
    draw_curves(rows(), path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert width > 2 * height  # Three panels beside one another.
    assert [p.name for p in tmp_path.iterdir()] == ["curves.png"]


def test_one_row_is_enough_and_none_draws_nothing(tmp_path):
    draw_curves([{"step": 1, "split": "eval", "loss": 0.0}], tmp_path / "one.png")
    draw_curves([{"step": 1, "split": "eval", "auc": None}], tmp_path / "none.png")
    assert [p.name for p in tmp_path.iterdir()] == ["one.png"]
