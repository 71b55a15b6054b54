"""Exporters and early stopping from YAML, by the command line."""

import json

import numpy as np
import pytest

import specflow as sf

WATCHED = (
    "output.dir=run",
    "loop.train_steps=400",
    "loop.eval_every=20",
    "loop.early_stopping={name: no_increase, metric: accuracy, patience_steps: 40}",
    "output.exporters.best={name: best, metric: accuracy, order: highest, keep: 1}",
    "output.exporters.end={name: final, platforms: [cpu]}",
)


def test_a_run_stops_early_exports_its_best_and_reports_it_again(
    specflow, here, quick, rows_of
):
    done = specflow("train", *quick, *WATCHED)
    assert done.status == 0, done.err
    run = specflow.cwd / "run"
    accuracy = {
        row["step"]: row["accuracy"] for row in rows_of(run) if row["split"] == "eval"
    }
    # By hand: the first step with the highest accuracy, and forty more.
    best = max(accuracy, key=lambda step: accuracy[step])
    last = best + 40
    reason = (
        f"accuracy has not risen for 40 steps, since {accuracy[best]:.4g} at step "
        f"{best}"
    )
    result = json.loads((run / "result.json").read_text())
    assert (result["step"], result["stopped_early"]) == (last, reason)
    assert list(accuracy) == list(range(20, last + 20, 20))
    steps = {name: made["step"] for name, made in result["exports"].items()}
    assert steps == {"best": best, "end": last}
    shown = done.out.splitlines()
    assert shown[-5:] == [
        f"stopped early  {reason}",
        f"best export    {result['exports']['best']['path']}, of step {best}",
        f"end export     {result['exports']['end']['path']}, of step {last}",
        "",
        "run",
    ]

    (only,) = (path for path in (run / "export" / "best").iterdir() if path.is_dir())
    assert only == run / result["exports"]["best"]["path"]
    again = here("train", *quick, *WATCHED)
    predicted = here("predict", "run=run", "--step", str(last))
    loaded = sf.load_export(run / result["exports"]["end"]["path"])
    rows = [json.loads(line) for line in predicted.out.splitlines()]
    images = sf.data.build_data(sf.config.sections.data.DigitsConfig()).eval.take(
        slice(0, 256)
    )
    answer = loaded(**images[0])
    assert answer["classes"].tolist() == [row["class"] for row in rows[:256]]
    stored = np.array([row["probability"] for row in rows[:256]])
    np.testing.assert_allclose(answer["scores"], stored, rtol=1e-5)

    # The same command trains nothing more, exports nothing new, and says why.
    assert again.errors[1:] == [
        "note: nothing was trained: this run stopped early before. More patience or "
        "loop.early_stopping=null resumes it"
    ]
    second = json.loads((run / "result.json").read_text())
    for key in ("step", "eval", "stopped_early", "exports"):
        assert second[key] == result[key]
    assert again.out.splitlines()[-5:] == shown[-5:]

    more = here(
        "train",
        *quick,
        *WATCHED,
        "loop.early_stopping=null",
        f"loop.train_steps={last + 20}",
    )
    assert more.status == 0, more.err
    third = json.loads((run / "result.json").read_text())
    assert (third["step"], third["stopped_early"]) == (last + 20, None)
    assert third["exports"]["end"]["step"] == last + 20


def test_metrics_of_every_kind_are_declared_on_the_command_line(here, finished):
    run, _ = finished
    metrics = {
        "recall2": "{name: recall_at_k, scores: outputs, k: 2}",
        "top2": "{name: top_k, scores: outputs, k: 2}",
        "balanced": "{name: per_class_accuracy, predictions: predictions.class, "
        "classes: 10}",
        "overlap": "{name: iou, average: macro, predictions: predictions.class}",
        "total": "{name: sum, values: losses.cross_entropy}",
        "ink": "{name: mean_tensor, values: features.image}",
    }
    arguments = [f"spec.eval_metrics.{name}={text}" for name, text in metrics.items()]
    done = here("evaluate", f"run={run}", *arguments)
    assert done.status == 0, done.err
    shown = dict(line.split(maxsplit=1) for line in done.out.splitlines() if line)
    # One label a row: that it is among the best two is what both count.
    assert shown["recall2"] == shown["top2"]
    # The mean of the same losses, which the table shows with four digits.
    assert float(shown["total"]) / 359 == pytest.approx(float(shown["loss"]), rel=1e-3)
    assert shown["ink"] == "float64[8,8,1]"
    assert metrics.keys() <= shown.keys()
