"""A folder of classes is a table of images: rows, splits, classes and memory."""

import os
from pathlib import Path

import numpy as np
import pytest

from specflow import DataError
from specflow.config.sections.images import ImagesConfig
from specflow.data import DigestedSource, build_data
from specflow.data.plan import BatchPlan
from tests.data.images.image_files import write_folder, write_image

CATS = Path("photos/cat")


@pytest.fixture
def pixels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_folder(tmp_path / "photos")


def build(root="photos", **settings):
    return build_data(ImagesConfig(root=root, **settings))


def rows_by_path(source):
    (features, labels), paths = source.take(slice(None)), source.ids["path"]
    rows = zip(features["image"], labels, strict=True)
    return dict(zip(paths.tolist(), rows, strict=True))


def test_rows_are_the_images_with_their_classes(pixels):
    data = build()
    assert data.columns.labels["class"].classes == ("cat", "dog")
    rows = rows_by_path(data.train) | rows_by_path(data.eval)
    assert rows.keys() == pixels.keys()
    assert (len(data.train), len(data.eval)) == (16, 4)
    for path, (image, label) in rows.items():
        expected = (pixels[path] / 255).astype(np.float32)[..., None]
        assert np.array_equal(image, expected)
        assert label == ["cat", "dog"].index(path.split("/")[0])


@pytest.mark.parametrize("shuffle", [True, False])
def test_images_that_are_decoded_as_needed_are_the_same(pixels, shuffle, capsys):
    held = build(shuffle=shuffle)
    streamed = build(shuffle=shuffle, memory="100B")
    assert "decoded as they are needed: data.memory=100B" in capsys.readouterr().err
    assert held.train.is_held
    assert not streamed.train.is_held
    plans = [
        BatchPlan(data.train, 5, seed=3, shuffle=shuffle) for data in (held, streamed)
    ]
    for step in (0, 7):
        (one, labels), (other, theirs) = (plan.rows(step, 2) for plan in plans)
        assert np.array_equal(one["image"], other["image"])
        assert np.array_equal(labels, theirs)


def test_processes_compare_a_digest_of_the_files_the_columns_and_the_split(pixels):
    data = build()
    assert isinstance(data.train, DigestedSource)
    assert data.train.digest == build(memory="100B").train.digest
    others = [
        data.eval,
        build(scale="standardize").train,
        build(split={"seed": 1}).train,
    ]
    write_image(CATS / "00.png", np.zeros((6, 4)))
    others.append(build().train)
    assert data.train.digest not in {other.digest for other in others}


def test_folders_of_the_splits_and_further_sets(pixels, tmp_path):
    others = {
        name: write_folder(tmp_path / name, each=3, seed=seed)
        for seed, name in enumerate(("held", "last", "night"), 1)
    }
    data = build(eval_root="held", test_root="last", eval_sets={"night": "night"})
    sources = (data.train, data.eval, data.split("test"), data.split("night"))
    assert [len(source) for source in sources] == [20, 6, 6, 6]
    for name, source in zip(others, sources[1:], strict=True):
        for path, (image, _) in rows_by_path(source).items():
            expected = (others[name][path] / 255).astype(np.float32)
            assert np.array_equal(image[..., 0], expected)


@pytest.mark.parametrize("by", ["stratified", "hash"])
def test_splits_are_those_of_tables(pixels, by):
    column = {"stratified": "class", "hash": "path"}[by]
    data = build(split={"by": by, "column": column, "eval": 0.3})
    if by == "stratified":
        assert np.bincount(data.eval.column("labels")).tolist() == [3, 3]
    held = set(data.eval.ids["path"].tolist())
    for number in range(20):  # Further images move no other one by their hash.
        write_image(CATS / f"more_{number}.png", np.full((6, 4), number))
    more = build(split={"by": by, "column": column, "eval": 0.3})
    if by == "hash":
        assert held <= set(more.eval.ids["path"].tolist())


def test_standardized_pixels_have_mean_0_and_variance_1_in_training(pixels):
    for number in range(5):  # One of them is enough to give all three channels.
        write_image(CATS / f"color_{number}.png", np.zeros((6, 4, 3)))
    data = build(scale="standardize")
    images = data.train.column("features.image").astype(np.float64)
    assert images.shape[1:] == (6, 4, 3)
    np.testing.assert_allclose(images.mean(axis=(0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(images.std(axis=(0, 1, 2)), 1, atol=1e-6)


def test_flat_folders_have_rows_without_classes(pixels, tmp_path):
    fitted = build().columns
    write_image(tmp_path / "new" / "b.PNG", np.full((6, 4), 9))
    write_image(tmp_path / "new" / "a" / "x.png", np.full((6, 4), 7))
    data = build_data(
        ImagesConfig(root="new"), needs_labels=False, needs_train=False, columns=fitted
    )
    assert data.eval.ids["path"].tolist() == ["a/x.png", "b.PNG"]
    features, labels = data.eval.take(slice(None))
    assert labels is None
    assert features["image"][1, 0, 0, 0] == np.float32(9 / 255)


def test_hidden_files_and_others_are_left_out_and_links_are_followed(pixels, capsys):
    os.makedirs("photos/.cache")
    write_image(CATS / "._00.png", np.ones((6, 4)))
    (CATS / "notes.txt").write_text("x")
    os.symlink("..", "photos/dog/again")  # A loop.
    os.symlink("cat", "photos/lion")
    data = build()
    assert data.columns.labels["class"].classes == ("cat", "dog", "lion")
    assert len(data.train) + len(data.eval) == 30
    assert capsys.readouterr().err.count("no images by their suffix") == 1


def test_files_that_changed_are_named_on_resume(pixels):
    fitted = build().columns
    write_image(CATS / "00.png", np.zeros((6, 4)))
    with pytest.raises(DataError, match="photos: has changed since the run was"):
        build_data(ImagesConfig(root="photos"), columns=fitted, same_files=True)
