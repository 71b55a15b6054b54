"""Standard output and error that are closed, full, unread, or ASCII.

Expected is what the system's own tools do: a closed stream is silent (Python documents
it under `sys.__stderr__`), a full one is an error, a reader that has left ends a
process as SIGPIPE would, and stderr escapes what it cannot encode.
"""

import io
import json
import os
import subprocess
import sys

import pytest

from specflow.cli.main import main
from specflow.commands.predict import _can_show_progress
from specflow.output import Progress, print_result
from specflow.runtime import standard_streams
from specflow.runtime.standard_streams import is_terminal, prepared

SHOW = "experiment=digits_mlp"
SPECFLOW = f"{sys.executable} -m specflow"
ROOT = str(pytest.importorskip("specflow").__path__[0]).rsplit("/", 1)[0]


def shell(command, **environment):
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_a_closed_stream_is_silent_and_the_status_is_that_of_the_command(closed):
    assert shell(f"{SPECFLOW} show {SHOW} {closed}")[0] == 0
    assert shell(f"{SPECFLOW} show seed=-1 {closed}")[0] == 2


def test_a_run_trains_to_its_end_with_standard_error_closed(tmp_path):
    words = f"train {SHOW} loop.train_steps=5"
    status, out, _ = shell(f"{SPECFLOW} {words} output.dir={tmp_path}/run 2>&-")
    assert status == 0
    assert out.rstrip().endswith(f"{tmp_path}/run")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["step"] == 5


def test_a_closed_stream_does_not_become_the_next_file(tmp_path):
    """The system assigns the lowest free descriptor to the next opened file."""
    code = (
        "import os, sys\n"
        "from specflow.runtime.standard_streams import prepared\n"
        "with prepared():\n"
        "    file = open(sys.argv[1], 'w')\n"
        "    os.write(1, b'stray'); os.write(2, b'stray')\n"
        "    print('lost'); print('lost', file=sys.stderr); file.write('own')\n"
    )
    path = tmp_path / "file"
    status, _, _ = shell(f'{sys.executable} -c "{code}" {path} >&- 2>&-')
    assert (status, path.read_text()) == (0, "own")


def test_a_full_standard_output_is_an_error_of_the_machine():
    status, _, error = shell(f"{SPECFLOW} show {SHOW} > /dev/full")
    assert status == 75
    assert error == (
        "error[disk] standard output: No space left on device. Free disk space or fix "
        "the disk, and run the same command again.\n"
    )


def test_a_full_standard_error_loses_messages_and_changes_no_status():
    assert shell(f"{SPECFLOW} show seed=-1 2> /dev/full")[0] == 2


def test_a_closed_reader_ends_the_command_like_a_signal():
    status, out, error = shell(
        f"{SPECFLOW} show {SHOW} | true; exit ${{PIPESTATUS[0]}}"
    )
    expected, _, _ = shell("yes | true; exit ${PIPESTATUS[0]}")
    assert (status, out, error) == (expected, "", "")


def test_an_unread_result_that_is_saved_is_no_error(monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as unread:
        monkeypatch.setattr(sys, "stdout", unread)
        with prepared(), standard_streams.to_the_end():
            print_result(1, evaluation={"loss": 0.5}, timing={})
            print("run")


def test_characters_outside_ascii_are_escaped(tmp_path):
    line = "output.dir='o/üß'"
    status, out, error = shell(
        f'{SPECFLOW} show {SHOW} "{line}"', PYTHONIOENCODING="ascii"
    )
    assert (status, error) == (0, "")
    assert line.encode("ascii", "backslashreplace").decode() in out
    document = shell(
        f'{SPECFLOW} show {SHOW} "{line}" --format json', PYTHONIOENCODING="ascii"
    )[1]
    assert json.loads(document)["config"]["output"]["dir"] == "o/üß"


class Terminal(io.TextIOWrapper):
    """A terminal with an encoding that records its output."""

    def __init__(self, encoding):
        super().__init__(io.BytesIO(), encoding=encoding, newline="")

    def isatty(self):
        return True

    def shown(self):
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)


@pytest.mark.parametrize(("encoding", "is_plain"), [("ascii", True), ("utf-8", False)])
def test_bars_and_tables_have_only_glyphs_that_the_terminal_knows(
    encoding, is_plain, monkeypatch
):
    for name in ("TERM", "COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    terminal = Terminal(encoding)
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    with prepared():
        progress = Progress(10, interval_s=0.0)
        progress.update(4, 0.5)
        progress.update(10, 0.25)
        progress.note("said: ü")
        progress.close()
        print_result(10, evaluation={"loss": 0.5, "a long name " * 9: 1.0}, timing={})
    shown = terminal.shown()
    assert shown.isascii() == is_plain
    assert "10/10" in shown
    assert ("\\xfc" in shown) == is_plain
    assert ("━" in shown) != is_plain
    assert "\\u" not in shown


def test_streams_are_as_they_were_after_a_command(monkeypatch, capsys):
    before = sys.stdout, sys.stderr
    assert main(["--version"]) == 0
    assert (sys.stdout, sys.stderr) == before
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["--version"]) == 0
    assert (sys.stdout, sys.stderr) == (None, None)


def test_python_code_without_streams_has_no_terminal():
    closed = io.StringIO()
    closed.close()
    assert not is_terminal(None)
    assert not is_terminal(closed)


def test_a_user_without_a_home_trains_without_the_cache_of_programs(tmp_path):
    """As in a container with an unknown user id: no HOME, no entry in passwd."""
    code = (
        "import os, pwd\n"
        "def none(uid): raise KeyError('getpwuid(): uid not found')\n"
        "pwd.getpwuid = none\n"
        "from specflow.cli.main import main\n"
        "import sys, jax\n"
        "status = main(sys.argv[1:])\n"
        "assert jax.config.values['jax_compilation_cache_dir'] is None\n"
        "sys.exit(status)\n"
    )
    gone = ("HOME", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR", "MPLCONFIGDIR")
    environment = {key: x for key, x in os.environ.items() if key not in gone}
    done = subprocess.run(
        [sys.executable, "-c", code, "train", SHOW, "loop.train_steps=2",
         "optimizer.schedule.warmup_steps=0", "model.hidden=[4]", "mesh=single",
         f"output.dir={tmp_path / 'run'}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**environment, "JAX_PLATFORMS": "cpu", "PYTHONPATH": ROOT},
    )  # fmt: skip
    warnings = [text for text in done.stderr.splitlines() if "arning" in text.lower()]
    assert done.returncode == 0, done.stderr
    assert warnings == [
        "warning[home-unknown] compile cache: the home folder of this user is unknown, "
        "so compiled programs are not cached. Set XDG_CACHE_HOME or "
        "JAX_COMPILATION_CACHE_DIR to cache them."
    ]
    assert (tmp_path / "run" / "result.json").is_file()


def test_progress_is_not_shown_between_rows_on_a_terminal(tmp_path, monkeypatch):
    reader, writer = os.pipe()
    with open(tmp_path / "rows", "w") as file, open(reader), open(writer, "w") as pipe:
        # What reads from the pipe may show the rows, as `less` and `head` do.
        for out, is_seen in ((file, True), (pipe, False), (Terminal("utf-8"), False)):
            monkeypatch.setattr(sys, "stdout", out)
            assert _can_show_progress(None) == is_seen
            assert _can_show_progress("rows.jsonl")
