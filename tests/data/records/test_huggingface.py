"""Data sets of Hugging Face `datasets`: types, splits, classes and exact order."""

import io
import os

import numpy as np
import pytest

from specflow import DataError
from specflow.cli.main import main
from specflow.data import BatchPlan, Share, build_data
from specflow_records._core import HuggingFaceConfig

datasets = pytest.importorskip("datasets")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ROWS = 60


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def columns(rows=ROWS):
    random = np.random.default_rng(0)
    return {
        "picture": random.integers(0, 256, (rows, 4, 4), dtype=np.uint8),
        "x": random.normal(size=(rows, 3)).astype(np.float32),
        "tokens": [list(range(row % 4 + 1)) for row in range(rows)],
        "label": [row % 3 for row in range(rows)],
        "name": [f"plum {row}" for row in range(rows)],
    }


FEATURES = datasets.Features(
    {
        "picture": datasets.Array2D((4, 4), "uint8"),
        "x": datasets.List(datasets.Value("float32"), length=3),
        "tokens": datasets.List(datasets.Value("int32")),
        "label": datasets.ClassLabel(names=["gage", "damson", "mirabelle"]),
        "name": datasets.Value("string"),
    }
)


@pytest.fixture
def saved(tmp_path):
    rows = datasets.Dataset.from_dict(columns(), features=FEATURES)
    parts = {"train": rows.select(range(40)), "validation": rows.select(range(40, 60))}
    datasets.DatasetDict(parts).save_to_disk(
        tmp_path / "plums", num_shards={"train": 3, "validation": 1}
    )
    return tmp_path / "plums"


def config_of(path, **settings):
    given = {
        "labels": ["label"],
        "id": ["name"],
        "fields": {"tokens": {"length": 3}},
        **settings,
    }
    return HuggingFaceConfig(dataset=str(path), **given)


def test_rows_have_the_types_of_the_features_and_the_values_that_were_saved(saved):
    data = build_data(config_of(saved, eval="validation"))
    assert (len(data.train), len(data.eval)) == (40, 20)
    expected = columns()
    order = np.random.default_rng(1).permutation(40)
    features, labels = data.train.take(order)
    assert features["picture"].dtype == np.uint8
    np.testing.assert_array_equal(features["picture"], expected["picture"][order])
    np.testing.assert_array_equal(features["x"], expected["x"][order], strict=True)
    np.testing.assert_array_equal(labels, np.array(expected["label"], np.int32)[order])
    mask = features["tokens"]["mask"]
    np.testing.assert_array_equal(mask.sum(1), np.minimum(order % 4 + 1, 3))
    assert (features["tokens"]["values"] == np.where(mask, np.arange(3), 0)).all()
    assert data.eval.ids["name"].tolist() == expected["name"][40:]
    (column,) = data.columns.labels.values()
    assert column.classes == ("gage", "damson", "mirabelle")
    assert column.counts == (14, 13, 13)


def test_the_split_of_a_data_set_with_one_split_is_that_of_the_config(saved):
    settings = {"by": "stratified", "field": "label", "eval": 0.25, "test": 0.2}
    data = build_data(config_of(saved, split=settings))
    parts = [data.train, data.eval, data.split("test")]
    assert [len(part) for part in parts] == [22, 10, 8]
    names = [name for part in parts for name in part.ids["name"].tolist()]
    assert sorted(names) == sorted(columns()["name"][:40])
    counts = np.bincount(data.eval.column("labels"))
    assert counts.max() - counts.min() <= 1


def test_a_split_of_the_data_set_is_the_test_split(saved):
    data = build_data(config_of(saved, test="validation"))
    assert data.split("test").ids["name"].tolist() == columns()["name"][40:]


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_batches_do_not_depend_on_the_number_of_processes(saved, processes):
    source = build_data(config_of(saved, eval="validation")).train
    plan = BatchPlan(source, 8, seed=3)
    whole, _ = plan.rows(2, 4)
    parts = [
        BatchPlan(source, 8, seed=3, share=Share((part,), processes)).rows(2, 4)[0]
        for part in range(processes)
    ]
    joined = np.concatenate([part["x"] for part in parts], axis=1)
    np.testing.assert_array_equal(joined, whole["x"])
    rows = plan.row_ids(0, 5).reshape(-1)
    assert sorted(rows.tolist()) == list(range(40)), "an epoch has every row once"


