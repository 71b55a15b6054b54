"""The run directory: created once, resumed, and never overwritten."""

import copy
import datetime
import errno
import json
import os
import signal
import subprocess
import sys
import warnings
from typing import get_args

import numpy as np
import pytest
import yaml

from specflow.compose import compose
from specflow.config.base import Component
from specflow.config.plugins import components
from specflow.config.sections.optimizer import DecayConfig, ScheduleConfig
from specflow.diagnostics.errors import ConfigError, OutputError
from specflow.output import default_run_directory, existing_run, open_run
from specflow.output.run.config_changes import Change, changes
from specflow.runtime import entry_points

CONFIG = """\
name: digits
seed: 0
optimizer:
  lr: 0.001
  schedule: {name: constant}
loop: {train_steps: 100, log_every: 10}
output: {dir: null}
"""


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_new_run_has_config_origins_and_manifest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # Outside of any repository.
    directory = tmp_path / "runs" / "one"
    with open_run(
        directory,
        CONFIG,
        origins={"seed": "config.yaml:2"},
        argv=["specflow", "train", "optimizer.lr=1e-3"],
        overrides=["optimizer.lr=1e-3"],
    ) as run:
        assert not run.resumed
        run.add_to_manifest(backend={"platform": "cpu", "devices": 8})
        run.add_to_manifest(program="abc123")
    assert names(directory) == [".lock", "config.yaml", "manifest.json", "origins.json"]
    assert run.config.read_text() == CONFIG
    assert json.loads(run.origins.read_text()) == {"seed": "config.yaml:2"}
    manifest = json.loads(run.manifest.read_text())
    assert list(manifest) == [
        "started",
        "argv",
        "overrides",
        "started_in",
        "python",
        "implementation",
        "platform",
        "packages",
        "files",
        "backend",
        "program",
        "digest",
    ]
    assert manifest["argv"] == ["specflow", "train", "optimizer.lr=1e-3"]
    assert manifest["packages"]["numpy"] == np.__version__
    assert manifest["backend"] == {"platform": "cpu", "devices": 8}
    assert datetime.datetime.fromisoformat(manifest["started"]).tzinfo is not None


