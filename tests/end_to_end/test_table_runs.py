"""A CSV file from training to serving, by commands alone.

Ground truth: the logits of a served raw row are those of NumPy's features of that row,
and predictions of rows of the file are those of the same rows in another file.
"""

import csv
import json
import shutil
import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import specflow as sf
from specflow.cli.main import main
from specflow.columns import FittedColumns
from specflow.output.report import reporters

ROWS = 240
RNG = np.random.default_rng(0)
AGE = RNG.integers(18, 80, ROWS)
CITY = RNG.choice(["Rome", "Oslo", "Lima"], ROWS)
INCOME = np.exp(RNG.normal(8.0, 1.0, ROWS)).round(2)
SCORE = (AGE - 50) / 10 + 2.0 * (CITY == "Rome") + np.log(INCOME) - 8.0
RISK = np.where(SCORE > 1.0, "high", np.where(SCORE > -1.0, "mid", "low"))
CLASSES = ("high", "low", "mid")
QUICK = ("output.reporters=[]", "mesh=single", "loop.eval_every=0")
TABLE = (
    "experiment=table",
    "model.hidden=[16]",
    "data.labels=risk",
    "data.id=key",
    "data.columns.income={name: number, transform: log}",
    "data.split={eval: 0.2, test: 0.2, by: hash, column: key}",
    *QUICK,
)


def write(path, rows, *, labelled=True, keys="p"):
    """Writes rows of the table; every seventeenth has no age."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "age", "city", "income", *(["risk"] * labelled)])
        for row in rows:
            age = "" if row % 17 == 0 else AGE[row]
            cells = [f"{keys}{row}", age, CITY[row], INCOME[row]]
            writer.writerow([*cells, *([RISK[row]] if labelled else [])])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A trained run, its export, and files."""
    where = tmp_path_factory.mktemp("tables")
    write(where / "people.csv", range(ROWS))
    write(where / "new.csv", range(100, 140), labelled=False)
    arguments = (*TABLE, f"data.files={where}/people.csv", f"output.dir={where}/run")
    assert main(["train", *arguments, "loop.train_steps=150", "optimizer.lr=0.01"]) == 0
    assert main(["export", f"run={where}/run"]) == 0
    return where


def run_json(capsys, *arguments):
    capsys.readouterr()
    assert main(list(arguments)) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def fitted_of(folder):
    return FittedColumns.read(folder / "run" / "columns.json")


def raw_of(rows):
    return {name: [row[name] for row in rows] for name in ("age", "city", "income")}


