"""Trials of one worker share the images that they train on."""

import numpy as np
import pytest

from specflow.commands.swept_trial import SharedParts
from specflow.config.sections.images import ImagesConfig
from specflow.config.sections.mixture import MixtureConfig
from specflow.data import build_data
from specflow.data.plan import BatchPlan
from tests.data.images.image_files import write_folder


@pytest.mark.parametrize("augment", [{}, {"scaled_crop": {}, "flip": "horizontal"}])
def test_trials_of_the_same_images_decode_them_once(tmp_path, augment, monkeypatch):
    write_folder(tmp_path / "photos", each=8)
    root = str(tmp_path / "photos")

    def section(**settings):
        return ImagesConfig.model_validate({"root": root, "size": 4, **settings})

    shared = SharedParts()
    data = shared.build_data(section(augment=augment))

    def batches(seed):
        return BatchPlan(data.train, 4, seed=seed).rows(0, 5)[0]["image"]

    first = batches(1)
    monkeypatch.setattr("specflow.data.table.opened_split._decode", None)
    assert shared.build_data(section(augment=augment)) is data
    batches(2)  # Another trial leaves nothing behind.
    assert np.array_equal(batches(1), first)
    monkeypatch.undo()
    other = shared.build_data(section(augment=augment, scale="standardize"))
    assert other is not data


def test_trials_of_other_augmentations_decode_the_images_once(tmp_path, monkeypatch):
    write_folder(tmp_path / "photos", each=8)
    root = str(tmp_path / "photos")

    def section(**augment):
        plain = {"root": root, "size": 4, "augment": augment}
        return ImagesConfig.model_validate(plain)

    def images(data):
        return BatchPlan(data.train, 4, seed=1).rows(0, 5)[0]["image"]

    settings = [
        {},
        {"flip": "horizontal"},
        {"crop": {"padding": 1}},
        {"scaled_crop": {}},
    ]
    alone = [images(build_data(section(**augment))) for augment in settings]
    shared = SharedParts()
    shared.build_data(section())
    monkeypatch.setattr("specflow.data.table.opened_split._decode", None)
    for augment, expected in zip(settings, alone, strict=True):
        data = shared.build_data(section(**augment))
        np.testing.assert_array_equal(images(data), expected)
        assert data.train.augments == bool(augment)
    assert not np.array_equal(alone[0], alone[1])
    monkeypatch.undo()
    # Whole images were not kept for parts of them: they are decoded and kept now.
    of_parts = SharedParts()
    of_parts.build_data(section(scaled_crop={}))
    assert of_parts.build_data(section()).train.is_held


def test_trials_share_records(tmp_path):
    pytest.importorskip("google_crc32c")
    from specflow_records import write_tfrecords
    from specflow_records._core import TfRecordConfig

    path = tmp_path / "t.tfrecord"
    write_tfrecords(path, [{"x": float(row), "y": row % 2} for row in range(20)])
    shared = SharedParts()
    settings = {"files": [str(path)], "labels": ["y"]}
    data = shared.build_data(TfRecordConfig(**settings))
    first = BatchPlan(data.train, 4, seed=1).rows(0, 5)[0]["x"]
    assert shared.build_data(TfRecordConfig(**settings)) is data
    BatchPlan(data.train, 4, seed=2).rows(0, 5)  # Another trial leaves nothing behind.
    again = BatchPlan(data.train, 4, seed=1).rows(0, 5)[0]["x"]
    np.testing.assert_array_equal(again, first)
    assert shared.build_data(TfRecordConfig(**settings, shuffle=False)) is not data


def test_trials_share_a_mixture_of_rows_in_memory(tmp_path):
    parts = {}
    for name in ("a", "b"):
        path = tmp_path / f"{name}.csv"
        path.write_text("x,y\n" + "".join(f"{row}.5,{row % 2}\n" for row in range(20)))
        parts[name] = {"name": "table", "files": [str(path)], "labels": ["y"]}
    shared, section = SharedParts(), MixtureConfig(parts=parts)
    data = shared.build_data(section)
    first = BatchPlan(data.train, 4, seed=1).rows(0, 5)[0]["x"]
    assert shared.build_data(MixtureConfig(parts=parts)) is data
    BatchPlan(data.train, 4, seed=2).rows(0, 5)  # Another trial leaves nothing behind.
    again = BatchPlan(data.train, 4, seed=1).rows(0, 5)[0]["x"]
    np.testing.assert_array_equal(again, first)
    parts["b"]["shuffle"] = "blocks"  # A part whose rows are read as they are needed.
    streamed = shared.build_data(MixtureConfig(parts=parts))
    assert shared.build_data(MixtureConfig(parts=parts)) is not streamed
