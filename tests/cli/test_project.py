"""The project file, on every command; `--config-dir` and `trust=` beside it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from specflow.cli.main import main
from specflow.diagnostics.errors import ConfigError
from specflow.runtime import project_file, run_projects
from tests import preloaded

PACKAGE = """
import jax
from flax import nnx

class Net(nnx.Module):
    def __init__(self, width: int, *, rngs):
        self.hidden = nnx.Linear(64, width, rngs=rngs)
        self.head = nnx.Linear(width, 10, rngs=rngs)

    def __call__(self, x):
        return self.head(jax.nn.relu(self.hidden(x.reshape(x.shape[0], -1))))
"""
MINE = """# @package _global_
defaults: [digits_mlp]
name: mine
model: {_target_: nets_of_mine.Net, width: 8}
loop: {train_steps: 2, eval_every: 0}
output: {reporters: []}
"""
FILE = 'config_dir = "own"\ntrust = ["nets_of_mine"]\n'


@pytest.fixture
def at(tmp_path, monkeypatch):
    """A project with configs and a package; changes into one of its folders."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(sys, "path", [*sys.path])
    home = tmp_path / "home"
    for name, text in {
        "specflow.toml": FILE,
        "own/experiment/mine.yaml": MINE,
        "nets_of_mine.py": PACKAGE,
        "deep/down/note": "",
    }.items():
        file = home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def go(place="."):
        monkeypatch.chdir(home / place)
        return home

    go()
    yield go
    sys.modules.pop("nets_of_mine", None)


RUN = ["experiment=mine", "output.dir=runs/one"]
ON_RUN = ["run=deep/../runs/one"]
COMMANDS = {
    "show": ["show", "experiment=mine"],
    "check": ["check", "experiment=mine"],
    "explain": ["explain", "model.width", "experiment=mine"],
    "diff": ["diff", "mine", "experiment=mine model.width=9"],
    "schema": ["schema", "mesh"],
    "completion": ["completion", "bash", "--line", "specflow show experiment=min"],
    "evaluate": ["evaluate", *ON_RUN],
    "checkpoints": ["checkpoints", *ON_RUN],
    "predict": ["predict", "--keys=class", *ON_RUN],
    "export": ["export", "--platforms=cpu", "--output=exported", *ON_RUN],
}


def test_every_command_takes_both_and_has_them_from_the_file(at, capsys):
    at()
    assert main(["train", *RUN]) == 0
    typed = ["--config-dir=own", "trust=nets_of_mine"]
    for name, words in COMMANDS.items():
        status = 1 if name == "diff" else 0
        capsys.readouterr()
        assert main(words) == status, name
        by_file = capsys.readouterr().out
        os.rename("specflow.toml", "aside")
        assert main([words[0], *typed, *words[1:]]) == status, name
        by_hand = capsys.readouterr().out
        os.rename("aside", "specflow.toml")
        if name in ("diff", "explain", "schema", "completion"):
            assert by_file == by_hand


def test_launch_passes_both_on(at, monkeypatch):
    at()
    handed = []
    monkeypatch.setattr(
        "specflow.distributed.launch.launch",
        lambda words, **_: handed.extend(words) or 0,
    )
    words = ["--processes=2", "--config-dir=own", "trust=nets_of_mine"]
    assert main(["launch", *words, "--", "train", "experiment=mine"]) == 0
    assert handed == [
        *("train", "--config-dir=own", "trust=nets_of_mine", "experiment=mine"),
    ]


def test_a_run_evaluates_from_any_folder(at, tmp_path, capsys, monkeypatch):
    home = at("deep/down")
    assert main(["train", "experiment=mine", f"output.dir={home}/runs/one"]) == 0
    made = json.loads((home / "runs/one/result.json").read_text())["step"]
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("nets_of_mine")
    sys.path.remove(str(home))
    assert main(["evaluate", "run='home/runs/one'"]) == 0
    assert f"step      {made}" in capsys.readouterr().out


def test_a_run_whose_package_was_in_the_working_directory_evaluates_from_any_folder(
    at, tmp_path, capsys, monkeypatch
):
    home = at()
    (home / "specflow.toml").unlink()
    typed = ["--config-dir=own", "trust=nets_of_mine"]
    assert main(["train", *typed, *RUN]) == 0
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("nets_of_mine")
    sys.path.remove(str(home))
    capsys.readouterr()
    assert main(["evaluate", "run=home/runs/one"]) == 2
    assert "error[target-untrusted] model._target_" in capsys.readouterr().err
    assert main(["evaluate", "run=home/runs/one", "trust=nets_of_mine"]) == 0


