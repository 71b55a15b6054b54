"""The command line: light imports, help, diagnostics and exit statuses."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from specflow import __main__
from specflow.cli import train_commands
from specflow.cli.command import Command
from specflow.cli.command_table import COMMANDS
from specflow.cli.main import main
from specflow.diagnostics.errors import (
    CheckpointError,
    Diagnostic,
    NanLossDuringTrainingError,
    OutputError,
)

HEAVY = {"jax", "flax", "optax", "orbax", "grain", "numpy"}
LIGHT = HEAVY | {"hydra", "pydantic", "omegaconf", "yaml"}
HELP = LIGHT | {"json", "pathlib", "socket", "tomllib"}
ROOT = Path(__file__).parents[2]


def loaded(words, cwd):
    """Exit status of a command in a fresh process, and the modules that it loaded."""
    script = (
        "import sys\n"
        "from specflow.cli.main import main\n"
        f"status = main({words!r})\n"
        "print('\\n' + ' '.join({name.split('.')[0] for name in sys.modules}))\n"
        "sys.exit(status)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=cwd
    )
    return done.returncode, set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("words", "status", "kept_out"),
    [
        (["--help"], 0, HELP),
        (["train", "--help"], 0, HELP),
        (["--version"], 0, LIGHT),
        (["trian"], 2, LIGHT),
        (["show", "experiment=digits"], 0, HEAVY),
        (["train", "experiment=digits", "--cfg", "job"], 0, HEAVY),
        (["train", "experiment=digits", "optimizer.lr=fast"], 2, HEAVY),
        (["train", "experiment=digts"], 2, HEAVY),
        (["train", "-m", "optimizer.lr=1e-3,fast"], 2, HEAVY),
        (["evaluate", "run=nowhere"], 2, HEAVY),
    ],
)
def test_commands_import_no_heavy_package(
    words, status, kept_out, tmp_path, monkeypatch
):
    root = str(pytest.importorskip("specflow").__path__[0]).rsplit("/", 1)[0]
    monkeypatch.setenv("PYTHONPATH", root)
    ended, modules = loaded(words, tmp_path)
    assert ended == status
    assert modules & kept_out == set()


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for name in ("train", "evaluate", "predict", "check", "show"):
        assert f"\n  {name} " in printed
    assert main([]) == 0
    assert capsys.readouterr().out == printed


def test_options_may_be_anywhere_among_overrides(monkeypatch):
    seen = []
    monkeypatch.setattr(train_commands, "_sweep", lambda given: seen.append(given) or 0)
    main(["train", "seed=1,2", "-m", "mesh=data", "--config-dir", "a", "~loop.x"])
    main(["train", "--config-dir=a", "seed=1,2", "mesh=data", "~loop.x", "-m"])
    first, second = (vars(given) for given in seen)
    assert first == second
    assert first["overrides"] == ["seed=1,2", "mesh=data", "~loop.x"]


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_commands_on_a_run_need_a_run(command, capsys):
    assert main([command, "mesh=single"]) == 2
    assert capsys.readouterr().err == (
        "error[missing] run: is missing (command line). "
        "Expected run=DIR, the directory of a finished or stopped run.\n"
    )


def test_a_run_directory_without_its_key_is_recognised(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "a").mkdir(parents=True)
    assert main(["evaluate", "runs/a"]) == 2
    assert capsys.readouterr().err == (
        "error[missing] run: is missing (command line). Expected run=DIR, the "
        "directory of a finished or stopped run. Did you mean run=runs/a?\n"
    )


def raising(error):
    def run(_):
        raise error

    return Command(run, "fails", "specflow show")


class Stopped(Exception):
    exit_code = 143


class JaxRuntimeError(RuntimeError):
    """Has the name of JAX's own error."""


def test_an_interrupt_while_the_command_line_is_imported_is_reported(
    monkeypatch, capsys
):
    class Interrupted:
        def __getattr__(self, name):
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "specflow.cli.main", Interrupted())
    assert __main__.main() == 130
    assert capsys.readouterr() == ("", "interrupted\n")


@pytest.mark.parametrize(
    ("error", "status", "printed"),
    [
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (CheckpointError("step 3 is damaged"), 2, "error: step 3 is damaged.\n"),
        (Stopped("stopped at step 3"), 143, "stopped at step 3\n"),
        (
            OutputError(
                Diagnostic("run", "cannot be written", code="output-unwritable")
            ),
            75,
            "error[output-unwritable] run: cannot be written.\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "run/x"),
            75,
            "error[disk] run/x: No space left on device. Free disk space or fix the "
            "disk, and run the same command again.\n",
        ),
        (
            JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory\nallocating 9 bytes."),
            75,
            "error[memory] device: RESOURCE_EXHAUSTED: Out of memory. Use a smaller "
            "batch or model, more devices, or a larger machine.\n",
        ),
        (
            NanLossDuringTrainingError(Diagnostic("step 2", "is nan", code="nan-loss")),
            2,
            "error[nan-loss] step 2: is nan.\n",
        ),
    ],
)
def test_an_error_determines_the_exit_status(
    error, status, printed, monkeypatch, capsys
):
    monkeypatch.setitem(COMMANDS, "show", raising(error))
    assert main(["show"]) == status
    assert capsys.readouterr().err == printed


