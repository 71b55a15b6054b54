"""Records as parts of a mixture."""

import pytest

pytest.importorskip("google_crc32c")

from specflow.config.sections.mixture import MixtureConfig
from specflow.data import build_data
from tests.data.records.conftest import write_examples


def test_parts_of_records_keep_their_labels_and_refuse_changed_files(tmp_path):
    for name, count in (("a", 20), ("b", 30)):
        rows = [{"x": [float(row), 1.0], "y": row % 2} for row in range(count)]
        write_examples(tmp_path / f"{name}.tfrecord", rows)
    parts = {
        name: {
            "name": "tfrecord",
            "files": str(tmp_path / f"{name}.tfrecord"),
            "labels": "y",
            "weight": weight,
        }
        for name, weight in (("a", 1.0), ("b", 3.0))
    }
    config = MixtureConfig.model_validate({"parts": parts})
    data = build_data(config)
    assert data.columns is not None
    assert data.columns.labels["y"].classes == ("0", "1")
    assert len(data.columns.files) == 2
    assert not data.files.changes(build_data(config, columns=data.columns).files)
    write_examples(tmp_path / "b.tfrecord", [{"x": [0.0, 1.0], "y": 0}] * 30)
    (change,) = data.files.changes(build_data(config, columns=data.columns).files)
    assert change.where == str(tmp_path / "b.tfrecord")
