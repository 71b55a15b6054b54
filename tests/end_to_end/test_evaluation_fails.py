"""Failing evaluations are rejected beforehand where known; else no step is lost."""

import json

import pytest

import specflow as sf
from specflow.cli.main import main
from specflow.compose import compose
from specflow.diagnostics.errors import DataError
from specflow.metrics import MetricTable

RUN = (
    "experiment=digits_mlp",
    "model.hidden=[8]",
    "optimizer.schedule.warmup_steps=0",
    "output.reporters=[]",
    "output.checkpoint.every=0",
    "loop.train_steps=6",
    "mesh=single",
)
BINARY = "spec.eval_metrics.it={name:precision,predictions:predictions.class}"
REFUSED = (
    "error[metric-values] spec.eval_metrics.it: average is 'binary', but 10 classes "
    f"occur (override {BINARY}). Expected at most two classes. Set average to 'macro', "
    "'micro' or 'weighted'.\n"
)


@pytest.mark.parametrize("command", ["check", "train"])
def test_a_metric_that_always_fails_is_rejected_before_the_first_step(
    command, monkeypatch, tmp_path, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main([command, *RUN, BINARY, "output.dir=run"]) == 2
    assert capsys.readouterr().err == REFUSED
    assert not list(tmp_path.iterdir())


def test_a_metric_that_always_fails_is_rejected_in_python_too(tmp_path):
    config = compose([*RUN, BINARY]).config
    estimator = sf.TPUEstimator.from_config(config, model_dir=tmp_path)
    with pytest.raises(DataError, match="average is 'binary', but 10 classes"):
        estimator.train(lambda: 1 / 0, steps=1)


@pytest.mark.parametrize("name", ["loss", "global_step", "step", "split"])
@pytest.mark.parametrize("command", ["show", "check"])
def test_a_metric_with_a_reserved_name_is_rejected_with_the_config(
    command, name, capsys
):
    named = f"spec.eval_metrics.{name}={{name:mean,values:losses.cross_entropy}}"
    assert main([command, *RUN, named]) == 2
    assert capsys.readouterr().err == (
        f"error[rule] spec.eval_metrics.{name}: got '{name}' (override {named}). "
        "Expected another name: evaluation reports its own under this one.\n"
    )


def test_the_trained_state_is_saved_where_the_last_evaluation_fails(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.chdir(tmp_path)

    def fail(self):
        raise DataError("a metric cannot be computed")

    with monkeypatch.context() as patch:
        patch.setattr(MetricTable, "compute", fail)
        assert main(["train", *RUN, "output.dir=run"]) == 2
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "error: a metric cannot be computed.",
        "note: The state of step 6 is saved: training resumes there.",
    ]
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["6"]
    assert main(["train", *RUN, "output.dir=run"]) == 0
    assert "resumes from step 6" in capsys.readouterr().err
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["step"] == 6
    assert "train" not in result["timing"]
