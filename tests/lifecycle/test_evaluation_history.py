"""Evaluations on disk: one row for each, in the order of their steps."""

from specflow.lifecycle.evaluation_history import History


def test_the_last_evaluation_repeated_adds_no_row(tmp_path):
    for _ in range(2):  # A run that is finished, and started again.
        History(tmp_path).add(20, {"loss": float("nan"), "errors": 3})
    row = '{"step": 20, "split": "eval", "loss": null, "errors": 3}\n'
    path = tmp_path / "eval" / "metrics.jsonl"
    assert path.read_text() == row
    History(tmp_path).add(20, {"loss": 1.0, "errors": 3})
    assert path.read_text() == row + row.replace("null", "1.0")
    assert History(tmp_path).values("loss") == {20: 1.0}