def test_a_bug_keeps_its_traceback_and_ends_with_a_short_message(monkeypatch, capsys):
    bug: dict = {"__name__": "specflow.commands.show"}
    exec("def run(_): raise ZeroDivisionError('half')", bug)
    command = Command(bug["run"], "fails", "specflow show")
    monkeypatch.setitem(COMMANDS, "show", command)
    assert main(["show"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "error[unexpected] ZeroDivisionError: half."


@pytest.mark.parametrize(
    ("words", "diagnostics"),
    [
        (
            ["show", "experiment=digits", "optimizer.lrr=1", "seed=-1"],
            [
                ("range", "seed", {"override": "seed=-1"}),
                ("unknown-key", "optimizer.lrr", {"override": "optimizer.lrr=1"}),
            ],
        ),
        (["evaluate"], [("missing", "run", {"override": None})]),
        (["shwo"], [("unknown-command", "shwo", {"override": None})]),
        (["show", "--nope"], [("usage", "specflow show", {"override": None})]),
        (
            ["predict", "run=nowhere"],
            [("missing-file", "run", {"override": "run=nowhere"})],
        ),
        (
            ["export", "run=a", "--config-dir=b"],
            [("missing-file", "--config-dir", {"override": None})],
        ),
    ],
)
def test_the_json_document_has_every_diagnostic(words, diagnostics, capsys):
    assert main([*words, "--format", "json"]) == 2
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert printed.err == ""
    assert found.keys() == {"status", "diagnostics"}
    assert found["status"] == 2
    assert [
        (one["code"], one["key"], one["origin"]) for one in found["diagnostics"]
    ] == diagnostics
    assert all(
        list(one) == ["code", "key", "problem", "expected", "hint", "origin"]
        for one in found["diagnostics"]
    )


def test_a_yaml_error_has_file_line_and_column_in_json(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "mesh").mkdir(parents=True)
    (tmp_path / "mine" / "mesh" / "mine.yaml").write_text("axes:\n  data: two\n")
    words = ["--config-dir=mine", "mesh=mine", "--format=json"]
    assert main(["show", *words]) == 2
    assert json.loads(capsys.readouterr().out)["diagnostics"] == [
        {
            "code": "type",
            "key": "mesh.axes.data",
            "problem": "got 'two'",
            "expected": "a whole number >= -1",
            "hint": "",
            "origin": {"file": "mine/mesh/mine.yaml", "line": 2, "column": 3},
        }
    ]


def test_show_has_a_json_document(capsys):
    assert main(["show", "experiment=digits", "seed=3", "--format=json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["status"], found["diagnostics"]) == (0, [])
    assert found["config"]["seed"] == 3
    assert found["origins"]["seed"] == {"override": "seed=3"}
    lines = (ROOT / "conf/model/cnn.yaml").read_text().splitlines()
    assert found["origins"]["model.name"] == {
        "file": "conf/model/cnn.yaml",
        "line": lines.index("name: cnn") + 1,
        "column": 1,
    }
    assert found["origins"]["model.dtype"] is None


def test_a_wrong_option_is_the_users_mistake(capsys):
    assert main(["show", "--nope"]) == 2
    assert capsys.readouterr().err == (
        "error[usage] specflow show: unrecognized arguments: --nope (command line). "
        "specflow show --help says what it takes.\n"
    )
    assert main(["show", "--confg-dir=mine"]) == 2
    assert "Did you mean --config-dir?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--resolve", "Interpolations are always resolved."),
        (
            "--package=model",
            "specflow explain SECTION experiment=NAME shows one section.",
        ),
        (
            "--info",
            "specflow show gives the origin of each value, specflow explain KEY all "
            "layers.",
        ),
        ("-cn", "Choose with experiment=NAME."),
        ("-cd", "Name a folder of configs with --config-dir DIR."),
        ("-r", "specflow train runs one experiment, and several with -m."),
    ],
)
def test_options_of_hydra_are_answered_with_what_takes_their_place(
    option, expected, capsys
):
    assert main(["show", option, "experiment=digits"]) == 2
    assert capsys.readouterr().err == (
        f"error[usage] specflow show: unrecognized arguments: {option} (command line). "
        f"{expected} specflow show --help says what it takes.\n"
    )


def test_show_prints_one_line_a_leaf_and_no_colour_into_a_pipe(capsys):
    assert main(["show", "experiment=digits", "optimizer.lr=3e-4"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("experiment=digits ")
    assert any(
        line.split("  # ")[0].rstrip() == "optimizer.lr=0.0003" for line in printed
    )
    assert all("\x1b" not in line for line in printed)


def test_a_closed_pipe_is_no_error(tmp_path):
    command = f"{sys.executable} -m specflow show experiment=digits | head -n 1"
    root = str(pytest.importorskip("specflow").__path__[0]).rsplit("/", 1)[0]
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=root)
    assert done.stderr == ""
    assert done.stdout.startswith("experiment=digits")


@pytest.mark.parametrize("word", ["", " "])
def test_an_empty_argument_is_refused_by_every_command(word, capsys):
    assert main(["completion", "bash", word]) == 2
    said = capsys.readouterr().err
    assert said.startswith(
        f"error[usage] specflow completion: unrecognized arguments: {word!r} "
    )
    assert said.count("\n") == 1
