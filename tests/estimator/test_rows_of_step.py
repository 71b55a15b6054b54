"""Rows of a training step, against those that its host call received."""

import json

import numpy as np
import pytest

import specflow as sf
from specflow.cli.main import main
from specflow.compose import compose
from specflow.data import build_data
from specflow.diagnostics.errors import ConfigError, DataError
from tests.estimator.conftest import Y, line_fn

ROWS = 24


def numbered():
    """A feature of each row is its number."""
    x = np.repeat(np.arange(ROWS, dtype=np.float32)[:, None], 3, axis=1)
    return {"x": 0.01 * x, "row": np.arange(ROWS)}, Y


@pytest.fixture
def seen():
    return []


@pytest.fixture
def watching(line, seen):
    def model_fn(model, features, labels, mode):
        spec = line_fn(model, features, labels, mode)
        if mode is not sf.Mode.TRAIN:
            return spec
        return spec._replace(
            host_call=(lambda row: seen.append(row.tolist()), [features["row"]])
        )

    def make(**arguments):
        return line(model_fn, **arguments)

    return make


@pytest.mark.parametrize("seed", [0, 7, None])
def test_they_are_those_that_training_saw(watching, seen, seed):
    estimator = watching(config=sf.RunConfig(seed=seed, save_checkpoints_steps=4))
    estimator.train(numbered, steps=9)
    found = [estimator.rows_of_step(numbered(), step).tolist() for step in range(1, 10)]
    assert found == seen
    estimator.close()
    # A later process knows them too; of steps to come likewise.
    later = watching(config=sf.RunConfig(seed=seed, save_checkpoints_steps=4))
    ahead = [later.rows_of_step(numbered(), step).tolist() for step in (10, 11)]
    later.train(numbered, steps=2)
    assert ahead == seen[9:]
    later.close()


def test_also_behind_a_change_of_the_batch_size(watching, seen):
    watching().train(numbered, steps=5).close()
    estimator = watching(train_batch_size=4)
    estimator.train(numbered, steps=3)
    found = [estimator.rows_of_step(numbered(), step).tolist() for step in (6, 7, 8)]
    assert found == seen[5:]
    estimator.close()


def test_steps_of_another_batch_size_are_known_by_that_size_alone(watching, seen):
    watching(train_batch_size=8).train(numbered, steps=5).close()
    estimator = watching(train_batch_size=4)
    estimator.train(numbered, steps=3)
    with pytest.raises(DataError) as caught:
        estimator.rows_of_step(numbered(), 2)
    assert str(caught.value) == (
        "the training batch size: is 4, and steps 1 to 5 saw 40 rows. Expected "
        "the batch size that these steps had. Give it: loop.batch_size=..., in Python "
        "train_batch_size."
    )
    estimator.close()
    again = watching(train_batch_size=8)
    found = [again.rows_of_step(numbered(), step).tolist() for step in range(1, 6)]
    assert found == seen[:5]
    with pytest.raises(DataError, match="is 8, and steps 6 to 8 saw 12 rows"):
        again.rows_of_step(numbered(), 7)
    again.close()


def test_rows_of_a_step_are_right_where_each_call_restarts_the_input(watching, seen):
    config = sf.RunConfig(resume_input="restart", save_checkpoints_steps=2)
    watching(config=config).train(numbered, steps=5).close()
    estimator = watching(config=config)
    estimator.train(numbered, steps=3)
    assert seen[5:] == seen[:3]
    found = [estimator.rows_of_step(numbered(), step).tolist() for step in range(1, 9)]
    assert found == seen
    estimator.close()


def test_an_iterable_has_no_numbers(line):
    with pytest.raises(ConfigError, match="is an iterable of batches"):
        line().rows_of_step(iter([]), 1)
    with pytest.raises(ConfigError, match="got 0"):
        line().rows_of_step(numbered(), 0)


def test_the_command_shows_the_rows_of_a_loss_that_is_no_number(tmp_path, capsys):
    words = (
        "experiment=digits_mlp",
        "model.hidden=[8]",
        "optimizer=sgd",
        "optimizer.lr=1e30",
        "output.reporters=[]",
        "loop.train_steps=4",
        "loop.batch_size=16",
        "mesh=single",
    )
    run = tmp_path / "run"
    assert main(["train", *words, f"output.dir={run}"]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.endswith(
        "No checkpoint was written of it. Lower optimizer.lr, set optimizer.clip_norm, "
        "or look at the rows of that step. There is none of an earlier step either. "
        f"Those rows: specflow predict run={run} --rows-of 2."
    )
    assert main(["predict", f"run={run}", "--rows-of", "2", "--keys", "class"]) == 0
    rows = list(map(json.loads, capsys.readouterr().out.splitlines()))
    assert len(rows) == 16
    assert list(rows[0]) == ["row", "features", "labels", "predictions"]
    data = build_data(compose([*words]).config.data)
    features, labels = data.train.take(np.array([row["row"] for row in rows]))
    assert [row["labels"] for row in rows] == labels.tolist()
    np.testing.assert_array_equal(
        np.array([row["features"]["image"] for row in rows], np.float32),
        features["image"],
    )
