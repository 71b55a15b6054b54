"""`specflow explain CODE`, misspelled codes, and the line that ends a report."""

import json

import pytest

from specflow.cli.failures import report_failure
from specflow.cli.main import main
from specflow.diagnostics.errors import ConfigError, Diagnostic

RANGE = """\
A value has the right type, but is out of range.

Example:
  error[range] seed: got -1 (override seed=-1). Expected a whole number >= 0.

What to do:
  Use a value that the message expects; `specflow explain KEY` has the meaning
  and the default.
"""


@pytest.mark.parametrize("word", ["range", "error[range]", "error[range]:"])
def test_a_code_is_explained_as_it_is_printed(word, capsys):
    assert main(["explain", word]) == 0
    assert capsys.readouterr().out == RANGE


def test_a_warning_is_shown_as_one(capsys):
    assert main(["explain", "warning[params-overflow]"]) == 0
    assert "\n  warning[params-overflow] output.checkpoint.params: values" in (
        capsys.readouterr().out
    )


def test_tools_get_a_page_as_json(capsys):
    assert main(["explain", "range", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "status": 0,
        "diagnostics": [],
        "code": "range",
        "meaning": "A value has the right type, but is out of range.",
        "example": "seed: got -1 (override seed=-1). Expected a whole number >= 0.",
        "hint": "Use a value that the message expects; `specflow explain KEY` has the "
        "meaning and the default.",
    }


def test_a_key_is_explained_where_a_code_has_its_name(capsys):
    assert main(["explain", "mesh"]) == 0
    key = capsys.readouterr().out
    assert main(["explain", "error[mesh]"]) == 0
    assert capsys.readouterr().out != key
    assert "What to do" not in key


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("unknwon-key", "unknown-key"), ("typ", "type"), ("error[spek]", "spec")],
)
def test_a_misspelled_code_is_suggested(typed, meant, capsys):
    assert main(["explain", typed]) == 2
    assert capsys.readouterr().err == (
        f"error[unknown-key] {typed}: no such key and no such error code "
        f"(command line). Did you mean the error code {meant}?\n"
    )


@pytest.mark.parametrize("typed", ["optimzer", "loop.train-steps", "zzzz"])
def test_a_misspelled_key_stays_one(typed, capsys):
    assert main(["explain", typed]) == 2
    assert "error code" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("codes", "line"),
    [
        (["range"], "explain: specflow explain range\n"),
        (["mesh"], "explain: specflow explain 'error[mesh]'\n"),
        (
            ["type", "range", "type"],
            "explain: specflow explain CODE, for type, range\n",
        ),
        ([""], ""),
    ],
)
def test_a_report_on_a_terminal_ends_with_the_command(codes, line, capsys, monkeypatch):
    error = ConfigError(*(Diagnostic("seed", "is odd", code=code) for code in codes))
    assert report_failure(error, as_json=False) == 2
    report = capsys.readouterr().err
    assert "explain:" not in report
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert report_failure(error, as_json=False) == 2
    assert capsys.readouterr().err == report + line