def test_a_job_of_a_sweep_and_a_process_of_its_own_find_the_package(at, tmp_path):
    """From a folder below, in a new process."""
    home = at("deep/down")
    words = ["-m", "experiment=mine", "seed=1,2", f"hydra.sweep.dir={tmp_path}/jobs"]
    root = str(Path(project_file.__file__).parents[1])
    done = preloaded.run(
        [sys.executable, "-m", "specflow", "train", *words],
        env={**os.environ, "PYTHONPATH": root},
    )
    assert done.returncode == 0, done.stderr
    assert run_projects.folder_of(tmp_path / "jobs/1") == home


def test_the_command_line_wins(at, capsys):
    home = at()
    (home / "other/experiment").mkdir(parents=True)
    (home / "other/experiment/mine.yaml").write_text(
        MINE.replace("width: 8", "width: 5")
    )
    assert main(["show", "--config-dir=other", "experiment=mine"]) == 0
    shown = capsys.readouterr().out
    assert "model.width=5 " in shown
    assert "trust=[nets_of_mine]" in shown
    assert shown.splitlines()[0].endswith("# specflow.toml:2")
    assert main(["show", "experiment=mine", "trust=[]"]) == 2
    assert "error[target-untrusted] model._target_" in capsys.readouterr().err


def test_the_nearest_folder_counts_and_specflow_toml_before_pyproject(at):
    home = at()
    (home / "pyproject.toml").write_text('[tool.specflow]\ntrust = ["other"]\n')
    assert project_file.find(home / "deep/down").trust == ("nets_of_mine",)
    (home / "specflow.toml").unlink()
    assert project_file.find(home / "deep/down").trust == ("other",)
    (home / "deep/pyproject.toml").write_text("[project]\nname = 'specflow-user'\n")
    assert project_file.find(home / "deep/down").folder == home
    (home / "deep/pyproject.toml").write_text("tool.specflow.trust = 'third'\n")
    assert project_file.find(home / "deep/down").trust == ("third",)
    assert project_file.find(home.parent) is None


MALFORMED = {
    "trust = [\n'a'\nb = 1\n": "specflow.toml:3",
    "trust = ['a'\n": "specflow.toml:1",
    "\nconfig_dirs = 'own'\n": "specflow.toml:2",
    "config_dir = 'own'\ntrust = [1]\n": "specflow.toml:2",
    "config_dir = 'own'\ntrust = ['a b']\n": "specflow.toml:2",
    "# no folder\n'config_dir' = ['own', 'gone']\n": "specflow.toml:2",
    "trust = true\n": "specflow.toml:1",
}


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_file_is_one_error_with_file_and_line(text, at, capsys):
    (at() / "specflow.toml").write_text(text)
    assert main(["show", "experiment=digits"]) == 2
    message = capsys.readouterr().err.splitlines()
    assert len(message) == 1
    assert message[0].startswith("error[project-file] ")
    assert f"({MALFORMED[text]})" in message[0]
    line = ["completion", "bash", "--line", "specflow show mesh=fs"]
    assert main(line) == 0
    assert capsys.readouterr().out.split() == ["mesh=fsdp", "mesh=fsdp_tensor"]


@pytest.mark.parametrize(
    "text",
    [
        "[tool.specflow]\ntrust = 'mine'",
        "[ tool . \"specflow\" ]\ntrust = 'mine'",
        "[tool]\nspecflow.trust = 'mine'",
        "[ 'tool' ]  # all\n\n[tool.ruff]\n[tool.specflow]\ntrust = 'mine'",
        "tool.specflow.trust = 'mine'",
        "tool = {ruff = {}, specflow = {trust = 'mine'}}",
    ],
)
def test_the_table_in_pyproject_may_be_written_as_toml_allows(tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text)
    assert project_file.find(tmp_path).trust == ("mine",)


def test_the_line_of_a_table_in_pyproject(at):
    home = at()
    (home / "specflow.toml").unlink()
    text = "[project]\ntrust = 1\n\n[tool.specflow]\nconfig_dir = 'own'\ntrust = 1\n"
    (home / "pyproject.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"trust: got 1 \(pyproject.toml:6\)"):
        project_file.find(home)


def test_tomllib_is_loaded_only_where_there_is_such_a_file(at, tmp_path):
    code = "import sys; from specflow.cli.main import main; main(['schema', 'mesh'])\n"
    code += "print('tomllib' in sys.modules, 'jax' in sys.modules)"
    root = str(Path(project_file.__file__).parents[1])
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["specflow-jax"]\n[tool.ruff]\n'
        "[project.scripts]\nspecflow = 'own:main'\n"
    )
    for folder, loaded in ((at(), True), (tmp_path, False)):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": root},
            capture_output=True,
            text=True,
        )
        assert done.stdout.splitlines()[-1] == f"{loaded} False"


def test_a_script_for_a_shell_keeps_the_folders_that_were_typed(at, capsys):
    home = at()
    assert main(["completion", "bash", "--config-dir=own"]) == 0
    asks = f"completion bash --config-dir={home}/own --line"
    assert asks in capsys.readouterr().out
    assert main(["completion", "bash"]) == 0
    assert "completion bash --line" in capsys.readouterr().out
