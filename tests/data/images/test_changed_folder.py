"""A run whose folder of images has changed names the images."""

import dataclasses
import json

import pytest

from specflow.commands.run_data import data_of_run
from specflow.compose import compose
from specflow.config.sections.images import ImagesConfig
from specflow.data import DataFiles, build_data
from specflow.diagnostics.errors import DataError
from specflow.estimator.data_lock import naming_pictures, write_files
from specflow.output import RunDirectory, write_text
from tests.data.images.image_files import write_folder


def test_images_that_have_changed_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "photos", each=6)
    names = sorted(
        path.relative_to(tmp_path).as_posix()
        for path in (tmp_path / "photos").rglob("*.*")
    )
    config = ImagesConfig(root="photos")
    data = build_data(config)
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    write_files(run, data)
    known = DataFiles.from_json(RunDirectory.load_json(run.files), where="run")
    assert not known.changes(build_data(config).files)
    first, second, third, last = (tmp_path / name for name in (*names[:3], names[-1]))
    content = first.read_bytes()
    write_folder(tmp_path / "other", each=7)
    new = sorted((tmp_path / "other").rglob("*.*"))[-1].read_bytes() + b" "
    first.write_bytes(new)
    changes = known.changes(build_data(config).files)
    assert [each.where for each in changes] == [names[0]]
    with pytest.raises(DataError) as caught:
        build_data(config, columns=data.columns, same_files=True)
    assert [each.where for each in caught.value.diagnostics] == ["photos"]
    with pytest.raises(DataError) as renamed, naming_pictures(run):
        raise caught.value
    (named,) = renamed.value.diagnostics
    assert (named.where, bool(named.hint)) == (names[0], True)
    # Contents that the run knows, at other places.
    first.write_bytes(content)
    second.write_bytes(third.read_bytes())
    changes = known.changes(build_data(config).files)
    assert [each.where for each in changes] == [names[1]]
    # One is gone beside a copy of another one.
    last.unlink()
    second.write_bytes(third.read_bytes())
    (change,) = known.changes(build_data(config).files)
    problem = "lacks 2 pictures that the run was trained on"
    assert (change.where, change.problem) == ("photos", problem)


def test_images_that_are_gone_are_counted_and_placed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "photos", each=6)
    config = ImagesConfig(root="photos")
    data = build_data(config)
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    write_files(run, data)

    def changes():
        with pytest.raises(DataError) as caught, naming_pictures(run):
            build_data(config, columns=data.columns, same_files=True)
        first, *others = caught.value.diagnostics
        assert first.hint
        assert not any(each.hint for each in others)
        return [f"{each.where} {each.problem}" for each in (first, *others)]

    lost = "photos lacks {} that the run was trained on"
    (tmp_path / "photos/cat/03.png").unlink()
    one = "1 between photos/cat/02.png and photos/cat/04.png"
    assert changes() == [f"{lost.format('1 picture')}: {one}"]
    for name in ("cat/00", "cat/01", "dog/05", "dog/02"):
        (tmp_path / f"photos/{name}.png").unlink()
    places = (
        f"2 before photos/cat/02.png, {one}, "
        "1 between photos/dog/01.png and photos/dog/03.png, "
        "others at 1 more"
    )
    assert changes() == [f"{lost.format('5 pictures')}: {places}"]
    # Beside another one that has changed.
    other = tmp_path / "photos/dog/00.png"
    other.write_bytes(other.read_bytes() + b" ")
    assert changes() == [
        lost.format("5 pictures"),
        "photos/dog/00.png is new, or has changed since the run was trained",
    ]


def test_the_data_of_a_run_names_pictures_that_have_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "photos", each=6)
    composed = compose(["experiment=images", "data.root=photos"])
    data = build_data(composed.config.data)
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    write_text(run.config, composed.yaml())
    write_text(run.columns, json.dumps(data.columns.to_json()))
    write_files(run, data)
    (tmp_path / "photos/cat/03.png").write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        data_of_run(dataclasses.replace(composed, run="run"))
    assert [each.where for each in caught.value.diagnostics] == ["photos/cat/03.png"]
