"""Real processes that read a table in blocks train on the rows of one process."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from specflow.cli.main import main
from tests.distributed.launched import train_in_two_processes

ROWS = 700
STEPS = 12


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 3))
    table = pa.table(
        {f"n{place}": x[:, place] for place in range(3)} | {"y": x @ [1, 2, 3]}
    )
    pq.write_table(table, tmp_path / "table.parquet", row_group_size=60)
    return tmp_path / "table.parquet"


def words(path, folder):
    return (
        "experiment=table",
        f"data.files={path}",
        "data.labels=y",
        # Windows of a few blocks, and more than one epoch.
        "data.memory=20KiB",
        "data.shuffle=blocks",
        "model.hidden=[4]",
        f"loop.train_steps={STEPS}",
        "loop.batch_size=64",
        "loop.log_every=1",
        "loop.eval_every=6",
        "output.reporters=[]",
        f"output.dir={folder}",
    )


def rows(folder, *keys):
    """Values of each row of the training loss."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    every = [row for row in map(json.loads, lines) if row["split"] == "train"]
    return [[row[key] for key in keys] for row in every]


def test_two_processes_train_on_the_rows_of_one(path, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(["train", *words(path, one), "mesh.axes.data=2"]) == 0
    errors = train_in_two_processes(words(path, two))
    assert errors.count("blocks are read as they are needed") >= 1
    assert json.loads((two / "manifest.json").read_text())["processes"] == 2
    expected, found = rows(one, "step", "loss"), rows(two, "step", "loss")
    assert [step for step, _ in found] == list(range(1, STEPS + 1))
    # Each step's loss is that of its rows; sums over devices are in another order.
    np.testing.assert_allclose(found, expected, rtol=2e-5)
