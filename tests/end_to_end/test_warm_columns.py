"""A warm start of a table: features mean what they meant to the restored weights."""

import csv
import json
import shutil

import numpy as np
import pytest

import specflow as sf
from specflow.cli.main import main
from specflow.columns import FittedColumns
from specflow.diagnostics.errors import DataError
from specflow.lifecycle import WarmStartSettings, warm_columns
from specflow.output import Checkpointer
from specflow.runtime.file_digests import signed

ROWS = 120
QUICK = (
    "experiment=table",
    "model.hidden=[4]",
    "data.labels=kind",
    "data.features=[size,color]",
    "output.reporters=[]",
    "mesh=single",
    "loop.train_steps=2",
    "loop.eval_every=0",
    "data.columns.color={name: category, encoding: embedding, embedding_size: 2}",
)


def write(path, *, seed, colors, mean):
    """Rows whose numbers have another mean, and whose colors another frequency."""
    rng = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["size", "color", "kind", "price"])
        for row in range(ROWS):
            color = colors[int(rng.integers(0, 9) ** 2 * len(colors) // 81)]
            size = round(float(rng.normal(mean, 2.0)), 3)
            writer.writerow([size, color, ("a", "b")[row % 2], row * 1.5])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A trained run and its export."""
    where = tmp_path_factory.mktemp("warm")
    write(where / "first.csv", seed=0, colors=("red", "blue", "green"), mean=10.0)
    write(where / "second.csv", seed=1, colors=("green", "pink", "red"), mean=50.0)
    assert train(where, "first", "base") == 0
    assert main(["export", f"run={where}/base"]) == 0
    return where


def train(folder, file, run, *further):
    arguments = (
        *QUICK,
        f"data.files={folder}/{file}.csv",
        f"output.dir={folder}/{run}",
    )
    return main(["train", *arguments, *further])


def fitted(folder, run):
    return FittedColumns.read(folder / run / "columns.json")


def exported(folder):
    return next((folder / "base" / "export").glob("*/export.json")).parent


@pytest.mark.parametrize("source", ["run", "checkpoint", "export"])
def test_the_columns_are_those_of_the_restored_weights(folder, source, capsys):
    paths = {
        "run": folder / "base",
        "checkpoint": folder / "base" / "checkpoints" / "2",
        "export": exported(folder),
    }
    assert train(folder, "second", source, f"warm_start={paths[source]}") == 0
    line = f"data: columns as fitted by '{paths[source]}': size, color, kind\n"
    assert line in capsys.readouterr().err
    base, warm = fitted(folder, "base"), fitted(folder, source)
    assert warm.digest == base.digest
    assert list(warm.columns) == list(base.columns) == ["size", "color"]
    assert list(warm.files) == [f"{folder}/second.csv"]
    assert warm.rows["train"] + warm.rows["eval"] == ROWS
    with Checkpointer(folder / source / "checkpoints") as checkpoints:
        assert checkpoints.data_position(2)["columns"] == json.loads(
            json.dumps(warm.to_json())
        )


def test_the_run_resumes_and_serves_with_these_columns(folder, capsys):
    arguments = ("second", "resumed", f"warm_start={folder}/base")
    assert train(folder, *arguments) == 0
    assert train(folder, *arguments, "loop.train_steps=4") == 0
    assert "columns as fitted by" in capsys.readouterr().err.partition("step 4")[0]
    assert fitted(folder, "resumed").digest == fitted(folder, "base").digest
    assert main(["evaluate", f"run={folder}/resumed"]) == 0
    assert main(["export", f"run={folder}/resumed"]) == 0
    (export,) = (folder / "resumed" / "export").glob("*/export.json")
    loaded = sf.load_export(export.parent)
    raw = {"size": [10.0, 50.0], "color": ["pink", "red"]}
    assert loaded("serving_raw", **raw).keys()
    assert loaded.columns.digest == fitted(folder, "base").digest


def test_columns_that_are_declared_otherwise_are_refused(folder, capsys):
    capsys.readouterr()
    arguments = (
        f"warm_start={folder}/base",
        "data.columns.size={name: number, clip: [0, 9]}",
    )
    assert train(folder, "second", "other", *arguments) == 2
    assert not (folder / "other").exists()
    err = capsys.readouterr().err
    assert err == (
        "error[table-changed] data.columns.size: is not declared in the run of "
        f"'{folder}/base' (override data.columns.size={{name: number, clip: [0, 9]}}). "
        "Expected the columns with which the weights of warm_start were trained. "
        "Restore the value, or fit the columns anew: data.refit=true.\n"
    )
    larger = "data.columns.color.embedding_size=3"
    assert train(folder, "second", "other", arguments[0], larger) == 2
    assert (
        f"data.columns.color: differs from the run of '{folder}/base': embedding_size "
        "was 2 and is 3 (override "
    ) in capsys.readouterr().err
    assert train(folder, "second", "refit", *arguments, "data.refit=true") == 0
    assert "data.refit: size: " in capsys.readouterr().err
    assert fitted(folder, "refit").digest != fitted(folder, "base").digest


def test_other_labels_are_fitted_and_the_features_kept(folder, capsys):
    base = f"warm_start.path={folder}/base"
    head = ("data.labels=price", "warm_start.exclude=['head.**']")
    assert train(folder, "second", "price", base, *head) == 0
    first, other = fitted(folder, "base"), fitted(folder, "price")
    assert other.columns == first.columns
    assert list(other.labels) == ["price"]
    # Fitted to the new rows, whose mean is that of 0, 1.5, ..., 178.5, about.
    assert 70 < other.labels["price"].offset < 110
    capsys.readouterr()
    leak = ("data.labels=size", "data.features=null")
    assert train(folder, "second", "leak", base, *leak) == 2
    assert "'size' is a column of features of" in capsys.readouterr().err


def test_a_checkpoint_without_the_order_of_columns_has_that_of_its_run(
    folder, tmp_path, monkeypatch
):
    position = Checkpointer.data_position

    def earlier(self, step):
        """The metadata as versions before the order wrote it: with sorted keys."""
        plain = json.loads(json.dumps(position(self, step), sort_keys=True))
        plain["columns"].pop("order")
        return plain | {"columns": signed(plain["columns"])}

    monkeypatch.setattr(Checkpointer, "data_position", earlier)
    settings = WarmStartSettings(path=str(folder / "base"))
    columns = warm_columns(settings)
    assert columns is not None
    assert list(columns.columns) == ["size", "color"]
    alone = tmp_path / "alone"
    shutil.copytree(folder / "base" / "checkpoints", alone / "checkpoints")
    with pytest.raises(DataError) as raised:
        warm_columns(WarmStartSettings(path=str(alone / "checkpoints" / "2")))
    assert str(raised.value) == (
        f"{alone}/checkpoints/2: is of a version that did not keep the order of the "
        "columns of a table. Expected the order in which weights take them, in "
        f"{alone}/columns.json. Copy that file of the run, or start from an export of "
        "it."
    )
