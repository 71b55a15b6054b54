"""Pictures that a column of paths names are files of the run."""

import base64
import hashlib

import numpy as np
import pytest

from specflow.config.sections.table import TableConfig
from specflow.data import DataFiles, build_data
from specflow.data.table import picture_files
from specflow.diagnostics.errors import DataError
from tests.data.images.image_files import write_image


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Ten rows of pictures; names the changed ones of the files of a run."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for number in range(10):
        write_image(tmp_path / f"pics/{number}.png", rng.integers(0, 99, (3, 3)))
    rows = [f"pics/{number}.png,{number % 2}\n" for number in range(10)]
    (tmp_path / "pears.csv").write_text("photo,kind\n" + "".join(rows))
    return TableConfig.model_validate(
        {
            "files": ["pears.csv"],
            "labels": ["kind"],
            "columns": {"photo": {"name": "image"}},
            "split": {"eval": 0.2, "test": 0.2, "by": "random"},
        }
    )


def _digest(folder, names):
    """SHA-256 of names and contents, and the first bytes of each, as documented."""
    whole, marks = hashlib.sha256(), b""
    for name in names:
        content = hashlib.sha256((folder / name).read_bytes()).digest()
        whole.update(name.encode() + b"\0" + content)
        marks += content[:3]
    return whole.hexdigest(), base64.b64encode(marks).decode()


def _changed(recorded, config):
    plain = DataFiles.from_json(recorded, where="files.json")
    found = plain.changes(build_data(config).files)
    return [(each.where, each.problem) for each in found]


def test_changed_pictures_of_read_rows_are_named(table, tmp_path):
    data = build_data(table)
    recorded = data.files.to_json()
    (key,) = recorded["pictures"]
    assert key.startswith("photo of ")
    names = sorted(data.files.pictures[key].files)
    # Two of ten rows are those of the test split, which is not read.
    assert len(names) == 8
    of_all = recorded["pictures"][key]
    assert (of_all["sha256"], of_all["marks"]) == _digest(tmp_path, names)
    assert _changed(recorded, table) == []
    tested = {f"pics/{number}.png" for number in range(10)} - {*names}
    for name in (*tested, names[3], names[5]):
        write_image(tmp_path / name, np.zeros((3, 3)))
    problem = "has changed since the run was trained"
    assert _changed(recorded, table) == [(names[3], problem), (names[5], problem)]


def test_pictures_of_another_folder_with_the_same_content_are_the_same(table, tmp_path):
    recorded = build_data(table).files.to_json()
    (tmp_path / "moved").mkdir()
    (tmp_path / "pics").rename(tmp_path / "moved/pics")
    section = table.columns["photo"].model_copy(update={"root": "moved"})
    moved = table.model_copy(update={"columns": {"photo": section}})
    assert _changed(recorded, moved) == []


def test_a_table_of_other_rows_is_reported_alone(table, tmp_path):
    recorded = build_data(table).files.to_json()
    write_image(tmp_path / "pics/0.png", np.zeros((3, 3)))
    with (tmp_path / "pears.csv").open("a") as file:
        file.write("pics/0.png,1\n")
    assert [where for where, _ in _changed(recorded, table)] == ["pears.csv"]


def test_unchanged_pictures_are_read_once(table, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("specflow.data.table.kept_digests._CLOCK_NS", -1)
    recorded = build_data(table).files.to_json()
    monkeypatch.setattr(picture_files.Pictures, "_read", None)
    assert build_data(table).files.to_json() == recorded


def test_a_picture_that_is_gone_is_named(table, tmp_path):
    files = build_data(table).files
    (tmp_path / "pics").rename(tmp_path / "gone")
    with pytest.raises(DataError, match=r"pics/\d\.png: cannot be read: No such file"):
        files.to_json()


def test_bytes_of_pictures_are_in_the_table(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "one.png", np.zeros((2, 2)))
    cells = [(tmp_path / "one.png").read_bytes()] * 4
    pq.write_table(pa.table({"photo": cells, "kind": [0, 1, 0, 1]}), "pears.parquet")
    config = TableConfig.model_validate(
        {
            "files": ["pears.parquet"],
            "labels": ["kind"],
            "columns": {"photo": {"name": "image"}},
        }
    )
    assert "pictures" not in build_data(config).files.to_json()
