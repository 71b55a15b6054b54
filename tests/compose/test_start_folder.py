"""Relative paths of a config count from the folder in which the command was started.

Hydra's own `to_absolute_path` is the ground truth in jobs that change their folder, and
`os.path` elsewhere.
"""

import json
import os
from pathlib import Path

import pytest
from hydra.utils import to_absolute_path

from specflow.compose import compose
from specflow.compose.check.locate import placed
from specflow.config.base import Config, UserPath
from specflow.data import build_data
from specflow.diagnostics.errors import DataError
from specflow.output.run.config_changes import changes
from specflow.output.run.run_directory import open_run
from specflow.sweep.hydra_jobs import sweep

NPZ = "data={name: npz, train: in/a.npz, eval: '~/b.npz'}"
WARM = "warm_start={path: base, vocabularies: {k: {new: n.txt, old: /o.txt}}}"


@pytest.fixture
def elsewhere(project, monkeypatch):
    """A run with relative paths, recorded in `here`; the process is in `there`."""
    here = project({"here/in/a.npz": "", "there/x": ""}) / "here"
    monkeypatch.chdir(here)
    open_run("run", compose([NPZ, WARM]).yaml()).close()
    monkeypatch.chdir(here.parent / "there")
    return here


def test_jobs_that_change_their_folder_have_the_paths_that_hydra_gives(project):
    project({})
    seen = []

    def task(composed):
        data, warm = composed.config.data, composed.config.warm_start
        words = warm.vocabularies["k"]
        seen.append((data.train, warm.path, words.new))
        seen.append(tuple(map(to_absolute_path, ("in/a.npz", "base", "n.txt"))))
        seen.append((data.eval, words.old))
        return {}

    words = [NPZ, WARM, "seed=1,2", "hydra.job.chdir=true", "output.dir=o"]
    assert [one.error for one in sweep(words, task)] == ["", ""]
    for given, expected, whole in (seen[:3], seen[3:]):
        assert given == expected
        assert whole == ("~/b.npz", "/o.txt")
    assert seen[0][0] == str(Path.cwd() / "in/a.npz")


def test_jobs_that_stay_keep_their_paths_as_they_are_written(project):
    project({})
    (outcome,) = sweep(["seed=1", NPZ], lambda made: {"train": made.config.data.train})
    assert outcome.result == {"train": "in/a.npz"}


def test_a_run_keeps_its_paths_as_they_are_written_and_says_from_where(elsewhere):
    run = elsewhere / "run"
    assert "train: in/a.npz" in (run / "config.yaml").read_text()
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["started_in"] == str(elsewhere)


def test_paths_of_a_run_are_resolved_from_the_folder_of_its_start(elsewhere):
    config = compose(["run=../here/run"]).config
    assert config.data.train == str(elsewhere / "in/a.npz")
    assert config.data.eval == "~/b.npz"


def test_paths_of_the_command_line_are_resolved_from_the_working_directory(elsewhere):
    config = compose(["run=../here/run", "data.train=in/a.npz"]).config
    assert config.data.train == "in/a.npz"


def test_paths_of_a_moved_project_are_resolved_from_the_working_directory(elsewhere):
    (elsewhere / "in/a.npz").unlink()
    composed = compose(["run=../here/run"])
    assert composed.config.data.train == "in/a.npz"
    with pytest.raises(DataError) as caught:
        build_data(composed.config.data)
    diagnostic = caught.value.diagnostics[0]
    assert placed(diagnostic, composed).origin.startswith("../here/run/config.yaml:")
    assert placed(diagnostic, composed).hint == (
        f"A relative path of a run is resolved from {elsewhere}, where it was started, "
        f"or from the working directory, {Path.cwd()}; it exists in neither. "
        "Override it: data.train=..."
    )


def test_paths_of_a_run_without_a_recorded_folder_are_unchanged(elsewhere):
    for text in ("{}", "no JSON", '{"started_in": 3}', '{"started_in": "here"}'):
        (elsewhere / "run/manifest.json").write_text(text)
        assert compose(["run=../here/run"]).config.data.train == "in/a.npz"


def test_a_name_is_not_resolved_as_a_path(project, monkeypatch):
    folder = project({"here/stdlib/x.py": ""}) / "here"
    monkeypatch.chdir(folder)
    open_run("run", compose(["data={name: text}"]).yaml()).close()
    monkeypatch.chdir(folder.parent)
    assert compose(["run=here/run"]).config.data.root == "stdlib"


def test_paths_in_sections_of_plugins_are_resolved_alike(monkeypatch, tmp_path):
    """At any depth, in lists and mappings: what counts is the type of the field."""
    from specflow.compose.provenance import Origins
    from specflow.compose.start_folder import from_start

    class Inner(Config):
        one: UserPath | None = None
        text: str = "a"

    class Outer(Config):
        inner: Inner
        several: list[UserPath]
        named: dict[str, UserPath] = {}

    monkeypatch.chdir(tmp_path)
    config = Outer(
        inner=Inner(one="a", text="t"), several=["a", "/b"], named={"n": "../c"}
    )
    moved = from_start(config, Origins(), folder="/start/here")
    assert moved == Outer(
        inner=Inner(one="/start/here/a", text="t"),
        several=["/start/here/a", "/b"],
        named={"n": "/start/c"},
    )
    assert from_start(config, Origins(), folder=os.getcwd()) is config


def test_a_relative_path_equals_the_absolute_one():
    def differ(old, new):
        pair = ({"data": {"train": old}}, {"data": {"train": new}})
        return [change.key for change in changes(*pair, folders=("/a", "/b"))]

    assert differ("x/t.npz", "/a/x/t.npz") == differ("/b/t.npz", "t.npz") == []
    assert differ("t.npz", "/b/t.npz") == differ("/a/t.npz", "t.npz") == ["data.train"]
    # Both relative: a project may have been moved, run and all.
    assert differ("t.npz", "t.npz") == []
    assert differ("t.npz", "u.npz") == ["data.train"]
