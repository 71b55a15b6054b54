"""`--step best`: the checkpoint that the run's own evaluations call best."""

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
    """Step -> loss of every evaluation, as the run wrote them down."""
    rows = map(json.loads, (run / "eval/metrics.jsonl").read_text().splitlines())
    return {row["step"]: row["loss"] for row in rows}


@pytest.fixture(scope="module")
def best(losses):
    return min(losses, key=losses.__getitem__)


def test_the_result_names_it(run, losses, best):
    assert best != 60, "or it would be no test"
    result = json.loads((run / "result.json").read_text())
    assert result["best"] == {"step": best, "metric": "loss", "value": losses[best]}
    names = {path.name for path in (run / "checkpoints").iterdir()}
    assert names == {str(best), "60"}


@pytest.mark.parametrize("step", ["best", "latest", "60"])
def test_evaluate_takes_it(run, losses, best, step, capsys):
    assert main(["evaluate", f"run={run}", "--step", step, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]
    expected = best if step == "best" else 60
    assert found["global_step"] == expected
    assert found["loss"] == pytest.approx(losses[expected], rel=1e-6)


def test_predict_and_export_take_it(run, best, tmp_path, capsys):
    for step in ("best", str(best), "latest"):
        out = str(tmp_path / f"{step}.csv")
        assert main(["predict", f"run={run}", "--step", step, "--output", out]) == 0
    texts = [(tmp_path / f"{step}.csv").read_text() for step in ("best", str(best))]
    assert texts[0] == texts[1] != (tmp_path / "latest.csv").read_text()
    words = ("--step", "best", "--platforms", "cpu", "--output", str(tmp_path / "e"))
    assert main(["export", f"run={run}", *words]) == 0
    made = newest_export(tmp_path / "e")
    assert made is not None
    assert made.step == best


def test_another_metric_can_be_named_afterwards(run, capsys):
    words = ("evaluate", f"run={run}", "--step", "best", "--format", "json")
    metric = "output.checkpoint.best={metric:accuracy,order:highest}"
    assert main([*words, metric]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["global_step"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("output.checkpoint.best=null", "--step", "best"),
            "error[checkpoint-missing] {run}/checkpoints: no best checkpoint: nothing "
            "says by which metric. Say it: output.checkpoint.best={{metric:loss}}, in "
            "Python RunConfig(keep_best=...). Or take a step. Steps: {best}, 60.",
        ),
        (
            ("--step", "5"),
            "error[checkpoint-missing] {run}/checkpoints: no checkpoint of step 5; "
            "there are {best}, 60.",
        ),
        (
            ("--step", "bset"),
            "error[usage] specflow evaluate: argument --step: got 'bset'. Expected a "
            "step, best or latest (command line). specflow evaluate --help says what "
            "it takes.",
        ),
    ],
)
def test_what_is_not_there_is_said(run, best, words, message, capsys):
    assert main(["evaluate", f"run={run}", *words]) == 2
    assert capsys.readouterr().err.strip() == message.format(run=run, best=best)
