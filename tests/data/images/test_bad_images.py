"""Images that cannot be used: whole reports, with the file and what is wrong."""

import numpy as np
import pytest

from specflow import DataError
from specflow.cli.main import main
from specflow.config.sections.images import ImagesConfig
from specflow.config.sections.table import TableConfig
from specflow.data import build_data
from tests.compose.conftest import golden
from tests.data.images.image_files import write_folder, write_image

__all__ = ["golden"]

CASES = {
    "none": {},
    "a_file": {},
    "empty": {},
    "no_images": {},
    "damaged": {},
    "damaged_and_streamed": {"memory": "10B"},
    "many_damaged": {},
    "one_class": {},
    "outside": {},
    "one_image": {},
    "several_sizes": {},
    "unseen_class": {"eval_root": "held"},
    "no_test_folder": {"eval_root": "held"},
    "channels": {"mean": [0.5, 0.5, 0.5], "std": [1.0, 1.0], "channels": None},
}


def files_of(case, folder):
    """Writes the files of a case."""
    root = folder / "photos"
    if case == "none":
        return
    if case == "a_file":
        root.write_text("x")
        return
    root.mkdir()
    if case == "no_images":
        for name in ("a.txt", "b.txt", "Makefile"):
            (root / name).write_text("x")
    if case in ("empty", "no_images"):
        return
    classes = ("cat",) if case == "one_class" else ("cat", "dog")
    write_folder(root, classes=classes, each=1 if case == "one_image" else 10)
    if case == "one_image":
        (root / "cat" / "00.png").unlink()
    if case.startswith("damaged"):
        content = (root / "cat" / "03.png").read_bytes()
        (root / "cat" / "03.png").write_bytes(content[:-30])
        (root / "dog" / "05.png").write_bytes(b"")
        (root / "dog" / "07.jpg").write_text("no image")
        (root / "dog" / "08.png").unlink()
    if case == "many_damaged":
        for number in range(14):
            (root / "dog" / f"bad_{number:02}.png").write_bytes(b"x")
    if case == "outside":
        for number in range(7):
            write_image(root / f"{number}.png", np.ones((6, 4)))
    if case == "several_sizes":
        write_image(root / "cat" / "wide.png", np.ones((6, 9)))
        write_image(root / "cat" / "tall.png", np.ones((12, 4)))
    write_folder(folder / "held", classes=("cat", "dog"), each=2)
    if case == "unseen_class":
        write_image(folder / "held" / "fox" / "1.png", np.ones((6, 4)))


@pytest.mark.parametrize("case", CASES)
def test_bad_images_are_reported_whole(case, tmp_path, monkeypatch, golden):
    monkeypatch.chdir(tmp_path)
    files_of(case, tmp_path)
    settings = {"size": [6, 4], "channels": 1} if case.startswith("damaged") else {}
    config = ImagesConfig(root="photos", split={"seed": 1}, **settings | CASES[case])
    with pytest.raises(DataError) as raised:
        build_data(config).split("test")
    golden(f"images/{case}.txt", f"{raised.value}\n")


def test_bad_images_of_a_table_have_their_line_and_path(tmp_path, monkeypatch, golden):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "photos", each=5)
    (tmp_path / "photos" / "cat" / "02.png").write_bytes(b"damaged")
    paths = [f"photos/{name}/{n:02}.png" for name in ("cat", "dog") for n in range(5)]
    rows = [f"{path},{n % 2}" for n, path in enumerate([*paths, "gone.png", ""])]
    (tmp_path / "t.csv").write_text("\n".join(["photo,y", *rows, ""]))
    config = TableConfig(files=["t.csv"], labels=["y"], columns={"photo": "image"})
    with pytest.raises(DataError) as raised:
        build_data(config.model_copy(update={"memory": "1B", "shuffle": "blocks"}))
    streamed = str(raised.value)
    with pytest.raises(DataError) as raised:
        build_data(config)
    assert sorted(streamed.splitlines()) == sorted(str(raised.value).splitlines())
    golden("images/of_a_table.txt", f"{raised.value}\n")


def test_a_scaled_crop_needs_a_table_in_memory(tmp_path, monkeypatch, golden):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "photos", each=5)
    paths = [
        f"photos/{name}/{n:02}.png,{n}" for name in ("cat", "dog") for n in range(5)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["photo,y", *paths, ""]))
    photo = {"name": "image", "augment": {"scaled_crop": {}}}
    table = {"files": ["t.csv"], "labels": ["y"], "columns": {"photo": photo}}
    streamed = {"memory": "4KiB", "shuffle": "blocks"}
    with pytest.raises(DataError) as raised:
        build_data(TableConfig.model_validate(table | streamed))
    golden("images/scaled_crop_streamed.txt", f"{raised.value}\n")


def test_the_command_reports_them_before_jax_starts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files_of("damaged", tmp_path)

    def start(composed):
        raise AssertionError("JAX was started")

    monkeypatch.setattr("specflow.commands.jax_session.start", start)
    images = ("data.root=photos", "data.size=[6,4]", "data.channels=1")
    assert main(["train", "experiment=images", *images]) == 2
    report = capsys.readouterr().err
    assert report.count("error[image-file]") == 3
    assert "photos/dog/05.png: is empty" in report
