"""An experiment in Python does not resume on changed files, and names them."""

import json

import numpy as np
import pytest

import specflow as sf
from specflow.compose import compose
from specflow.diagnostics.errors import DataError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _write("train", 0)
    _write("eval", 1)
    _write_table(0)
    return tmp_path


def _write(name, seed):
    x = np.random.default_rng(seed).normal(size=(16, 2)).astype(np.float32)
    np.savez(f"{name}.npz", x=x, labels=np.arange(16) % 2)


def _write_table(seed):
    weights = np.random.default_rng(seed).normal(size=40).round(3)
    rows = "".join(f"{weight},{weight > 0}\n" for weight in weights)
    with open("pears.csv", "w") as file:
        file.write(f"weight,kind\n{rows}")


_ARRAYS = (
    *("data=npz", "data.train=train.npz", "data.eval=eval.npz", "model=mlp"),
    *("model.hidden=[4]", "model.outputs=2", "spec=classification"),
    *("~spec.eval_metrics.top3", "loop.batch_size=8"),
)
_TABLE = ("experiment=table", "data.files=pears.csv", "data.labels=kind")


def _train(*overrides, steps):
    """Trains as a program does, from nothing or the newest checkpoint."""
    config = compose([*overrides, "loop.batch_size=8"]).config
    data = sf.data.build_data(config.data)
    estimator = sf.Estimator.from_config(config, data=data, model_dir="run")
    return estimator.train(lambda: data.train, max_steps=steps)


def test_training_resumes_on_the_same_files_alone(folder):
    _train(*_ARRAYS, steps=1)
    assert set(json.loads((folder / "run/files.json").read_text())["rows"]) == {
        *("train.npz", "eval.npz")
    }
    _write("train", 5)
    with pytest.raises(DataError) as caught:
        _train(*_ARRAYS, steps=2)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.where, diagnostic.code) == ("train.npz", "table-changed")
    assert diagnostic.problem == "has changed since the run was trained"
    accepts = [*_ARRAYS, "output.on_change=accept"]
    assert _train(*accepts, steps=2).latest_step() == 2
    assert _train(*_ARRAYS, steps=3).latest_step() == 3  # The files of the run now.


def test_a_table_that_is_fitted_otherwise_is_refused_before_it_is_evaluated(folder):
    _train(*_TABLE, steps=1)
    _write_table(7)
    with pytest.raises(DataError) as caught:
        sf.Estimator.from_config(compose([*_TABLE]).config, model_dir="run")
    assert [each.where for each in caught.value.diagnostics] == ["pears.csv"]
    assert _train(*_TABLE, "data.refit=true", steps=2).latest_step() == 2
