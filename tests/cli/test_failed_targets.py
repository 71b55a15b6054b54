"""Callables of libraries that a config names, with arguments that they cannot use."""

import pytest

from specflow.cli.main import main

ROWS = {
    "optimizer={_target_: optax.adamw, learning_rate: fast}": (
        "optimizer: optax.adamw failed: TypeError: Only integer scalar arrays can be "
        "converted to a scalar index",
        "{learning_rate: 'fast'}",
    ),
    "optimizer={_target_: optax.chain, _args_: [2]}": (
        "optimizer: optax.chain failed: AttributeError: 'int' object has no attribute "
        "'init'",
        "{_args_: [2]}",
    ),
    "optimizer={_target_: optax.sgd, learning_rate: {_target_: "
    "optax.linear_schedule, init_value: a, end_value: 0, transition_steps: 3}}": (
        "optimizer: optax.sgd failed: TypeError: unsupported operand type(s) for -: "
        "'str' and 'int'",
        "{learning_rate: {_target_: 'optax.linear_schedule', init_...",
    ),
    "optimizer.schedule={_target_: optax.linear_schedule, init_value: a, end_value: 0, "
    "transition_steps: 3}": (
        "optimizer.schedule: optax.linear_schedule failed: TypeError: unsupported "
        "operand type(s) for -: 'str' and 'int'",
        "{init_value: 'a', end_value: 0, transition_steps: 3}",
    ),
    "model={_target_: flax.nnx.Linear, in_features: 64, out_features: ten}": (
        "model: flax.nnx.Linear failed: TypeError: Shapes must be 1D sequences of "
        "concrete values of integer type, got (64, 'ten')",
        "{in_features: 64, out_features: 'ten'}",
    ),
    "spec.loss.x={_target_: optax.losses.squared_error, predictions: "
    "outputs, targets: labels}": (
        "spec.loss.x: optax.losses.squared_error failed: ValueError: Shape mismatch: "
        "got (128, 10) and (128,)",
        "{predictions: 'outputs', targets: 'labels'}",
    ),
}


def test_the_same_callable_in_two_sections_is_named_with_both(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    loss = (
        "{_target_: optax.losses.squared_error, predictions: outputs, targets: labels}"
    )
    both = f"spec.loss={{x: {loss}, y: {loss}}}"
    assert main(["train", "experiment=digits_mlp", both]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error[target-failed] spec.loss.x or spec.loss.y: optax.losses.squared_error "
        "failed: ValueError: Shape mismatch: got (128, 10) and (128,). Expected "
        "arguments that it can use."
    )


@pytest.mark.parametrize(("override", "expected"), ROWS.items())
def test_one_message_names_the_target_and_its_arguments(
    tmp_path, monkeypatch, capsys, override, expected
):
    monkeypatch.chdir(tmp_path)
    words = ["experiment=digits_mlp", "loop.train_steps=2", override]
    assert main(["train", *words]) == 2
    said = capsys.readouterr().err
    problem, given = expected
    *_, line = said.splitlines()
    assert line == (
        f"error[target-failed] {problem} (override {override}). Expected arguments "
        f"that it can use. It was given {given}{'' if given.endswith('...') else '.'}"
    )
    assert "Traceback" not in said


def test_trials_of_a_sweep_say_the_same(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    words = ["experiment=digits_mlp", "loop.train_steps=2", "output.dir=sweep"]
    wrong = "optimizer={_target_: optax.adamw, learning_rate: fast}"
    assert main(["train", "-m", *words, wrong, "seed=1,2"]) == 2
    said = capfd.readouterr()
    assert "0      1     failed (config): optimizer: optax.adamw failed: " in said.out
    assert "Traceback" not in (tmp_path / "sweep/logs/0.log").read_text()