def test_the_config_of_a_run_is_read_as_plain_values(tmp_path):
    open_run(tmp_path, CONFIG).close()
    config = existing_run(tmp_path).load_config()
    assert config["optimizer"] == {"lr": 0.001, "schedule": {"name": "constant"}}
    (tmp_path / "config.yaml").write_text("a: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ConfigError, match="is not valid YAML: could not determine a"):
        existing_run(tmp_path).load_config()


def test_the_result_is_valid_json_whatever_the_metrics(tmp_path):
    with open_run(tmp_path, CONFIG) as run:
        assert not run.result.exists()
        evaluation = {
            "accuracy": np.float32(0.5),
            "auc": float("nan"),
            "confusion": np.array([[3, 1], [0, 4]]),
        }
        run.write_result(100, evaluation=evaluation, timing={"train": 1.5})
    result = json.loads(run.result.read_text())
    assert [*result][-2:] == ["files", "digest"]
    assert {key: result[key] for key in [*result][:-2]} == {
        "step": 100,
        "eval": {"accuracy": 0.5, "auc": None, "confusion": [[3, 1], [0, 4]]},
        "timing": {"train": 1.5},
    }


def test_a_resumed_run_keeps_every_earlier_version(tmp_path):
    with open_run(tmp_path, CONFIG, argv=["first"]) as run:
        run.write_result(100, evaluation={}, timing={})
    longer = CONFIG.replace("train_steps: 100", "train_steps: 200")
    with open_run(tmp_path, longer, argv=["second"]) as run:
        assert run.resumed
        assert not run.result.exists()
    open_run(tmp_path, longer, argv=["third"]).close()
    assert names(tmp_path) == [
        ".lock",
        "config.1.yaml",
        "config.yaml",
        "manifest.1.json",
        "manifest.2.json",
        "manifest.json",
        "origins.1.json",
        "origins.2.json",
        "origins.json",
        "result.1.json",
    ]
    assert (tmp_path / "config.1.yaml").read_text() == CONFIG
    assert run.config.read_text() == longer
    argvs = ["manifest.1.json", "manifest.2.json", "manifest.json"]
    assert [json.loads((tmp_path / name).read_text())["argv"] for name in argvs] == [
        ["first"],
        ["second"],
        ["third"],
    ]


# -- another config


def test_another_config_is_refused_with_every_key_that_differs(tmp_path):
    open_run(tmp_path, CONFIG).close()
    other = (
        CONFIG.replace("lr: 0.001", "lr: 0.01")
        .replace("seed: 0", "seed: 1\nextra: [1, 2]")
        .replace("log_every: 10", "log_every: 20")
    )
    origins = {"optimizer.lr": "command line"}
    with pytest.raises(ConfigError) as error:
        open_run(tmp_path, other, origins=origins)
    assert str(error.value) == (
        f"output.dir: '{tmp_path}' holds a run of another config: 3 values would "
        "change what is trained. Choose another output.dir, or resume with the new "
        "values: output.on_change=accept.\n"
        "seed: was 0, is 1.\n"
        "optimizer.lr: was 0.001, is 0.01 (command line).\n"
        "extra: was absent, is [1, 2]."
    )
    assert error.value.exit_code == 2
    assert (tmp_path / "config.yaml").read_text() == CONFIG
    assert "config.1.yaml" not in names(tmp_path)
    # The refusal has let go of the directory, and the new values can be accepted.
    with open_run(tmp_path, other, accept_changes=True) as run:
        assert run.config.read_text() == other
    assert (tmp_path / "config.1.yaml").read_text() == CONFIG


@pytest.mark.parametrize(
    "key",
    [
        "name",
        "output.dir",
        "output.checkpoint.keep",
        "mesh.axes.data",
        "loop.train_steps",
        "loop.eval_every",
        "loop.eval_steps",
        "loop.eval_batch_size",
        "loop.log_every",
        "loop.iterations_per_loop",
        "loop.early_stopping",
        "loop.early_stopping.patience_steps",
        "loop.eval_loss",
        "spec.eval_metrics.accuracy.name",
        "spec.export_outputs",
    ],
)
def test_keys_that_do_not_change_training_may_differ(key):
    assert changes(nested(key, 1), nested(key, 2)) == []
    assert changes({}, nested(key, 2)) == []


@pytest.mark.parametrize(
    "key", ["seed", "loop.batch_size", "optimizer.lr", "model.width", "data.shuffle"]
)
def test_keys_that_change_training_may_not_differ(key):
    assert changes(nested(key, 1), nested(key, None)) == [Change(key, "1", "null")]
    assert changes({}, nested(key, False)) == [Change(key, "absent", "false")]


def nested(key, value):
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


@pytest.mark.parametrize(
    ("schedule", "counts"),
    [
        ({"name": "constant"}, False),
        ({"name": "cosine", "decay_steps": 100}, False),
        ({"name": "cosine", "decay_steps": None}, True),
        ({"name": "linear", "decay_steps": None}, True),
        ({"name": "linear"}, True),
        ({"name": "polynomial", "decay_steps": 100}, False),
        ({"name": "inverse_sqrt", "warmup_steps": 10}, False),
        ({"name": "constant", "warmup": 0.1}, True),
        ({"name": "inverse_sqrt", "warmup": 0.1}, True),
        ({"name": "cosine", "decay_steps": 100, "warmup": 0.1}, True),
        ({"name": "exponential", "every": 10}, False),
        ({"name": "piecewise", "factors": {"60": 0.1}}, False),
        ({"name": "gone", "decay_steps": 100}, True),
        ({"_target_": "optax.constant_schedule", "value": 0.1}, False),
    ],
)
def test_train_steps_may_not_differ_if_the_schedule_ends_there(schedule, counts):
    old = {"optimizer": {"schedule": schedule}, "loop": {"train_steps": 100}}
    new = {"optimizer": {"schedule": schedule}, "loop": {"train_steps": 200}}
    found = changes(old, new)
    assert found == ([Change("loop.train_steps", "100", "200")] if counts else [])


def decays():
    """The name of every schedule that is a `DecayConfig`."""
    kinds = get_args(ScheduleConfig)[1].members
    return [name for name in kinds if issubclass(kinds[name], DecayConfig)]


@pytest.mark.parametrize("name", decays())
@pytest.mark.parametrize("place", ["schedule", "parts.b.optimizer.schedule"])
def test_train_steps_may_not_differ_for_any_decay(place, name):
    """As the field documents: "null: loop.train_steps"; also in nested parts."""
    inside = f"optimizer.parts.a.optimizer.{place}" if "." in place else place
    key = inside if inside.startswith("optimizer.") else f"optimizer.{inside}"

    def config(steps, **fields):
        schedule = {"name": name, **fields}
        return {**nested(key, schedule), "loop": {"train_steps": steps}}

    assert changes(config(40), config(80)) == [Change("loop.train_steps", "40", "80")]
    fixed = {"decay_steps": 90}
    assert changes(config(40, **fixed), config(80, **fixed)) == []
    # One of the two is enough.
    found = [change.key for change in changes(config(40, **fixed), config(80))]
    assert found == [f"{key}.decay_steps", "loop.train_steps"]


@pytest.mark.parametrize("takes", [True, False])
def test_train_steps_may_not_differ_for_a_plugin_that_takes_them(monkeypatch, takes):
    class Mine(Component):
        name: str = "mine"
        build = staticmethod((lambda train_steps: None) if takes else (lambda: None))

    monkeypatch.setattr(entry_points, "plugin", lambda group, name: Mine)
    monkeypatch.setattr(components, "component", lambda found, **_: found)
    for key in ("optimizer", "optimizer.schedule", "optimizer.parts.a.optimizer"):
        old, new = (
            {**nested(key, {"name": "mine"}), "loop": {"train_steps": steps}}
            for steps in (40, 80)
        )
        assert bool(changes(old, new)) is takes


def test_there_are_schedules_that_decay():
    assert {"cosine", "linear", "polynomial", "stable"} <= {*decays()}


def test_the_spelling_of_a_number_is_no_change(tmp_path):
    open_run(tmp_path, CONFIG).close()
    open_run(tmp_path, CONFIG.replace("0.001", "1.0e-3")).close()


# -- directories that are no runs


def test_a_directory_with_unrelated_files_is_refused(tmp_path):
    for name in ("thesis.tex", "b", "c", "d"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError) as error:
        open_run(tmp_path, CONFIG)
    assert str(error.value) == (
        f"output.dir: '{tmp_path}' is not empty and holds no run (b, c, d, ...). "
        "Expected a new or empty directory, or one of a run. Choose another output.dir."
    )
    assert names(tmp_path) == ["b", "c", "d", "thesis.tex"]


def test_a_file_is_refused_as_a_run_directory(tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(ConfigError) as error:
        open_run(path, CONFIG)
    assert str(error.value) == (
        f"output.dir: '{path}' is a file. Expected a directory. "
        "Choose another output.dir."
    )
    with pytest.raises(ConfigError) as error:
        open_run(path / "deep/run", CONFIG)
    assert str(error.value) == (
        f"output.dir: '{path}/deep/run' is inside '{path}', which is a file. Expected "
        "a directory. Choose another output.dir."
    )
    assert path.read_text() == "mine"


def test_a_directory_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError) as empty:
        existing_run(tmp_path)
    with pytest.raises(ConfigError) as absent:
        existing_run(tmp_path / "none")
    rest = (
        "Expected a run directory, with its config.yaml. Give the output.dir of a run, "
        "for example run=runs/digits/..."
    )
    assert str(empty.value) == f"run: '{tmp_path}' holds no run. {rest}"
    assert str(absent.value) == f"run: '{tmp_path}/none' is no directory. {rest}"
    assert not (tmp_path / "none").exists()


def test_a_run_directory_that_cannot_be_created_is_named():
    with pytest.raises(OutputError) as error:
        open_run("/proc/run", CONFIG)  # Whose folders the system alone makes.
    assert str(error.value) == (
        "/proc/run: cannot be written: No such file or directory. Free disk space "
        "or fix the permissions, or choose another output.dir; what was written before "
        "is unchanged."
    )


def test_a_run_killed_before_its_config_was_written_starts_anew(tmp_path):
    (tmp_path / ".lock").write_text("1\n")
    (tmp_path / ".config.yaml.1.tmp").write_text("na")
    with open_run(tmp_path, CONFIG) as run:
        assert not run.resumed


# -- two at once


def test_two_processes_cannot_write_one_run_directory(tmp_path):
    script = (
        "import sys\n"
        "from specflow.diagnostics.errors import OutputError\n"
        "from specflow.output import open_run\n"
        "try:\n"
        "    open_run(sys.argv[1], sys.argv[2])\n"
        "except OutputError as error:\n"
        "    print(error)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path), CONFIG]
    with open_run(tmp_path, CONFIG):
        output = subprocess.run(command, check=True, capture_output=True, text=True)
    assert output.stdout == (
        f"{tmp_path}: process {os.getpid()} is writing this run directory. "
        "Wait for it or end it, or choose another output.dir.\n"
    )
    output = subprocess.run(command, check=True, capture_output=True, text=True)
    assert (output.stdout, output.stderr) == ("", "")


def test_a_lock_of_a_killed_process_does_not_block(tmp_path):
    script = (
        "import os, signal, sys\n"
        "from specflow.output import open_run\n"
        "run = open_run(sys.argv[1], sys.argv[2])\n"
        "print(os.getpid(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path), CONFIG]
    killed = subprocess.run(command, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / ".lock").read_text() == killed.stdout
    with open_run(tmp_path, CONFIG) as run:
        assert run.resumed
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_run_continues_on_a_file_system_without_locks(tmp_path, monkeypatch, number):
    """As NFS mounted with `nolock`: simulated at the system call."""

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    with warnings.catch_warnings(action="error"), open_run(tmp_path, CONFIG) as run:
        assert run.config.exists()


def test_a_run_can_be_read_while_it_is_written(tmp_path):
    with open_run(tmp_path, CONFIG):
        assert existing_run(tmp_path).load_config()["seed"] == 0


def test_runs_of_one_second_have_directories_of_their_own(tmp_path):
    now = datetime.datetime(2026, 3, 1, 9, 5, 7)
    paths = [default_run_directory("digits", root=tmp_path, now=now) for _ in range(3)]
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "digits/2026-03-01_09-05-07",
        "digits/2026-03-01_09-05-07_2",
        "digits/2026-03-01_09-05-07_3",
    ]
    open_run(paths[1], CONFIG).close()


def test_a_failed_write_leaves_the_earlier_file(tmp_path, monkeypatch):
    """The disk fills while the result is written: simulated at fsync."""
    with open_run(tmp_path, CONFIG) as run:
        run.write_result(1, evaluation={"a": 1.0}, timing={})
        before = run.result.read_text()

        def full(descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OutputError, match=r"result.json: cannot be written: No sp"):
            run.write_result(2, evaluation={"a": 2.0}, timing={})
    assert run.result.read_text() == before
    assert not list(tmp_path.glob("*.tmp"))


def test_a_default_that_an_earlier_version_did_not_write_is_no_change():
    config = yaml.safe_load(compose(["experiment=digits_mlp"]).yaml())
    earlier = copy.deepcopy(config)
    # Keys of later versions, at any depth.
    del earlier["spec"]["mix"], earlier["loop"]["micro_steps"]
    assert changes(earlier, config) == []
    config["loop"]["micro_steps"] = 2
    assert changes(earlier, config) == [Change("loop.micro_steps", "absent", "2")]
    # A config that is none now has no defaults.
    earlier["model"]["gone"] = 1
    assert {change.key for change in changes(earlier, config)} == {
        *("model.gone", "spec.mix", "loop.micro_steps")
    }
