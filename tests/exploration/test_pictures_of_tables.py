"""A look at tables with pictures: by their paths, or by their bytes."""

import base64
import csv
import io
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from specflow.cli.main import main
from tests.data.images.image_files import write_image

_SETTINGS = (
    *("experiment=table", "data.labels=kind"),
    "data.columns.photo={name: image, size: [8, 6]}",
    "data.split={by: random, eval: 0.25}",
)


@pytest.fixture(params=["paths", "bytes", "streamed"])
def words(request, tmp_path, monkeypatch):
    """40 rows of pictures of two sizes; four of them are repeated in other files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("specflow.exploration.pipeline_speed._SECONDS", 0.01)
    rng = np.random.default_rng(0)
    rows = []
    for number in range(40):
        path = tmp_path / f"pics/{number:02}.png"
        size = (8, 6, 3) if number % 4 else (9, 9)
        write_image(path, rng.integers(0, 200, size))
        if number % 10 == 9:
            path.write_bytes((tmp_path / f"pics/{number - 1:02}.png").read_bytes())
        rows.append((f"pics/{number:02}.png", rng.normal(), "ab"[number % 2]))
    name = "table.csv"
    if request.param == "paths":
        with open(name, "w", newline="") as file:
            csv.writer(file).writerows([("photo", "weight", "kind"), *rows])
    else:
        name = "table.parquet"
        photos, weights, kinds = zip(*rows, strict=True)
        contents = [(tmp_path / photo).read_bytes() for photo in photos]
        cells = photos if request.param == "streamed" else contents
        table = pa.table({"photo": cells, "weight": weights, "kind": kinds})
        pq.write_table(table, name, row_group_size=4)
    memory = ["data.memory=2KiB"] if request.param == "streamed" else []
    return [*_SETTINGS, f"data.files={name}", *memory]


def _json(capsys, *arguments):
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_statistics_count_pictures_and_their_sizes(words, capsys):
    found = _json(capsys, "data", "stats", *words)
    photo = next(each for each in found["columns"] if each["column"] == "photo")
    splits = photo["splits"].values()
    assert photo["kind"] == "image"
    assert sum(each["count"] for each in splits) == 40
    sizes = [dict(each["top"]) for each in splits]
    assert sum(each["8 x 6 color"] for each in sizes) == 28
    assert sum(each["9 x 9 gray"] for each in sizes) == 12
    # A repeated picture may be in the other split.
    assert 36 <= sum(each["distinct"] for each in splits) <= 40
    assert found["read_every"] == {"train": 1, "eval": 1}
    assert main(["data", "stats", *words]) == 0
    text = capsys.readouterr().out
    assert re.search(r"photo +train +30 .*8 x 6 color \d\d%, 9 x 9 gray \d\d%\n", text)


def test_the_page_has_the_cells_and_the_picture_of_a_row(words, tmp_path, capsys):
    assert main(["data", "check", *words, "--output", "page.html"]) == 0
    page = (tmp_path / "page.html").read_text()
    shown = _json(capsys, "data", "show", *words, "--rows", "1")["rows"][0]
    card = page.split('<div class="card">')[1]
    assert shown["place"] in card
    assert "weight" in card
    assert "@@" not in card
    (encoded,) = re.findall(r'src="data:image/png;base64,([^"]+)"', card)
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    image = np.array(shown["features"]["features.photo"])
    low, high = image.min(), image.max()
    np.testing.assert_allclose(drawn / 255, (image - low) / (high - low), atol=1 / 254)


def test_synthetic_rows_have_pictures_that_there_are(words, tmp_path, capsys):
    (tmp_path / "made").mkdir()
    bytes_are_in_the_table = words[-1] == "data.files=table.parquet"
    if bytes_are_in_the_table:
        assert main(["data", "synthesize", *words, "--output", "made/t.csv"]) == 2
        assert "a path that ends in .parquet or .arrow" in capsys.readouterr().err
    name = "made/t.parquet"
    assert main(["data", "synthesize", *words, "--rows", "50", "--output", name]) == 0
    photos = pq.read_table(name)["photo"].to_pylist()
    known = {path.read_bytes() for path in (tmp_path / "pics").iterdir()}
    if not bytes_are_in_the_table:
        photos = [(tmp_path / "made" / photo).read_bytes() for photo in photos]
    assert len(photos) == 50
    assert len(set(photos)) > 10
    assert {*photos} <= known
    made = [*words, "data.files=made/t.parquet", "data.memory=1MiB"]
    assert main(["data", "stats", *made]) == 0


def test_rows_of_large_pictures_are_all_read(tmp_path, monkeypatch, capsys):
    """The size of the features does not thin out the rows of the other columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("specflow.exploration.split_columns._MOST_VALUES", 10_000)
    for number in range(20):
        write_image(tmp_path / f"{number}.png", np.full((40, 40, 3), number))
    rows = [f"{number}.png,{number},{number % 2}\n" for number in range(20)]
    (tmp_path / "t.csv").write_text("photo,weight,kind\n" + "".join(rows))
    section = "data.columns.photo={name: image}"
    words = ["experiment=table", "data.files=t.csv", "data.labels=kind", section]
    found = _json(capsys, "data", "stats", *words)
    assert found["read_every"] == {"train": 1, "eval": 1}
