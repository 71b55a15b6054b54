"""Completion: candidates, in real shells too, without heavy imports."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from specflow.cli.main import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def words(capsys, monkeypatch, tmp_path):
    """Candidates for the last argument of a line."""
    monkeypatch.chdir(tmp_path)

    def offered(line):
        assert main(["completion", "fish", "--line", line]) == 0
        return [one.split("\t")[0] for one in capsys.readouterr().out.splitlines()]

    return offered


def test_commands_of_data_and_their_options_are_offered(words):
    assert words("specflow data ") == ["show", "stats", "check", "synthesize"]
    assert "--split" in words("specflow data show --")
    assert "--seed" in words("specflow data synthesize --")
    assert "experiment=digits" in words("specflow data stats experiment=dig")


def test_tags_and_steps_of_the_run_complete_a_step(words, tmp_path):
    for folder in ("9", "10/tags", "7.partial", "superseded"):
        (tmp_path / "try1" / "checkpoints" / folder).mkdir(parents=True)
    (tmp_path / "try1" / "checkpoints" / "10" / "tags" / "release").touch()
    every = ["latest", "best", "release", "9", "10"]
    assert words("specflow evaluate run=try1 --step ") == every
    assert words("specflow predict run=try1 --step=re") == ["--step=release"]
    assert words("specflow export --step be") == ["best"]
    assert words("specflow evaluate run=none --step ") == ["latest", "best"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("specflow sho", ["show"]),
        ("specflow show data=di", ["data=diabetes", "data=digits"]),
        ("specflow show mesh=data,h", ["mesh=data,hybrid"]),
        ("specflow show +mes", ["+mesh=", "+mesh."]),
        ("specflow show ~mesh.ax", ["~mesh.axes.", "~mesh.axes"]),
        ("specflow show optimizer.sc", ["optimizer.schedule."]),
        ("specflow show optimizer.schedule.fi", ["optimizer.schedule.final="]),
        # Of the kind that is chosen on the line, by the experiment, or by default.
        ("specflow show optimizer=sgd optimizer.m", ["optimizer.momentum="]),
        ("specflow show optimizer=sgd optimizer.b", []),
        ("specflow show experiment=digits_mlp model.w", []),
        ("specflow show experiment=digits model.w", ["model.widths="]),
        ("specflow show optimizer.schedule.name=c",
         ["optimizer.schedule.name=constant", "optimizer.schedule.name=cosine"]),
        ("specflow show data.shuffle=", ["data.shuffle=true", "data.shuffle=false"]),
        ("specflow show model.activation=ge", []),  # The net for images has none.
        ("specflow show model=mlp model.activation=ge", ["model.activation=gelu"]),
        ("specflow show spec.loss.mine.del", ["spec.loss.mine.delta="]),
        ("specflow show 'mesh=h", ["mesh=hybrid"]),
        ("specflow predict --forma", ["--format"]),
        ("specflow predict --format p", ["parquet"]),
        ("specflow predict --format=p", ["--format=parquet"]),
        ("specflow schema m", ["mesh", "model"]),
        ("specflow completion z", ["zsh"]),
        ("specflow nonsense m", []),
    ],
)  # fmt: skip
def test_completions(line, offered, words):
    assert words(line) == offered


def test_runs_and_folders_are_offered_as_paths(words, tmp_path):
    for name in ("runs/try1/checkpoints", "runs/try2", "mine/experiment"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "runs/try1/config.yaml").touch()
    (tmp_path / "mine/experiment/own.yaml").write_text("# Of my own.\nname: own\n")
    assert words("specflow evaluate run=ru") == ["run=runs/"]
    assert words("specflow evaluate run=runs/t") == ["run=runs/try1", "run=runs/try2/"]
    assert words("specflow show --config-dir m") == ["mine/"]
    own = "specflow show --config-dir mine experiment=o"
    assert words(own) == ["experiment=own"]
    assert words(own.replace("-dir ", "-dir=")) == ["experiment=own"]


def test_every_key_of_an_experiment_is_offered(words):
    """Level by level, from the first letter to the last."""
    from specflow.compose import compose
    from specflow.runtime.plain_tree import settings

    for path, _ in settings(compose(["experiment=digits"]).tree):
        if "eval_metrics" in path or "predictions" in path or "inputs" in path:
            continue  # People choose names there.
        for end in range(1, len(path)):
            line = f"specflow show experiment=digits {'.'.join(path[:end])}."
            offered = {word.split(".")[end] for word in words(line) if "." in word}
            free = {"loss", "export_outputs", "exporters", "outputs"} & set(path[:end])
            assert free or f"{path[end]}=" in offered or path[end] in offered, line


def test_completion_imports_no_heavy_package(tmp_path):
    code = (
        "import sys; from specflow.cli.main import main\n"
        "assert main(['completion', 'bash', '--line', 'specflow show mesh.a']) == 0\n"
        "heavy = {'hydra', 'pydantic', 'omegaconf', 'yaml', 'jax', 'numpy'}\n"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        check=True,
    )
    assert done.stdout == "mesh.axes.\nset()\n"


@pytest.fixture
def path(tmp_path):
    """A PATH with a `specflow` that completes, and otherwise prints its arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "specflow"
    program.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = completion ] && exec "{sys.executable}" -m specflow "$@"\n'
        'echo "given: $*"\n'
    )
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_bash_receives_the_part_that_it_replaces(path, tmp_path):
    """bash splits arguments at `=`, and replaces only the part after it."""
    script = """
    source <(specflow completion bash)
    COMP_LINE='specflow show experiment=dig' COMP_POINT=28
    COMP_WORDS=(specflow show experiment = dig) COMP_CWORD=4
    _specflow specflow dig =
    printf '[%s]' "${COMPREPLY[@]}"
    COMP_WORDBREAKS=${COMP_WORDBREAKS//=} COMP_WORDS=(specflow show experiment=dig)
    _specflow specflow experiment=dig show
    printf '[%s]' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": path, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout == (
        "[digits ][digits_mlp ][digits_resnet ][digits_vit ]"
        "[experiment=digits ][experiment=digits_mlp ][experiment=digits_resnet ]"
        "[experiment=digits_vit ]"
    )


SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}


OWN_TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


def in_terminal(command, lines, *, path, cwd):
    """Output of a shell in a terminal into which lines are typed one by one."""
    terminal, inside = pty.openpty()
    environment = {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(cwd)}
    process = subprocess.Popen(
        [sys.executable, "-c", OWN_TERMINAL, *command],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        cwd=cwd,
        env={**environment, "TERM": "dumb"},
        start_new_session=True,
    )
    os.close(inside)
    printed = ""
    try:
        for line, awaited in lines:
            os.write(terminal, line.encode())
            end = time.monotonic() + 60
            while awaited not in printed and time.monotonic() < end:
                if select.select([terminal], [], [], 0.2)[0]:
                    printed += os.read(terminal, 65536).decode(errors="replace")
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    return printed


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_in_a_real_shell(shell, path, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    load = {
        "bash": "source <(specflow completion bash)",
        "zsh": "source <(specflow completion zsh)",
        "fish": "specflow completion fish | source",
    }[shell]
    lines = [
        (f"{load}; echo lo''aded\n", "loaded"),
        ("specflow sho\texperiment=win\tmesh.ax\tda\t2\n", "given: show"),
    ]
    printed = in_terminal(SHELLS[shell], lines, path=path, cwd=tmp_path)
    assert "given: show experiment=wine mesh.axes.data=2" in printed
