"""A run of the command line recovers from a transient device failure."""

import json
import os

import jax
from jax.errors import JaxRuntimeError

from specflow.cli import main
from specflow.executor import Program


def test_a_run_recovers_and_reports_it(tmp_path, monkeypatch, capsys):
    real, calls = Program.train, []
    source = """
def train(self, *arguments):
    calls.append(1)
    if len(calls) == 3:
        raise JaxRuntimeError("UNAVAILABLE: planted")
    return real(self, *arguments)
"""
    names = {"JaxRuntimeError": JaxRuntimeError, "calls": calls, "real": real}
    file = os.path.join(os.path.dirname(jax.__file__), "planted.py")
    exec(compile(source, file, "exec"), names)
    found = {}
    for name, train in (("whole", real), ("resumed", names["train"])):
        monkeypatch.setattr(Program, "train", train)
        status = main.main(
            [
                "train",
                "experiment=digits",
                f"output.dir={tmp_path / name}",
                "output.checkpoint.every=2",
                "output.reporters=[]",
                "loop.train_steps=6",
                "loop.log_every=1",
                "optimizer.schedule.warmup_steps=0",
            ]
        )
        assert not status, capsys.readouterr().err
        result = json.loads((tmp_path / name / "result.json").read_text())
        metrics = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        found[name] = result, [json.loads(row) for row in metrics]
    whole, resumed = found["whole"], found["resumed"]
    assert "recoveries" not in whole[0]
    assert resumed[0]["recoveries"] == 1
    assert resumed[0]["eval"] == whole[0]["eval"]
    steps = [row["step"] for row in resumed[1] if row["split"] == "train"]
    assert steps == [*range(1, 7)]
