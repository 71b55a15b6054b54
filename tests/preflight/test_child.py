"""The child process: what becomes of it, in one message each."""

import json
import os
import sys

import pytest

from specflow.diagnostics.errors import ConfigError, MachineError, UserCodeError
from specflow.preflight.child_process import Question, ask, environment
from specflow.runtime.topologies import parse

JOB = Question("v5e:2x2", [["experiment=digits_mlp"]], compiles=False)


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Puts a script in the child's place."""

    def replace(code):
        script = tmp_path / "child.py"
        script.write_text(f"import json, os, sys, time\n{code}\n")
        monkeypatch.setattr(
            "specflow.preflight.child_process.COMMAND", (sys.executable, str(script))
        )

    return replace


def refused(error, *args, **settings):
    with pytest.raises(error) as failed:
        ask(*args, **settings)
    return str(failed.value)


def test_the_question_goes_in_and_the_answer_comes_out(child):
    child("""
question = json.load(sys.stdin)
print(json.dumps({"diagnostics": [], "jobs": [question["jobs"], question["topology"]]}))
""")
    assert ask(JOB) == [[["experiment=digits_mlp"]], "v5e:2x2"]


def test_what_the_child_notes_is_passed_on_and_its_noise_is_not(child, capfd):
    child("""
print("note: compiling train", file=sys.stderr)
print("W0000 some library", file=sys.stderr)
print(json.dumps({"diagnostics": [], "jobs": []}))
""")
    ask(JOB)
    assert capfd.readouterr().err == "note: compiling train\n"


def test_faults_that_the_child_found_are_raised_as_they_are(child):
    diagnostic = {"where": "loop.batch_size", "problem": "got 10", "expected": "more",
             "hint": "", "origin": "", "code": "batch-divides"}  # fmt: skip
    child(f"print({json.dumps(json.dumps({'diagnostics': [diagnostic], 'jobs': []}))})")
    with pytest.raises(ConfigError) as failed:
        ask(JOB)
    assert str(failed.value) == "loop.batch_size: got 10. Expected more."
    assert failed.value.diagnostics[0].code == "batch-divides"


def test_an_error_of_the_users_code_comes_with_its_traceback(child, capfd):
    diagnostic = {"where": "mine.net", "problem": "KeyError: 'width'", "expected": "",
             "hint": "", "origin": "", "code": "user-code"}  # fmt: skip
    answer = {
        "diagnostics": [diagnostic],
        "jobs": [],
        "traceback": "Traceback: line 3\n",
    }
    child(f"print({json.dumps(json.dumps(answer))})")
    assert refused(UserCodeError, JOB) == "mine.net: KeyError: 'width'."
    assert capfd.readouterr().err == "Traceback: line 3\n"


def test_a_child_that_fails_says_why_in_a_line(child):
    child("raise KeyError('blocks')")
    assert refused(MachineError, JOB) == (
        "the pre-flight process: ended with status 1: KeyError: 'blocks'. "
        "SPECFLOW_TRACEBACK=1 shows where."
    )


def test_a_child_that_is_killed_is_told_as_that(child):
    child("os.kill(os.getpid(), 9)")
    assert refused(MachineError, JOB) == (
        "the pre-flight process: was ended by SIGKILL. The machine may lack memory to "
        "compile; --no-compile takes little."
    )


def test_a_child_that_takes_too_long_is_ended(child):
    child("time.sleep(60)")
    assert refused(MachineError, JOB, limit_s=0.3) == (
        "the pre-flight process: did not answer within 0.3 s, and was ended. Give "
        "--no-compile, or look at fewer changes with --budget."
    )


def test_without_libtpu_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    compiling = Question("v5e:2x2", [["experiment=digits_mlp"]])
    assert refused(MachineError, compiling) == (
        "--topology: compiling for a TPU takes its compiler, and libtpu is not "
        "installed. Install it with pip install 'specflow-jax[tpu]', or give "
        "--no-compile."
    )


def test_the_child_alone_is_told_of_a_tpu_that_is_not_there():
    variables = environment(parse("v5e:2x2"))
    assert variables["JAX_PLATFORMS"] == "cpu"
    assert variables["JAX_ENABLE_COMPILATION_CACHE"] == "false"
    assert variables["ALLOW_MULTIPLE_LIBTPU_LOAD"] == "1"
    assert "TPU_WORKER_HOSTNAMES" not in os.environ


def test_the_child_sees_no_gpu_and_no_tpu_if_it_compiles_for_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    variables = environment(parse("h100:8"))
    assert variables["JAX_PLATFORMS"] == "cpu"
    assert variables["JAX_ENABLE_COMPILATION_CACHE"] == "false"
    assert variables["CUDA_VISIBLE_DEVICES"] == ""
    assert "TPU_WORKER_HOSTNAMES" not in variables
