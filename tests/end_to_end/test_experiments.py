"""Every shipped experiment runs from YAML alone, and gives its own figures."""

import json
import math

import pytest

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


@pytest.mark.slow
def test_every_experiment_gives_its_own_figures(specflow):
    """All at once, two at a time: what they cost is starting up and compiling."""
    commands = [
        (
            "train",
            f"experiment={name}",
            f"output.dir={name}",
            "loop.train_steps=3",
            *small,
        )
        for name, (_, small) in FIGURES.items()
    ]
    done = [
        one
        for i in range(0, len(commands), 2)
        for one in specflow.all(*commands[i : i + 2])
    ]
    for (name, (figures, _)), one in zip(FIGURES.items(), done, strict=True):
        assert one.status == 0, one.err
        result = json.loads((specflow.cwd / name / "result.json").read_text())
        assert result["step"] == 3
        assert list(result["eval"]) == figures
        assert all(
            math.isfinite(value)
            for value in result["eval"].values()
            if not isinstance(value, list)
        )
        shown = [line.split()[0] for line in one.out.splitlines() if line.strip()]
        assert [figure for figure in figures if figure in shown] == figures
    perplexity, bits = (result["eval"][key] for key in ("perplexity", "bits_per_byte"))
    assert perplexity == pytest.approx(2**bits)
    confusion = json.loads((specflow.cwd / "digits" / "result.json").read_text())
    assert sum(map(sum, confusion["eval"]["confusion"])) == 359
