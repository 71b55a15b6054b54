"""The README runs: its Python, its YAML, and its command lines."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from specflow.cli.main import main
from specflow.compose import compose

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.M | re.S)
PYTHON = [text for language, text in BLOCKS if language == "python"]
FILES = {
    match[1]: text
    for language, text in BLOCKS
    if language in ("yaml", "python")
    and (match := re.match(r"(?:# @package.*\n)?# (my_\S+)\n", text))
}
COMMANDS = [
    line
    for language, text in BLOCKS
    if language == "sh"
    for line in text.splitlines()
    if line.startswith("specflow ")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a reader has after writing down the README's files."""
    root = tmp_path_factory.mktemp("reader")
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def specflow(*arguments, cwd):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, "-m", "specflow", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_two_commands_stand_where_ci_reads_them():
    found = re.search(r"<!-- first mile -->\n```sh\n(.*?)\n```", README, re.S)
    assert found is not None
    first, second = found[1].splitlines()
    assert first == "pip install -e . && specflow train experiment=digits"
    assert second == "pip install -e '.[test]' && pytest"


@pytest.mark.parametrize(
    "code", [text for text in PYTHON if not text.startswith("# my_")]
)
def test_the_python_form_runs(code):
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_line_composes(command, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    words = shlex.split(command)[2:]
    if "--" in words:
        words = words[words.index("--") + 2 :]  # What is launched, without its name.
    if any(word.startswith("run=") for word in words):
        return  # Needs a run: test_a_run_can_be_evaluated_and_asked.
    folders = (
        [words.pop(words.index("--config-dir") + 1)] if "--config-dir" in words else []
    )
    if "--topology" in words:
        del words[(at := words.index("--topology")) : at + 2]
    if "--topology" in words:
        words[words.index("--topology") :] = []
    words = [word for word in words if word not in ("-m", "--config-dir")]
    # Of a sweep, the first trial.
    compose([word.split(",")[0] for word in words], config_dirs=folders)


def test_your_own_package_trains_from_yaml(folder):
    (command,) = [line for line in COMMANDS if "trust=my_package" in line]
    done = specflow(*shlex.split(command)[1:], "output.dir=runs/blobs", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^accuracy +0\.9", done.stdout, re.M)
    assert re.search(r"^errors +\d+$", done.stdout, re.M)


def test_your_own_arrays_train_and_predict(folder):
    subprocess.run([sys.executable, "my_arrays.py"], cwd=folder, check=True)
    commands = [line for line in COMMANDS if "plums" in line]
    assert len(commands) == 2
    for line in commands:
        done = specflow(*shlex.split(line)[1:], cwd=folder)
        assert done.returncode == 0, done.stderr
    rows = (folder / "plums.csv").read_text().splitlines()
    assert rows[0] == "name,class,probability"
    assert [row.partition(",")[0] for row in rows[1:]] == [
        f"plum {number}" for number in range(500, 600)
    ]


def test_a_run_can_be_evaluated_and_asked(folder, monkeypatch, capsys):
    """`run=runs/try1`, as the README has it, on the smallest run that there is."""
    monkeypatch.chdir(folder)
    run = ["experiment=diabetes", "loop.train_steps=40", "output.dir=runs/try1"]
    assert main(["train", *run]) == 0
    for line in (line for line in COMMANDS if "run=runs/try1" in line):
        capsys.readouterr()
        assert main(shlex.split(line)[1:]) == 0
        assert capsys.readouterr().out


def test_links_lead_somewhere():
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert targets
    assert [path for path in targets if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    "block", [text for language, text in BLOCKS if language == "console"]
)
def test_what_is_shown_of_a_command_is_what_it_prints(block, folder):
    command, *shown = block.splitlines()
    done = specflow(*shlex.split(command.removeprefix("$ specflow ")), cwd=folder)
    printed = (done.stdout + done.stderr).splitlines()
    for line, real in zip(shown, printed, strict=True):
        begin, _, end = line.partition("[...]")
        assert real.startswith(begin)
        assert real.endswith(end)
    assert done.returncode == (2 if done.stderr else "diff" in command)
