"""Every path that a user can write means the same folder: `~` as `os.path` has it.

Expected values are `os.path.expanduser`'s, and what a shell makes of the same words.
"""

import json
import os
import pkgutil
import re
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
import specflow.config
from specflow.compose import compose
from specflow.compose.inspect.section_docs import fields_about
from specflow.config.base import Config, UserPath
from specflow.config.run_config import RunConfig
from specflow.data import build_data
from specflow.diagnostics.errors import ConfigError
from specflow.lifecycle import WarmStartSettings
from specflow.lifecycle.evaluation_history import History
from specflow.lifecycle.warm_start import warm_values
from specflow.output import Checkpointer, existing_run, located, open_run
from specflow.runtime.filesystem import expanded

SPEAKS_OF_PATHS = re.compile(r"\b(folder|file|directory)\b", re.IGNORECASE)
NO_PATHS = {
    ("ExperimentConfig", "name"): "a part of the folder under runs/",
    ("TextConfig", "pattern"): "a glob",
    ("TextConfig", "max_bytes"): "a number",
    ("SweepConfig", "storage"): "a word or a URL",
    ("SweepConfig", "study"): "a name in the storage",
}
"""Fields that speak of files and are no path."""

(CHECK,) = UserPath.__metadata__


def sections():
    for module in pkgutil.iter_modules(specflow.config.__path__):
        import_module(f"specflow.config.{module.name}")
    found, left = {}, [Config]
    while left:
        section = left.pop()
        left += section.__subclasses__()
        if section.__module__.startswith("specflow.config."):
            found[section.__name__] = section
    return found.values()


def marks(annotation, metadata=()):
    """All that is said of a type, of its members and of theirs."""
    yield from metadata
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    if get_origin(annotation) in (Annotated, Union, UnionType, list, dict):
        for member in get_args(annotation):
            yield from marks(member)


def holds_text(annotation):
    members = get_args(annotation)
    return annotation is str or any(map(holds_text, members))


def test_every_field_whose_doc_mentions_a_file_is_a_path():
    paths, others = set(), set()
    for section in sections():
        about = fields_about(section)
        for name, field in section.model_fields.items():
            where = (section.__name__, name)
            if CHECK in marks(field.annotation, field.metadata):
                paths.add(where)
            elif SPEAKS_OF_PATHS.search(about.get(name, "")) and where not in NO_PATHS:
                if holds_text(field.annotation):
                    others.add(where)
    assert not others, "these fields are texts; of paths the type is UserPath"
    assert paths >= {
        ("OutputConfig", "dir"),
        ("TextConfig", "root"),
        ("NpzConfig", "train"),
        ("NpzConfig", "eval"),
        ("RunConfig", "model_dir"),
    }


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of this test's own, and another folder to stand in."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path / "home"
    assert os.listdir(tmp_path / "here") == [], "something went to a folder called ~"


def test_paths_are_expanded_once_as_by_the_system(home):
    for written in ("~", "~/a", "~root/a", "a", "a/~", "/a", ""):
        assert expanded(written) == Path(os.path.expanduser(written))
        assert expanded(expanded(written)) == expanded(written)
    assert expanded(Path("~/a")) == home / "a"
    literal = Path(os.getcwd(), "~a")
    assert expanded("./~a") == literal == expanded(expanded("./~a"))


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("output.dir='~nobody_here/x'", "output.dir"),
        ("data={name: npz, train: '~nobody_here/x', eval: b}", "data.train"),
        ("data={name: npz, train: a, eval: '~nobody_here/x'}", "data.eval"),
        ("data={name: text, root: '~nobody_here/x'}", "data.root"),
        ("run='~nobody_here/x'", "run"),
    ],
)
def test_an_unknown_user_is_reported_before_a_run_starts(line, where):
    with pytest.raises(ConfigError) as caught:
        compose([line])
    diagnostics = [
        diagnostic
        for diagnostic in caught.value.diagnostics
        if diagnostic.code == "home-unknown"
    ]
    assert [str(diagnostic) for diagnostic in diagnostics] == [
        f"{where}: '~nobody_here/x': there is no user nobody_here (override {line}). "
        "Expected a path. A file whose name begins with ~ is written "
        "'./~nobody_here/x'."
    ]


def test_an_unknown_user_is_reported_in_python():
    expected = "RunConfig.model_dir: '~nobody_here/x': there is no user nobody_here"
    with pytest.raises(ConfigError, match=expected):
        RunConfig(model_dir="~nobody_here/x")
    with pytest.raises(
        ConfigError, match="--config-dir: '~nobody_here/x': there is no"
    ):
        compose([], config_dirs=["~nobody_here/x"])


