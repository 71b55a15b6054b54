"""Every shipped experiment runs from YAML alone, and reaches its stated metrics."""

import json
import math

import pytest

from specflow.cli.main import main

SHORT = "optimizer.schedule.warmup_steps=1"
FIGURES = {
    "digits": (["loss", "accuracy", "top3", "confusion"], ["model.widths=[2]", SHORT]),
    "digits_mlp": (["loss", "accuracy", "top3"], ["model.hidden=[8]", SHORT]),
    "digits_resnet": (
        ["loss", "accuracy", "top3"],
        ["model.norm=group", "model.width=2", "model.groups=1", SHORT],
    ),
    "digits_vit": (
        ["loss", "accuracy", "top3"],
        ["model.layers=1", "model.width=8", "model.heads=2", SHORT],
    ),
    "diabetes": (["loss", "rmse", "mae", "r2"], [SHORT]),
    "diabetes_counts": (
        ["loss", "rmse", "mae", "r2", "label_mean", "prediction_mean"],
        [SHORT],
    ),
    "wine": (
        ["loss", "accuracy", "top3", "confusion"],
        ["model.hidden=[4]", SHORT],
    ),
    "breast_cancer_wide_and_deep": (
        ["loss", "auc", "precision", "recall", "accuracy"],
        ["model.hidden=[4]"],
    ),
    "breast_cancer": (
        ["loss", "auc", "precision", "recall", "accuracy"],
        ["model.hidden=[4]", SHORT],
    ),
    "stdlib_lm": (
        ["loss", "bits_per_byte", "perplexity", "accuracy"],
        [
            *["model.layers=1", "model.width=8", "model.heads=2"],
            *["data.max_bytes=400_000", "loop.eval_steps=2", "loop.batch_size=4"],
            SHORT,
        ],
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_experiment_reaches_its_stated_accuracy(name, tmp_path, capsys):
    """In this process: `test_run.py` and the README's commands use real ones."""
    figures, small = FIGURES[name]
    arguments = ["mesh=single", "loop.train_steps=3", f"output.dir={tmp_path / 'run'}"]
    assert main(["train", f"experiment={name}", *arguments, *small]) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    metrics = result["eval"]
    assert result["step"] == 3
    assert list(metrics) == figures
    numbers = [value for value in metrics.values() if not isinstance(value, list)]
    assert all(map(math.isfinite, numbers))
    out = capsys.readouterr().out
    shown = [line.split()[0] for line in out.splitlines() if line.strip()]
    assert [figure for figure in figures if figure in shown] == figures
    if name == "stdlib_lm":
        assert metrics["perplexity"] == pytest.approx(2 ** metrics["bits_per_byte"])
    if name == "digits":
        assert sum(map(sum, metrics["confusion"])) == 359