def test_pictures_are_decoded_and_resized(tmp_path):
    pil = pytest.importorskip("PIL.Image")
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (6, 5, 3), dtype=np.uint8) for _ in range(8)]
    encoded = []
    for image in images:
        content = io.BytesIO()
        pil.fromarray(image).save(content, "PNG")
        encoded.append({"bytes": content.getvalue(), "path": None})
    rows = {"image": encoded, "label": [0, 1] * 4}
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])}
    )
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "d")
    config = config_of(tmp_path / "d", id=[], fields={})
    data = build_data(config)
    taken, _ = data.train.take(slice(None))
    kept = data.train._rows
    np.testing.assert_array_equal(taken["image"], np.stack(images)[kept])
    small = {"image": {"shape": [3, 5, 1], "decode": "image", "dtype": "float32"}}
    config = config_of(tmp_path / "d", id=[], fields=small)
    taken, _ = build_data(config).train.take(slice(None))
    gray = pil.fromarray(images[kept[0]]).convert("L").resize((5, 3), pil.BILINEAR)
    expected = np.asarray(gray)[..., None] / np.float32(255)
    np.testing.assert_array_equal(taken["image"][0], expected, strict=True)


def test_data_files_of_a_builder_are_read(tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_text("".join(f'{{"a": {row}, "y": {row % 2}}}\n' for row in range(10)))
    config = HuggingFaceConfig(
        dataset="json", data_files={"train": [str(file)]}, labels=["y"]
    )
    data = build_data(config)
    features, labels = data.train.take(slice(None))
    assert (features["a"] % 2 == labels).all()
    assert len(data.train) == 8


WRONG = {
    "huggingface_split": {"eval": "validaton"},
    "huggingface_fields": {"labels": ["lable"], "fields": {}},
    "huggingface_ragged": {"fields": {}},
    "huggingface_text": {"id": []},
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_config_is_reported(case, saved, monkeypatch, golden):
    monkeypatch.chdir(saved.parent)
    with pytest.raises(DataError) as raised:
        build_data(config_of("plums", **WRONG[case]))
    golden(f"records/{case}.txt", f"{raised.value}\n")


def test_a_data_set_that_does_not_exist_is_one_error(tmp_path):
    with pytest.raises(DataError) as raised:
        build_data(config_of(tmp_path / "none"))
    (diagnostic,) = raised.value.diagnostics
    assert (diagnostic.code, diagnostic.where) == ("record-source", "data.dataset")


TRAIN = (
    "data=huggingface", "data.dataset=plums", "data.labels=label", "data.id=name",
    "data.features=[x]", "data.eval=validation", "spec=table", "model=mlp",
    "model.hidden=[8]", "model.outputs=null", "loop.batch_size=16",
    "output.reporters=[]",
)  # fmt: skip


def test_a_run_resumes_exactly_and_refuses_changed_files(
    saved, monkeypatch, capsys, golden
):
    monkeypatch.chdir(saved.parent)
    every = "output.checkpoint.every=5"
    train = ["train", *TRAIN, every]
    assert main([*train, "loop.train_steps=12", "output.dir=whole"]) == 0
    assert main([*train, "loop.train_steps=7", "output.dir=halves"]) == 0
    assert main([*train, "loop.train_steps=12", "output.dir=halves"]) == 0
    predicted = []
    for run in ("whole", "halves"):
        assert main(["predict", f"run={run}", "--output", f"{run}.csv"]) == 0
        predicted.append((saved.parent / f"{run}.csv").read_text())
    assert predicted[0] == predicted[1]
    header, first = predicted[0].splitlines()[:2]
    assert header == "name,class,probability"
    assert first.split(",")[0] == "plum 40"
    assert first.split(",")[1] in ("gage", "damson", "mirabelle")
    file = saved / "train/data-00001-of-00003.arrow"
    content = bytearray(file.read_bytes())
    content[-400] ^= 1
    os.unlink(file)  # The old one is mapped.
    file.write_bytes(content)
    capsys.readouterr()
    assert main([*train, "loop.train_steps=14", "output.dir=halves"]) == 2
    text = capsys.readouterr().err.replace(str(saved.parent), "")
    golden("records/huggingface_changed.txt", text)