def test_it_learns_as_a_linear_model_does(folder, capsys):
    capsys.readouterr()
    assert main(["evaluate", f"run={folder}/run", "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    accuracy = report["metrics"]["accuracy"]
    rows = rows_of(folder / "people.csv")
    x = fitted_of(folder)(raw_of(rows))["x"]
    y = [row["risk"] for row in rows]
    assert accuracy > LogisticRegression().fit(x[:190], y[:190]).score(x, y) - 0.15


def test_columns_are_fitted_to_the_training_rows_alone(folder, capsys):
    fitted = fitted_of(folder)
    held = {
        row["key"]
        for split in ("eval", "test")
        for row in run_json(capsys, "predict", f"run={folder}/run", "--split", split)
    }
    trained = [row for row in rows_of(folder / "people.csv") if row["key"] not in held]
    assert len(trained) == fitted.rows["train"] == ROWS - len(held)
    ages = np.array([float(row["age"]) for row in trained if row["age"]])
    assert fitted.columns["age"].offset == pytest.approx(ages.mean(), rel=1e-15)
    assert fitted.columns["age"].divisor == pytest.approx(ages.std(), rel=1e-14)


def test_the_splits_share_no_row_and_are_all_rows(folder, capsys):
    keys = [
        {row["key"] for row in run_json(capsys, "predict", f"run={folder}/run", *split)}
        for split in (("--split", "train"), (), ("--split", "test"))
    ]
    assert sum(map(len, keys)) == len(set.union(*keys)) == ROWS


def test_predictions_name_the_row_and_the_class(folder, capsys):
    rows = run_json(
        capsys, "predict", f"run={folder}/run", f"data.files={folder}/new.csv"
    )
    assert [row["key"] for row in rows] == [f"p{row}" for row in range(100, 140)]
    classes = fitted_of(folder).class_names
    assert classes == ("high", "low", "mid")
    for row in rows:
        assert row["class"] == classes[int(np.argmax(row["probability"]))]


def test_labels_beside_predictions_are_named_too(folder, capsys):
    known = {row["key"]: row["risk"] for row in rows_of(folder / "people.csv")}
    rows = run_json(capsys, "predict", f"run={folder}/run", "--labels")
    assert all(row["label"] == known[row["key"]] for row in rows)


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_report_of_rows_with_labels_names_the_classes(folder, tmp_path, suffix):
    rows, page = tmp_path / f"rows.{suffix}", tmp_path / "page.html"
    run = f"run={folder}/run"
    assert main(["predict", run, "--labels", "--output", str(rows)]) == 0
    assert main(["report", run, "--rows", str(rows), "--output", str(page)]) == 0
    if suffix == "csv":
        written = rows_of(rows)
        scores = [json.loads(row["probability"]) for row in written]
    else:
        written = [json.loads(line) for line in rows.read_text().splitlines()]
        scores = [row["probability"] for row in written]
    high, low, mid = (
        roc_auc_score([row["label"] == name for row in written], of_class)
        for name, of_class in zip(CLASSES, np.transpose(scores), strict=True)
    )
    note = f"Area by class: high: {high:.3f}, low: {low:.3f}, mid: {mid:.3f}."
    assert note in page.read_text()


def test_a_matrix_has_the_names_of_the_classes(folder, tmp_path, capsys, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        reporters, "matrix_image", lambda _, names: drawn.append(names(3)) or {}
    )
    matrix = "{name: confusion_matrix, labels: labels, predictions: predictions.class"
    words = [f"spec.eval_metrics.matrix={matrix}, classes: 3}}", "loop.train_steps=2"]
    words += [f"data.files={folder}/people.csv", f"output.dir={tmp_path}/run"]
    words += ["output.reporters=[{name: tensorboard, pictures: true}]"]
    assert main(["train", *TABLE, *words]) == 0
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert main(["evaluate", f"run={tmp_path}/run"]) == 0
    header, *rows = (
        line.split()
        for line in capsys.readouterr().out.split("matrix")[-1].splitlines()[:4]
    )
    assert header == [*CLASSES]
    counts = [[str(count) for count in row] for row in result["eval"]["matrix"]]
    named = zip(CLASSES, counts, strict=True)
    assert rows == [[name, *row] for name, row in named]
    assert set(drawn) == {CLASSES}


def test_raw_rows_are_served_as_they_are_evaluated(folder, capsys):
    (path,) = (folder / "run" / "export").iterdir()
    loaded = sf.load_export(path)
    rows = rows_of(folder / "new.csv")
    served = loaded("serving_raw", **raw_of(rows))
    predicted = run_json(
        capsys, "predict", f"run={folder}/run", f"data.files={folder}/new.csv"
    )
    # The batch sizes differ, and so may the order of sums.
    probabilities = [row["probability"] for row in predicted]
    np.testing.assert_allclose(served["scores"], probabilities, rtol=1e-5)
    x = FittedColumns.read(path / "columns.json")(raw_of(rows))["x"]
    np.testing.assert_array_equal(loaded(x=x)["scores"], served["scores"])
    assert loaded.signatures["serving_default"].class_names == ("high", "low", "mid")
    with pytest.raises(sf.DataError, match=r"^age: row 0 has 'old'\."):
        loaded("serving_raw", age=["old"], city=["Rome"], income=[1.0])


def test_exported_features_that_differ_are_noticed(folder, tmp_path):
    (path,) = (folder / "run" / "export").iterdir()
    copy = shutil.copytree(path, tmp_path / "export")
    raw = json.loads((copy / "raw_rows.json").read_text())
    raw["age"][0] = "99"
    (copy / "raw_rows.json").write_text(json.dumps(raw))
    with pytest.raises(sf.ExportError, match="is damaged: its digest differs"):
        sf.load_export(copy)


def test_a_run_resumes_with_its_columns_and_refuses_changed_files(
    folder, tmp_path, capsys
):
    write(tmp_path / "people.csv", range(ROWS))
    arguments = (
        "train",
        *TABLE,
        f"data.files={tmp_path}/people.csv",
        f"output.dir={tmp_path}/run",
    )
    assert main([*arguments, "loop.train_steps=2"]) == 0
    before = (tmp_path / "run" / "columns.json").read_bytes()
    assert main([*arguments, "loop.train_steps=4"]) == 0
    assert (tmp_path / "run" / "columns.json").read_bytes() == before
    with (tmp_path / "people.csv").open("a") as file:
        file.write("p999,30,Rome,1.0,low\n")
    capsys.readouterr()
    assert main([*arguments, "loop.train_steps=6"]) == 2
    assert capsys.readouterr().err == (
        f"error[table-changed] {tmp_path}/people.csv: has changed since the run was "
        "trained. Restore the files, or train in another output.dir.\n"
    )
    # Rows keep their split, so the run can still be evaluated.
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["evaluate", f"run={tmp_path}/run"]) == 0
    assert capsys.readouterr().err == (
        f"warning[table-changed] {tmp_path}/people.csv: has changed since the run was "
        "trained.\n"
    )


def test_checkpoints_have_the_columns_too(folder, capsys):
    (folder / "run" / "columns.json").rename(folder / "columns.json")
    try:
        rows = run_json(capsys, "predict", f"run={folder}/run")
    finally:
        (folder / "columns.json").rename(folder / "run" / "columns.json")
    assert rows == run_json(capsys, "predict", f"run={folder}/run")


@pytest.mark.parametrize("model", ["mlp", "linear", "wide_and_deep"])
def test_embedded_categories_reach_every_model_of_tables(model, folder, tmp_path):
    arguments = (
        *TABLE,
        f"model={model}",
        "model.outputs=null",
        "data.columns.city={name: category, encoding: embedding, embedding_size: 2}",
        f"data.files={folder}/people.csv",
        f"output.dir={tmp_path}/run",
        "loop.train_steps=3",
    )
    given = [line for line in arguments if line != "model.hidden=[16]"]
    hidden = [] if model == "linear" else ["model.hidden=[4]"]
    assert main(["train", *given, *hidden]) == 0
    assert main(["export", f"run={tmp_path}/run"]) == 0
    (path,) = (tmp_path / "run" / "export").iterdir()
    served = sf.load_export(path)(
        "serving_raw", age=[40], city=["Bonn"], income=["1e3"]
    )
    assert served["scores"].shape == (1, 3)
