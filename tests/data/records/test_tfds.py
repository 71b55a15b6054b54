"""Data sets of TFDS, prepared and read without TensorFlow."""

import sys

import numpy as np
import pytest

from specflow import DataError
from specflow.data import build_data
from specflow.data.known_rows import known_rows

pytest.importorskip("importlib_resources")
pytest.importorskip("array_record")
tfds = pytest.importorskip("tensorflow_datasets")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

from specflow_records._core import TfdsConfig  # noqa: E402


class Plums(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "x": tfds.features.Tensor(shape=(3,), dtype=np.float32),
            "words": tfds.features.Sequence(tfds.features.Scalar(np.int64)),
            "label": tfds.features.ClassLabel(names=["gage", "damson"]),
            "tag": tfds.features.Text(),
        }
        features = tfds.features.FeaturesDict(features)
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, manager):
        sizes = {"train": 30, "test": 8}
        return {name: self._generate_examples(n) for name, n in sizes.items()}

    def _generate_examples(self, rows):
        for row in range(rows):
            yield (
                row,
                {
                    "x": np.full(3, row, np.float32),
                    "words": list(range(row % 4)),
                    "label": row % 2,
                    "tag": f"plum {row}",
                },
            )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("tfds")
    tfds.disable_progress_bar()
    Plums(data_dir=str(root), file_format="array_record").download_and_prepare()
    return root / "plums/1.0.0"


def config_of(folder, **settings):
    given = {"labels": ["label"], "id": ["tag"], "fields": {"words": {"length": 3}}}
    return TfdsConfig(dataset=str(folder), **{**given, **settings})


def test_examples_are_read_by_number_without_tensorflow(folder):
    config = config_of(folder, eval="test")
    data = build_data(config)
    assert (len(data.train), len(data.eval), known_rows(config)) == (30, 8, 30)
    order = np.random.default_rng(0).permutation(30)
    features, labels = data.train.take(order)
    rows = np.array([int(tag.split()[1]) for tag in data.train.ids["tag"]])[order]
    np.testing.assert_array_equal(features["x"], np.repeat(rows[:, None], 3, 1))
    np.testing.assert_array_equal(labels, rows % 2)
    np.testing.assert_array_equal(features["words"]["mask"].sum(1), rows % 4)
    assert data.columns.labels["label"].classes == ("gage", "damson")
    assert "tensorflow" not in sys.modules


def test_slices_and_held_out_examples(folder):
    half = build_data(config_of(folder, train="train[:50%]", eval="test"))
    assert len(half.train) == 15
    assert len(build_data(config_of(folder)).train) == 24


WRONG = {
    "tfds_split": {"eval": "validation"},
    "tfds_name": {"dataset": "no_such_plums"},
    "tfds_field": {"labels": ["lable"], "fields": {}},
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_config_is_reported(case, folder, monkeypatch, golden):
    monkeypatch.chdir(folder.parent)
    with pytest.raises(DataError) as raised:
        build_data(config_of("1.0.0").model_copy(update=WRONG[case]))
    golden(f"records/{case}.txt", f"{raised.value}\n")
