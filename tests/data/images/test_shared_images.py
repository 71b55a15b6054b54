"""Trials of one worker share the images that they train on."""

import numpy as np
import pytest

from specflow.commands.swept_trial import SharedParts
from specflow.config.sections.images import ImagesConfig
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