def test_a_missing_home_is_reported_with_a_hint(monkeypatch):
    import pwd

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: {}[uid])
    with pytest.raises(ConfigError, match=r"no home folder is known .* Set HOME, or"):
        expanded("~/x", "output.dir")


def test_a_config_keeps_paths_as_written(home):
    """It may go to another machine, where the same words mean another home."""
    made = compose(["output.dir='~/runs/x'"])
    assert made.config.output.dir == "~/runs/x"
    assert "dir: ~/runs/x" in made.yaml()


def test_data_config_folders_and_runs_resolve_in_the_home(home):
    arrays = {"x": np.ones((8, 2), np.float32), "labels": np.arange(8)}
    for name in ("a", "b"):
        np.savez(home / f"{name}.npz", **arrays)
    (home / "conf" / "data").mkdir(parents=True)
    (home / "conf" / "data" / "mine.yaml").write_text(
        "{name: npz, train: ~/a.npz, eval: ~/b.npz}"
    )
    own = ["data=mine", "output.dir='~/runs/x'"]
    made = compose(own, config_dirs=["~/conf"])
    assert len(build_data(made.config.data).train) == 8
    run = open_run(made.config.output.dir or "", made.yaml())
    run.close()
    assert run.path == home / "runs" / "x" == existing_run("~/runs/x").path
    again = compose(["run='~/runs/x'"])
    assert again.run == str(home / "runs" / "x")
    assert again.config.data == made.config.data


def test_checkpoints_histories_and_warm_starts_resolve_in_the_home(home):
    with Checkpointer("~/model/checkpoints") as checkpointer:
        assert checkpointer.directory == home / "model" / "checkpoints"
    (home / "model" / "checkpoints" / "3").mkdir(parents=True)
    for path in ("~/model", "~/model/checkpoints"):
        assert located(path) == (home / "model" / "checkpoints", None)
    assert located("~/model/checkpoints/3") == (home / "model" / "checkpoints", 3)
    History("~/model").add(1, {"loss": 0.5})
    row = (home / "model" / "eval" / "metrics.jsonl").read_text()
    assert json.loads(row)["loss"] == 0.5
    with pytest.raises(ConfigError, match=r"WarmStartSettings\.path: '~nobody_here/x'"):
        warm_values(WarmStartSettings("~nobody_here/x"), {"params": {}})


@pytest.mark.parametrize("way", ["argument", "config"])
def test_an_estimator_keeps_its_folder_when_the_working_directory_changes(
    home, monkeypatch, way
):
    """Checkpoints, evaluations, summaries and exports; the process moves meanwhile."""

    class Line(nnx.Module):
        def __init__(self, rngs=None):
            self.w = nnx.Param(jnp.zeros(2))

        def __call__(self, x):
            return x @ self.w[...]

    def model_fn(model, features, labels, mode):
        value = model(features["x"])
        if mode is sf.Mode.PREDICT:
            return sf.TPUEstimatorSpec(mode, {"value": value})
        loss = ((value - labels) ** 2).mean()
        return sf.TPUEstimatorSpec(mode, {"value": value}, loss, optax.sgd(0.1))

    given = {"model_dir": "~/m"} if way == "argument" else {}
    config = sf.RunConfig(
        save_checkpoints_steps=2, model_dir=None if given else "~/m", seed=0
    )
    estimator = sf.TPUEstimator(
        model_fn, model=Line, config=config, train_batch_size=8, **given
    )
    rows = {"x": np.ones((8, 2), np.float32)}, np.ones(8, np.float32)
    estimator.train(lambda: rows, steps=2)
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    estimator.evaluate(lambda: rows)
    estimator.export("~/m/export", input_fn=lambda: rows, platforms=("cpu",))
    assert not os.listdir(home / "elsewhere")
    assert {"checkpoints", "eval", "export"} <= set(os.listdir(home / "m"))
    (export,) = (home / "m" / "export").iterdir()
    assert sf.load_export(f"~/m/export/{export.name}", check=False).signatures


def test_a_model_dir_of_python_differs_from_a_folder_without_a_run(tmp_path):
    (tmp_path / "made" / "checkpoints" / "3").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"It was made in Python: .*model_dir="):
        compose([f"run={tmp_path}/made"])
    with pytest.raises(ConfigError, match=r"it has no config\.yaml") as caught:
        compose([f"run={tmp_path}"])
    assert "Python" not in str(caught.value)
