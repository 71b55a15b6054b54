"""Images from files to a served model, as a new user runs the commands."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from sklearn.datasets import load_digits

import specflow as sf
from specflow.cli.main import main
from specflow.diagnostics.errors import ExportError
from specflow.runtime.distribution import version_of
from specflow.serving import raw_features
from specflow.serving.load_export import MANIFEST
from tests.data.images.image_files import write_image

TRAINED = (
    "loop.epochs=3",
    "loop.eval_every=0",
    "optimizer.lr=5e-3",
    "model.widths=[8]",
    "mesh=single",
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """PNG files of the digits, in a folder for each."""
    root = tmp_path_factory.mktemp("digits") / "png"
    images, labels = load_digits(return_X_y=True)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        pixels = np.rint(image.reshape(8, 8) * 255 / 16)
        write_image(root / f"digit_{label}" / f"{number:04}.png", pixels)
    return root


def test_from_a_folder_of_png_files_to_a_served_model(
    digits, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    images = ("experiment=images", f"data.root={digits}", "output.dir=run", *TRAINED)
    assert main(["train", *images]) == 0
    capsys.readouterr()
    assert main(["evaluate", "run=run", "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["metrics"]["accuracy"] > 0.9

    new = sorted((digits / "digit_3").iterdir())[:20]
    for file in new:
        (tmp_path / "new").mkdir(exist_ok=True)
        (tmp_path / "new" / file.name).write_bytes(file.read_bytes())
    predicted = ("run=run", "data.root=new", "--output", "new.csv")
    assert main(["predict", *predicted]) == 0
    rows = list(csv.DictReader((tmp_path / "new.csv").read_text().splitlines()))
    assert [row["path"] for row in rows] == [file.name for file in new]
    assert sum(row["class"] == "digit_3" for row in rows) >= 16

    assert main(["export", "run=run"]) == 0
    (exported,) = (tmp_path / "run" / "export").iterdir()
    manifest = json.loads((exported / MANIFEST).read_text())
    assert manifest["packages"] == {"pillow": version_of("pillow")}
    loaded = sf.load_export(exported)
    contents = [file.read_bytes() for file in new]
    answers = loaded("serving_raw", path=contents)
    names = [f"digit_{digit}" for digit in answers["classes"].tolist()]
    assert names == [row["class"] for row in rows]
    by_path = loaded("serving_raw", path=[f"new/{file.name}" for file in new])
    assert np.array_equal(by_path["scores"], answers["scores"])

    monkeypatch.setattr(raw_features, "version_of", lambda name: None)
    with pytest.raises(ExportError, match="with pillow, which is not installed"):
        sf.load_export(exported)


def test_a_table_of_image_bytes_and_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    columns = {"photo": [], "age": [], "kind": []}
    for number in range(60):
        pixels = rng.integers(0, 100, (6, 6)) + 120 * (number % 2)
        write_image(tmp_path / "photo.png", pixels)
        columns["photo"].append((tmp_path / "photo.png").read_bytes())
        columns["age"].append(float(number))
        columns["kind"].append("ab"[number % 2])
    pa.parquet.write_table(pa.table(columns), "t.parquet")
    table = (
        *("data=table", "data.files=t.parquet", "data.labels=kind"),
        *("data.columns.photo=image", "model=cnn", "spec=images", "model.widths=[8]"),
        *("spec.inputs.image=features.photo", "model.outputs=null"),
        *("loop.train_steps=30", "loop.batch_size=16", "output.dir=run", "mesh=single"),
    )
    assert main(["train", *table]) == 0
    assert main(["export", "run=run"]) == 0
    (exported,) = (tmp_path / "run" / "export").iterdir()
    loaded = sf.load_export(exported)
    request = {"photo": columns["photo"][:10], "age": columns["age"][:10]}
    assert loaded.columns is not None
    features = loaded.columns(request)
    assert features["photo"].shape == (10, 6, 6, 1)
    assert features["x"].shape == (10, 1)
    raw, made = loaded("serving_raw", **request), loaded(**features)
    assert np.array_equal(raw["probability"], made["probability"])
