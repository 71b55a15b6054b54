"""A run with everything that a run directory can hold, made once by the commands."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from specflow.cli.main import main
from specflow.output import writing_rows
from specflow.runtime.file_digests import folder_digests

QUICK = (
    "experiment=digits_mlp",
    "model.hidden=[8]",
    "optimizer.schedule.name=constant",
    "optimizer.schedule.warmup_steps=0",
    "loop.log_every=2",
    "loop.eval_every=3",
    "loop.train_steps=6",
    "output.checkpoint.every=3",
    "output.exporters={best: {name: best}}",
    "mesh=single",
)


@pytest.fixture(scope="session")
def train_words():
    return QUICK


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A finished run; read-only."""
    run = tmp_path_factory.mktemp("finished") / "run"
    assert main(["train", *QUICK, f"output.dir={run}"]) == 0
    assert main(["predict", f"run={run}", "--output", str(run / "rows.jsonl")]) == 0
    with writing_rows(str(run / "rows.csv"), "csv") as write:
        write({"class": np.arange(40), "probability": np.linspace(0, 1, 40)})
    assert main(["export", f"run={run}"]) == 0
    return run


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def stopped(run) -> Path:
    """A run that was killed after its last checkpoint, before it was finished."""
    (run / "result.json").unlink()
    return run


@pytest.fixture
def fsck(capsys):
    """Runs the command; returns its status, and the lines that it prints."""

    def run_fsck(run, *options):
        capsys.readouterr()
        status = main(["fsck", f"run={run}", *options])
        return status, capsys.readouterr().out.splitlines()

    return run_fsck


@pytest.fixture(scope="session")
def contents():
    return folder_digests
