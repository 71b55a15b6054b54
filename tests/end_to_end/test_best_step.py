"""`--step best`: the best checkpoint by the run's own evaluations."""

import json

import pytest

from specflow.cli.main import main
from specflow.lifecycle import newest_export

RUN = (
    "experiment=digits_mlp",
    "model.hidden=[8]",
    "optimizer.schedule.warmup_steps=0",
    "optimizer.lr=0.05",
    "output.reporters=[]",
    "output.checkpoint.every=0",
    "output.checkpoint.keep=1",
    "output.checkpoint.best={metric:loss}",
    "loop.train_steps=60",
    "loop.eval_every=4",
    "mesh=single",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("best") / "run"
    assert main(["train", *RUN, f"output.dir={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def losses(run):
    """Step -> loss of every evaluation in the run's metrics."""
    rows = map(json.loads, (run / "eval/metrics.jsonl").read_text().splitlines())
    return {row["step"]: row["loss"] for row in rows}


@pytest.fixture(scope="module")
def best(losses):
    return min(losses, key=losses.__getitem__)


def test_the_result_names_the_best_step(run, losses, best):
    assert best != 60, "or it would be no test"
    result = json.loads((run / "result.json").read_text())
    assert result["best"] == {"step": best, "metric": "loss", "value": losses[best]}
    names = {path.name for path in (run / "checkpoints").iterdir()}
    assert names == {str(best), "60"}


@pytest.mark.parametrize("step", ["best", "latest", "60"])
def test_evaluate_uses_the_best_step(run, losses, best, step, capsys):
    assert main(["evaluate", f"run={run}", "--step", step, "--format", "json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    expected = best if step == "best" else 60
    assert metrics["global_step"] == expected
    assert metrics["loss"] == pytest.approx(losses[expected], rel=1e-6)


def test_predict_and_export_use_the_best_step(run, best, tmp_path, capsys):
    for step in ("best", str(best), "latest"):
        out = str(tmp_path / f"{step}.csv")
        assert main(["predict", f"run={run}", "--step", step, "--output", out]) == 0
    texts = [(tmp_path / f"{step}.csv").read_text() for step in ("best", str(best))]
    assert texts[0] == texts[1] != (tmp_path / "latest.csv").read_text()
    arguments = (
        "--step",
        "best",
        "--platforms",
        "cpu",
        "--output",
        str(tmp_path / "e"),
    )
    assert main(["export", f"run={run}", *arguments]) == 0
    made = newest_export(tmp_path / "e")
    assert made is not None
    assert made.step == best


def test_the_best_step_by_another_metric_is_selected_afterwards(run, capsys):
    arguments = ("evaluate", f"run={run}", "--step", "best", "--format", "json")
    metric = "output.checkpoint.best={metric:accuracy,order:highest}"
    assert main([*arguments, metric]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["global_step"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("output.checkpoint.best=null", "--step", "best"),
            "error[checkpoint-missing] {run}/checkpoints: no best checkpoint: no "
            "metric ranks them. Set output.checkpoint.best={{metric:loss}}, in Python "
            "RunConfig(keep_best=...), or choose a step. Steps: {best}, 60.",
        ),
        (
            ("--step", "5"),
            "error[checkpoint-missing] {run}/checkpoints: no checkpoint of step 5; "
            "there are {best}, 60.",
        ),
        (
            ("--step", "bset"),
            "error[checkpoint-missing] {run}/checkpoints: no checkpoint has the tag "
            "'bset'. Expected a step, best, latest or a tag. Did you mean best? There "
            "are no tags. Steps: {best}, 60.",
        ),
        (
            ("--step", "/bset"),
            "error[usage] specflow evaluate: argument --step: got '/bset'. Expected a "
            "step, best, latest or a tag (command line). specflow evaluate --help says "
            "what it takes.",
        ),
    ],
)
def test_a_missing_best_step_is_an_error(run, best, arguments, message, capsys):
    assert main(["evaluate", f"run={run}", *arguments]) == 2
    assert capsys.readouterr().err.strip() == message.format(run=run, best=best)
