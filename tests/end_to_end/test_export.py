"""A finished run is exported to a standalone model, and predicts rows into files."""

import csv
import importlib.util
import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

import specflow as sf


def test_a_run_is_exported_and_gives_the_predictions_of_predict(
    specflow, here, finished
):
    run, _ = finished
    exported = specflow("export", f"run={run}", "--output", "exports")
    predicted = here("predict", f"run={run}", "--split", "train")
    assert (exported.status, exported.err) == (0, "")
    *signatures, place = exported.out.splitlines()
    assert signatures == [
        "serving_default(image: float32[b,8,8,1]) -> classes: int32[b], scores: "
        "float32[b,10]  [classification]"
    ]
    loaded = sf.load_export(specflow.cwd / place)
    assert loaded.step == 12
    rows = [json.loads(line) for line in predicted.out.splitlines()]
    assert len(rows) == len(load_digits().target) - 359
    images = sf.data.build_data(sf.config.sections.data.DigitsConfig()).train.take(
        slice(0, 256)
    )
    answer = loaded(**images[0])
    assert answer["classes"].tolist() == [row["class"] for row in rows[:256]]
    stored = np.array([row["probability"] for row in rows[:256]])
    # Batches of other sizes than predict's may add up in another order.
    np.testing.assert_allclose(answer["scores"], stored, rtol=1e-5)


@pytest.mark.parametrize(
    ("format", "package"), [("onnx", "onnx"), ("savedmodel", "tensorflow")]
)
def test_an_export_is_converted_or_the_extra_is_named(
    here, tmp_path, finished, format, package
):
    """The base install has neither package; with one, the outputs are compared."""
    run, _ = finished
    done = here("export", f"run={run}", "--output", "out", "--format", format)
    if importlib.util.find_spec(package) is None:
        assert done.status == 2
        assert done.err == (
            f"error[package-missing] format={format}: needs the package {package}, "
            f"which cannot be "
            f"imported (No module named '{package}'). Install it: pip install "
            f"'specflow-jax[{format}]'.\n"
        )
        assert not (tmp_path / "out").exists()
        return
    assert done.status == 0, done.err
    _, export, verified, converted = done.out.splitlines()
    assert verified.startswith(f"serving_default: {format} answers as the export does")
    assert converted.split("/")[-2:] == [format, export.split("/")[-1]]


def test_rows_are_the_same_in_every_format_and_keys_choose(here, tmp_path, finished):
    run, _ = finished
    keys = ("--keys", "probability,class")
    for arguments in (
        ("--output", "rows.jsonl"),
        ("--format", "csv", "--output", "rows.txt"),
        ("--output", "rows.parquet"),
    ):
        done = here("predict", f"run={run}", *keys, *arguments)
        assert done.status == 0, done.err
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 359
    with (tmp_path / "rows.txt").open(newline="") as stream:
        found = [
            {name: json.loads(cell) for name, cell in row.items()}
            for row in csv.DictReader(stream)
        ]
    assert found == rows
    assert list(found[0]) == ["probability", "class"]
    pq = pytest.importorskip("pyarrow.parquet")
    assert pq.read_table(tmp_path / "rows.parquet").to_pylist() == rows


def test_any_checkpoint_is_evaluated_on_any_split(here, finished, rows_of):
    run, _ = finished
    early = here("evaluate", f"run={run}", "--step", "6")
    train = here("evaluate", f"run={run}", "--split", "train")
    none = here("predict", f"run={run}", "--step", "7")
    misspelt = here("predict", f"run={run}", "--keys", "clas,probability")
    assert (early.status, train.status) == (0, 0)
    reported = {row["step"]: row for row in rows_of(run) if row["split"] == "eval"}
    shown = dict(line.split()[:2] for line in early.out.splitlines()[:3])
    for name, value in shown.items():
        assert value == f"{reported[6][name]:.4g}"
    assert train.out.splitlines()[0] != early.out.splitlines()[0]
    assert (none.status, misspelt.status) == (2, 2)
    assert none.err.endswith("no checkpoint of step 7; there are 6, 12.\n")
    assert misspelt.err == (
        "error[predict-keys] --keys: clas is not predicted (command line). Expected "
        "some of class, "
        "probability. Did you mean class?\n"
    )
