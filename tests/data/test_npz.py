"""Arrays from files: what is read, and what each bad file is told."""

import numpy as np
import pytest

from specflow.config.sections.data_sources import NpzConfig
from specflow.data.npz import npz, read_npz
from specflow.diagnostics.errors import DataError


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "train.npz"
    np.savez(path, image=np.ones((3, 2)), age=np.arange(3), labels=np.array([0, 1, 1]))
    return path


def _message(path, **options) -> str:
    with pytest.raises(DataError) as caught:
        read_npz(path, **{"labels": "labels", "key": "data.train", **options})
    return str(caught.value)


def test_arrays_become_features_and_labels(file, tmp_path):
    held_path = tmp_path / "eval.npz"
    np.savez_compressed(
        held_path, image=np.zeros((1, 2)), age=np.arange(1), labels=np.array([1])
    )
    train, held = npz(NpzConfig(train=str(file), eval=str(held_path)))
    features, labels = train.take(slice(None))
    assert sorted(features) == ["age", "image"]
    np.testing.assert_array_equal(labels, [0, 1, 1])
    assert len(held) == 1


def test_without_labels_every_array_is_a_feature(file):
    features, labels = read_npz(file, labels=None).take(slice(None))
    assert sorted(features) == ["age", "image", "labels"]
    assert labels is None


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "no.npz"
    assert _message(path) == f"data.train: there is no file {str(path)!r}."


def test_a_near_miss_beside_a_missing_file_is_offered(file):
    path = file.with_name(f"x{file.name}")
    assert _message(path) == (
        f"data.train: there is no file {str(path)!r}. Did you mean {file.name}?"
    )


def test_both_files_are_named_if_both_are_missing(tmp_path):
    train, held = str(tmp_path / "a.npz"), str(tmp_path / "b.npz")
    with pytest.raises(DataError) as caught:
        npz(NpzConfig(train=train, eval=held))
    assert [*map(str, caught.value.diagnostics)] == [
        f"data.train: there is no file {train!r}.",
        f"data.eval: there is no file {held!r}.",
    ]


def test_an_array_of_ids_that_is_in_neither_file_gets_the_near_miss(file):
    path = str(file)
    with pytest.raises(DataError) as caught:
        npz(NpzConfig(train=path, eval=path, ids=["ages"]))
    assert str(caught.value) == (
        f"data.ids: neither {file} nor {file} has an array 'ages'. "
        "Expected names of arrays. Did you mean age?"
    )


def test_another_kind_of_file_is_named(tmp_path):
    path = tmp_path / "array.npy"
    np.save(path, np.zeros(3))
    assert _message(path) == (
        f"data.train: {path} is not an .npz archive. "
        "Write it with numpy.savez(path, labels=..., ...)."
    )


def test_missing_labels_get_the_near_miss(file):
    assert _message(file, labels="label") == (
        f"data.labels: {file} has no array 'label'; it has image, age, labels. "
        "Expected the name of an array, or null when there are no labels. "
        "Did you mean labels?"
    )


def test_python_objects_are_refused_and_not_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was loaded",))

    path = tmp_path / "objects.npz"
    np.savez(path, x=np.zeros(1), labels=np.array([Bomb()], dtype=object))
    assert _message(path) == (
        f"data.train: {path}: array 'labels' cannot be read: "
        "Object arrays cannot be loaded when allow_pickle=False. "
        "Expected arrays of numbers. "
        "Arrays of Python objects are pickles and are refused."
    )


def test_a_damaged_archive_is_named_with_the_array(file):
    content = bytearray(file.read_bytes())
    place = content.index(np.ones(6).tobytes())
    content[place] ^= 0xFF
    file.write_bytes(content)
    assert _message(file) == (
        f"data.train: {file}: array 'image' cannot be read: "
        "Bad CRC-32 for file 'image.npy'. Expected arrays of numbers."
    )


def test_a_nan_is_named_with_its_file(tmp_path):
    path = tmp_path / "nan.npz"
    np.savez(path, x=np.array([0.0, np.nan]), labels=np.zeros(2))
    assert _message(path) == (
        f"features.x: row 1 has nan ({path}). Expected finite numbers. "
        "Drop or fill such rows first."
    )
