"""`specflow check --topology` and `train --topology`, as they are typed."""

import importlib.util
import json
import subprocess
import sys

import pytest

from specflow.cli.main import main

MLP = ["experiment=digits_mlp", "loop.batch_size=64", "loop.eval_batch_size=64"]
LARGE = "model.hidden=[50000,50000]"
needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="libtpu is not installed: pip install 'specflow-jax[tpu]'",
)


def test_known_slices_are_listed(capsys):
    assert main(["check", "--topology", "list"]) == 0
    assert capsys.readouterr().out.split()[:3] == ["v4", "2x2x1", "2x2x2"]


def test_an_unknown_slice_ends_before_anything_is_composed(capsys):
    assert main(["check", "experiment=nothing", "--topology", "v5e:3x3"]) == 2
    assert capsys.readouterr().err == (
        "error[topology] --topology: v5e has no slice 3x3 (command line). Expected a "
        "shape of its slices, such as 2x2, 2x4 or 4x4.\n"
    )


def test_without_compiling_the_state_is_told_in_a_child_and_the_parent_is_light():
    words = ["check", *MLP, "mesh=fsdp", "--topology", "v5e:2x2", "--no-compile",
             "--json"]  # fmt: skip
    code = (
        "import sys; from specflow.cli.main import main; status = main(sys.argv[1:]); "
        "assert 'jax' not in sys.modules; sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["status"], found["diagnostics"], found["fits"]) == (0, [], True)
    assert (found["chips"], found["mesh"]) == (4, {"fsdp": 4})
    # Adam keeps two numbers for each parameter, and two counters of steps.
    state = found["state"]
    assert 0 <= state["optimizer"] - 2 * state["parameters"] <= 16
    assert found["largest"][0]["bytes"] >= found["largest"][-1]["bytes"]


def test_a_state_that_is_too_large_is_refused_with_status_2(capsys):
    assert main(["check", *MLP, LARGE, "--topology", "v5e:2x2", "--no-compile"]) == 2
    said = capsys.readouterr()
    assert said.out.startswith("digits_mlp on v5e:2x2 (4 chips): exceeds, by ")
    assert said.err == (
        "error[exceeds] --topology: digits_mlp needs 28.0 GiB on each chip of v5e:2x2 "
        "(command line). Expected at most 15.8 GiB.\n"
    )


def test_a_sweep_refuses_all_jobs_that_cannot_fit_before_the_first_starts(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    sweep = "model.hidden=[8],[50000,50000],[60000,60000]"
    words = ["train", "-m", *MLP, sweep, "--topology", "v5e:2x2", "--no-compile"]
    assert main(words) == 2
    diagnostics = [
        line for line in capsys.readouterr().err.splitlines() if line[:5] == "error"
    ]
    assert [line.partition(" needs ")[0] for line in diagnostics] == [
        f"error[exceeds] trial {number} ({' '.join(MLP)} model.hidden={hidden}): "
        "digits_mlp"
        for number, hidden in ((1, "[50000,50000]"), (2, "[60000,60000]"))
    ]
    assert list(tmp_path.iterdir()) == []


@needs_libtpu
def test_a_slice_is_compiled_for_without_one(capsys):
    words = ["check", *MLP, "mesh=fsdp", "--topology", "v5e:2x2", "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["programs"]) == {"train", "eval", "predict"}
    train = found["programs"]["train"]
    assert 0 < train["needs"] < train["available"]
    assert 0 < train["bound"]["mfu"] <= 1
    assert {one["kind"] for one in train["collectives"]} & {"all-gather", "all-reduce"}


@needs_libtpu
def test_several_slices_speak_over_their_network_once_for_each_gradient(capsys):
    """A copy of the model on each slice: what a chip sends to another slice is its part
    of the gradient, which is as large as its part of the parameters."""
    words = ["check", *MLP, "mesh=hybrid", "--topology", "v5e:2x2*2", "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["chips"], found["mesh"]) == (8, {"data": 2, "fsdp": 4})
    train = found["programs"]["train"]
    sent = [one["bytes"] for one in train["collectives"] if one["kind"] == "send"]
    parameters = found["state"]["parameters"]
    assert 0.5 * parameters <= sum(sent) <= 2 * parameters
    assert train["bound"]["dcn"] > 0


@needs_libtpu
@pytest.mark.parametrize("micro_steps", [1, 2, 4])
def test_replicated_parameters_are_summed_over_once_for_all_micro_steps(
    capsys, micro_steps
):
    """XLA for TPU accumulates gradients on each chip where `gradients` lets it, and the
    loss beside them: one float32 more than there are parameters."""
    words = ["check", *MLP, f"loop.micro_steps={micro_steps}", "mesh=data",
             "--topology", "v5e:2x2", "--json"]  # fmt: skip
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    [one] = found["programs"]["train"]["collectives"]
    assert (one["kind"], one["times"]) == ("all-reduce", 1)
    assert one["bytes"] == found["state"]["parameters"] + 4


@needs_libtpu
def test_what_does_not_fit_is_answered_with_what_does(capsys):
    words = ["check", "experiment=stdlib_lm", "data.max_bytes=400000", "mesh=single",
             "model.layers=1", "model.width=256", "loop.batch_size=65536",
             "loop.eval_batch_size=64", "--topology", "v5e:1x1", "--json",
             "--budget", "1"]  # fmt: skip
    assert main(words) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["programs"]["train"]["fits"] is False
    assert found["changes"]["tried"]
