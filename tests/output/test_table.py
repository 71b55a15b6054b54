"""The final table: plain text for logs, the same rows on a terminal."""

import io
import re

import jax.numpy as jnp
import numpy as np

from specflow.output import format_result, print_result

EVALUATION = {
    "loss": jnp.float32(0.0812345),
    "accuracy": 0.9777777777,
    "auc": float("nan"),
    "examples": 360,
    "rmse": np.float64(53.4567),
    "confusion": np.array([[170, 3], [10, 177]]),
    "recall_by_class": np.array([0.5, np.nan]),
    "scores": np.zeros((360, 10), np.float32),
}
TIMING = {"compile": 1.234, "train": 1234.5, "input_wait": 0.0, "steps_per_s": 4321.9}


def test_the_plain_table_is_aligned_and_nan_is_undefined():
    assert format_result(2_000, evaluation=EVALUATION, timing=TIMING) == (
        "loss             0.08123\n"
        "accuracy         0.9778\n"
        "auc              undefined\n"
        "examples         360\n"
        "rmse             53.46\n"
        "confusion        170    3\n"
        "                  10  177\n"
        "recall_by_class        0.5  undefined\n"
        "scores           float32[360,10]\n"
        "\n"
        "step             2,000\n"
        "compile          1.2 s\n"
        "train            1,234.5 s\n"
        "input_wait       0.0 s\n"
        "steps_per_s      4,322"
    )


def test_facts_come_last_and_may_have_several_lines():
    facts = {"stopped early": "it stalled", "best export": "export/best/1\na note"}
    assert format_result(3, evaluation={"loss": 0.5}, timing={}, facts=facts) == (
        "loss           0.5\n"
        "\n"
        "step           3\n"
        "\n"
        "stopped early  it stalled\n"
        "best export    export/best/1\n"
        "               a note"
    )


def test_a_stream_without_a_terminal_gets_the_plain_table():
    stream = io.StringIO()
    print_result(3, evaluation={"loss": 0.5}, timing={}, stream=stream)
    assert stream.getvalue() == "loss  0.5\n\nstep  3\n"


def test_a_terminal_gets_the_same_values(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    print_result(2_000, evaluation=EVALUATION, timing=TIMING, stream=stream)
    assert "\x1b[" in stream.getvalue()
    text = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    words = set(text.split())
    plain = format_result(2_000, evaluation=EVALUATION, timing=TIMING)
    assert words >= set(plain.split())


def test_without_an_evaluation_there_are_steps_and_times_only():
    text = format_result(3, evaluation={}, timing={"train": 0.25})
    assert text == "step   3\ntrain  0.2 s"
