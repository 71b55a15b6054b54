"""`specflow new --from` a folder of images: the project, and bad folders."""

import json
import runpy
import subprocess
import sys

import numpy as np
import pytest
import yaml

from specflow.cli.main import main
from tests.compose.conftest import golden
from tests.data.images.image_files import write_folder, write_image

__all__ = ["golden"]


def experiment(folder):
    return yaml.safe_load((folder / f"conf/experiment/{folder.name}.yaml").read_text())


def test_the_project_of_images_trains_and_is_clean(tmp_path, monkeypatch, capsys):
    """Its own test trains, and fails where the loss does not fall."""
    monkeypatch.chdir(tmp_path)
    written = write_folder(tmp_path / "photos", each=20)
    assert main(["new", "pets", "--from", "photos"]) == 0
    assert capsys.readouterr().out == (
        "pets:\n"
        "  .gitignore\n"
        "  README.md\n"
        "  conf/experiment/pets.yaml\n"
        "  data/photos\n"
        "  pyproject.toml\n"
        "  tests/test_pets.py\n"
        "photos is copied to data/photos; the project reads the copy\n"
        "classification of 40 images of 2 classes, by their folders\n"
        "try:\n"
        "  cd pets\n"
        "  specflow train experiment=pets\n"
        "  pip install pytest\n"
        "  python -m pytest\n"
    )
    for path in written:
        copy = tmp_path / "pets/data/photos" / path
        assert copy.read_bytes() == (tmp_path / "photos" / path).read_bytes()
    data = experiment(tmp_path / "pets")["data"]
    assert (data["size"], data["channels"]) == ([6, 4], 1)
    config = tmp_path / "pets/conf/experiment/pets.yaml"
    one_device = "  - override /mesh: single\n  - _self_\n"
    text = config.read_text().replace("  - _self_\n", one_device)
    config.write_text(text.replace("train_steps: 300", "train_steps: 150"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    project_test = runpy.run_path(str(tmp_path / "pets/tests/test_pets.py"))
    project_test["test_the_experiment_learns_and_predicts"](tmp_path, monkeypatch)
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", "."], ["format", "--check", "."]):
        done = subprocess.run(
            [*ruff, *command], cwd=tmp_path / "pets", capture_output=True, check=False
        )
        assert done.returncode == 0, done.stdout


def test_sizes_colors_and_images_that_stay(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("specflow.scaffold.new_project._LARGEST_COPY", 100)
    for number, size in enumerate([(200, 300), (90, 80), (400, 120), (20, 30)] * 2):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        write_image(path, np.full((*size, 3), number))
    (tmp_path / "photos" / "a" / "bad.png").write_bytes(b"x")
    assert main(["new", "pets", "--from", "photos", "--format", "json"]) == 0
    root = str(tmp_path / "photos")
    size = sum(path.stat().st_size for path in (tmp_path / "photos").rglob("*.png"))
    assert json.loads(capsys.readouterr().out)["notes"] == [
        f"photos has {size >> 20} MiB and is not copied: the project reads {root}",
        "classification of 9 images of 2 classes, by their folders",
        "1 images cannot be read, and training refuses them: a/bad.png",
    ]
    data = experiment(tmp_path / "pets")["data"]
    assert data["root"] == root
    assert (data["size"], data["channels"]) == (64, 3)


@pytest.mark.parametrize(
    "case", ["no_folders", "one_class", "unreadable", "no_images", "labels"]
)
def test_bad_folders_write_nothing(case, tmp_path, monkeypatch, capsys, golden):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "photos"
    root.mkdir()
    if case == "no_folders":
        write_image(root / "1.png", np.ones((4, 4)))
    if case == "unreadable":
        for name in "aabbb":
            (root / name).mkdir(exist_ok=True)
            (root / name / f"{len(list(root.rglob('*')))}.png").write_bytes(b"x")
    if case in ("one_class", "labels"):
        write_folder(root, classes="ab"[: 1 + (case == "labels")], each=6)
    labels = ["--labels", "kind"] if case == "labels" else []
    assert main(["new", "pets", "--from", "photos", *labels]) == 2
    golden(f"new/images_{case}.txt", capsys.readouterr().err)
    assert not (tmp_path / "pets").exists()
