"""`warm_start`, from the command line to the first step."""

import json

import numpy as np
import pytest
import yaml

from specflow.output import Checkpointer
from tests.end_to_end.conftest import QUICK

SHORT = (*QUICK, "output.reporters=[]", "loop.train_steps=4", "loop.eval_every=4")
STILL = (
    *SHORT,
    "loop.train_steps=1",
    "loop.eval_every=1",
    "loop.log_every=1",
    "optimizer.lr=1e-30",
)
"""One step with a zero update: the checkpoint after it holds the initial state bit for
bit, except for batch statistics."""


@pytest.fixture
def base(here):
    """A finished run of 4 steps."""
    assert here("train", *SHORT, "output.dir=base").status == 0


def arrays(folder, step=None):
    with Checkpointer(folder / "checkpoints") as checkpointer:
        return checkpointer.arrays(step)


def of(part, saved):
    found = {k.removeprefix(part): v for k, v in saved.items() if k.startswith(part)}
    assert found
    return found


def test_a_path_alone_restores_all_parameters_and_the_log_lists_them(
    here, base, tmp_path
):
    done = here("train", *STILL, "warm_start=base", "output.dir=warm")
    assert done.status == 0
    source, start = arrays(tmp_path / "base"), arrays(tmp_path / "warm")
    for name, value in of("params/", source).items():
        np.testing.assert_array_equal(start[f"params/{name}"], value, err_msg=name)
    assert start["opt_state/[0]/count"] == 1
    table = done.err.partition("warm start from")[2].partition("step 1/1")[0]
    assert table.splitlines() == [
        f" {tmp_path}/base/checkpoints/4",
        "array            from             shape       result",
        "head.bias        head.bias        f32[10]     taken",
        "head.kernel      head.kernel      f32[16,10]  taken",
        "hidden.0.bias    hidden.0.bias    f32[16]     taken",
        "hidden.0.kernel  hidden.0.kernel  f32[64,16]  taken",
        "model state not taken, as state is params: dropout.rngs.count, "
        "dropout.rngs.key",
        "optimizer state not taken, as state is params: [0]/count, [0]/mu/head.bias, "
        "[0]/mu/head.kernel, [0]/mu/hidden.0.bias, [0]/mu/hidden.0.kernel, "
        "[0]/nu/head.bias, 3 more",
    ]
    # As it is written: the manifest says from where it counts.
    config = yaml.safe_load((tmp_path / "warm/config.yaml").read_text())
    assert config["warm_start"] == {
        "path": "base",
        "step": None,
        "state": "params",
        "include": ["**"],
        "exclude": [],
        "renames": {},
        "vocabularies": {},
    }
    manifest = json.loads((tmp_path / "warm/manifest.json").read_text())
    assert manifest["started_in"] == str(tmp_path)
    assert manifest["warm_start"]["path"] == f"{tmp_path}/base/checkpoints/4"
    assert manifest["warm_start"]["arrays"][0] == {
        "array": "head.bias",
        "from": "head.bias",
        "shape": "f32[10]",
        "result": "taken",
        "reason": None,
    }


def test_the_full_state_restores_the_optimizer_state(here, base, tmp_path):
    full = ("warm_start.path=base/checkpoints/4", "warm_start.state=full")
    assert here("train", *STILL, *full, "output.dir=warm").status == 0
    assert arrays(tmp_path / "warm")["opt_state/[0]/count"] == 5


def test_only_the_arrays_that_are_taken_are_read(here, base, tmp_path):
    """A damaged array of the optimizer, which another reader would find."""
    (file,) = (tmp_path / "base/checkpoints/4").glob("*.safetensors")
    content = bytearray(file.read_bytes())
    length = int.from_bytes(content[:8], "little")
    arrays_in_file = json.loads(content[8 : 8 + length])
    start, _ = arrays_in_file["opt_state/[0]/mu/head.kernel"]["data_offsets"]
    content[8 + length + start] ^= 1
    file.write_bytes(content)
    words = ("warm_start=base", "output.dir=warm")
    assert here("train", *STILL, *words).status == 0
    done = here("train", *STILL, *words[:1], "warm_start.state=full", "output.dir=full")
    assert done.status == 2
    assert "opt_state/[0]/mu/head.kernel changed since it was written" in done.err


def test_globs_renames_and_vocabularies_select_parameters(here, base, tmp_path):
    """The 64 rows of the kernel are pixels, used as tokens in reverse order."""
    tokens = [f"p{n}" for n in range(64)]
    (tmp_path / "old.txt").write_text("\n".join(tokens))
    (tmp_path / "new.txt").write_text("\n".join(["unknown", *reversed(tokens[1:])]))
    done = here(
        "train", *STILL, "model.hidden=[16,16]", "output.dir=warm",
        "warm_start={path: base, include: ['hidden.**', head.bias], "
        "exclude: ['hidden.1.kernel', 'norms.**'], "
        "renames: {hidden.1.**: hidden.0.**}, "
        "vocabularies: {hidden.0.kernel: {new: new.txt, old: old.txt}}}",
    )  # fmt: skip
    assert done.status == 0
    source, start = arrays(tmp_path / "base"), arrays(tmp_path / "warm")
    kernel = source["params/hidden.0.kernel"]
    np.testing.assert_array_equal(start["params/hidden.0.kernel"][1:], kernel[:0:-1])
    bias = source["params/hidden.0.bias"]
    for name in ("hidden.0.bias", "hidden.1.bias"):
        np.testing.assert_array_equal(start[f"params/{name}"], bias)
    cold = here("train", *STILL, "model.hidden=[16,16]", "output.dir=cold")
    assert cold.status == 0
    for name in ("hidden.1.kernel", "head.kernel"):
        initial = arrays(tmp_path / "cold")[f"params/{name}"]
        np.testing.assert_array_equal(start[f"params/{name}"], initial)
    lines = done.err.splitlines()
    assert (
        "hidden.0.kernel  hidden.0.kernel  f32[64,16]  taken, 63 of 64 rows by token"
        in lines
    )
    assert (
        "hidden.1.kernel  -                f32[16,16]  initialized: excluded by "
        "hidden.1.kernel"
    ) in lines
    assert (
        "head.kernel      -                f32[16,10]  initialized: not included"
    ) in lines
    assert not any("left out" in line for line in lines)  # It has no other parameter.
    assert (
        "warning[warm-start] warm start: 'norms.**' matches no parameter. Expected one "
        "over head.bias, head.kernel, hidden.0.bias, hidden.0.kernel, hidden.1.bias, "
        "hidden.1.kernel."
    ) in lines
    assert "UserWarning" not in done.err
    # All of it, keys with dots included, is read again from the run.
    again = here("train", "run=warm", "output.dir=again")
    assert again.status == 0
    assert "started from other values" not in again.err
    for name, value in of("params/", start).items():
        np.testing.assert_array_equal(
            arrays(tmp_path / "again")[f"params/{name}"], value
        )


def test_a_parameter_that_does_not_fit_is_an_error_before_anything_is_written(
    here, base, tmp_path
):
    wrong = (*SHORT, "model.hidden=[8]", "warm_start=base")
    expected = [
        "error[warm-start] head.kernel: is float32[16,10] in the checkpoint. Expected "
        "float32[8,10]. warm_start.exclude=[head.kernel] skips it.",
        "error[warm-start] hidden.0.bias: is float32[16] in the checkpoint. Expected "
        "float32[8]. warm_start.exclude=[hidden.0.bias] skips it.",
        "error[warm-start] hidden.0.kernel: is float32[64,16] in the checkpoint. "
        "Expected float32[64,8]. warm_start.exclude=[hidden.0.kernel] skips it.",
    ]
    for command in ("train", "check"):
        done = here(command, *wrong, "output.dir=new")
        assert (done.status, done.errors) == (2, expected)
    assert not (tmp_path / "new").exists()
    done = here("check", *SHORT, "warm_start=nowhere")
    assert (done.status, done.errors) == (2, [
        f"error[checkpoint-path] warm_start.path: {tmp_path}/nowhere does not exist "
        "(override warm_start=nowhere). Expected a checkpoint, such as "
        "RUN/checkpoints/100, or a directory with checkpoints.",
    ])  # fmt: skip
    done = here("check", *SHORT, "warm_start={path: base, renames: {hedd.bias: b}}")
    assert (done.status, done.errors) == (2, [
        "error[warm-start] warm_start.renames['hedd.bias']: is no parameter that is "
        "warm started. Expected one of head.bias, head.kernel, hidden.0.bias, "
        "hidden.0.kernel.",
    ])  # fmt: skip


def test_check_prints_the_parameters_to_restore(here, base, tmp_path):
    done = here("check", *SHORT, "warm_start={path: base, exclude: ['head.**']}")
    assert done.status == 0
    assert (
        f"\nwarm start from {tmp_path}/base/checkpoints/4\n"
        "array            from             shape       result\n"
        "head.bias        -                f32[10]     initialized: excluded by "
        "head.**\n"
    ) in done.out
    done = here("check", *SHORT, "warm_start=base", "--json")
    assert json.loads(done.out)["warm_start"]["arrays"][1]["from"] == "head.kernel"


def test_a_resumed_run_ignores_its_warm_start(here, base, tmp_path):
    warm = (*SHORT, "warm_start=base", "output.dir=warm")
    assert here("train", *warm).status == 0
    (tmp_path / "base").rename(tmp_path / "gone")
    longer = here("train", *warm, "loop.train_steps=6")
    assert longer.status == 0
    assert "warm start" not in longer.err
    manifest = json.loads((tmp_path / "warm/manifest.json").read_text())
    assert manifest["warm_start"]["path"] == f"{tmp_path}/base/checkpoints/4"
    other = here("train", *SHORT, "warm_start=gone", "output.dir=warm")
    assert other.status == 2
    assert other.errors[1] == (
        "error[run-changed] warm_start.path: was base, is gone "
        "(override warm_start=gone)."
    )


def test_a_rerun_reports_that_the_source_has_changed(here, base, tmp_path):
    assert here("train", *STILL, "warm_start=base", "output.dir=warm").status == 0
    assert here("train", *SHORT, "loop.train_steps=6", "output.dir=base").status == 0
    again = here("train", "run=warm", "output.dir=again")
    assert again.status == 0
    assert (
        f"note: warm started from other values, those of {tmp_path}/base/checkpoints/4 "
        "at that time"
    ) in again.errors
    at = here("train", "run=warm", "warm_start=base/checkpoints/4", "output.dir=at")
    assert "started from other values" not in at.err


def test_a_file_may_hold_the_path_alone_and_an_override_the_rest(here, base, tmp_path):
    (tmp_path / "conf/experiment").mkdir(parents=True)
    (tmp_path / "conf/experiment/tuned.yaml").write_text(
        "# @package _global_\n"
        "defaults: [override /model: mlp, override /spec: classification, "
        "override /data: digits, _self_]\n"
        "warm_start: base\n"
    )
    arguments = ("experiment=tuned", "warm_start.state=full", "--config-dir=conf")
    shown = here("show", *arguments)
    assert "warm_start.path=base " in shown.out
    assert "conf/experiment/tuned.yaml:3" in shown.out
    # Either way round, and `~` stays what it is on every machine.
    shown = here("show", *SHORT, "warm_start.state=model", "warm_start='~/runs/1'")
    assert "warm_start.path='~/runs/1'" in shown.out
    assert "warm_start.state=model" in shown.out


def test_frozen_statistics_that_are_not_restored_are_a_warning(here, tmp_path):
    normed = (*SHORT, "model.batch_norm=true", "spec.train_op.wrt=['head.**']")
    assert here("train", *SHORT, "model.batch_norm=true", "output.dir=base").status == 0
    warning = (
        "warning[warm-start] warm start: batch statistics of frozen layers stay as "
        "they are initialized: norms.0.mean, norms.0.var. state=model takes those of "
        "the checkpoint."
    )
    done = here("train", *normed, "warm_start=base", "output.dir=cold")
    assert warning in done.errors
    model = ("warm_start=base", "warm_start.state=model", "output.dir=warm")
    done = here("train", *normed, *model)
    assert done.status == 0
    assert "warning" not in done.err
    assert "model state taken: norms.0.mean, norms.0.var" in done.err
    source, after = arrays(tmp_path / "base"), arrays(tmp_path / "warm")
    for name in ("mean", "var"):
        name = f"state/norms.0.{name}"
        np.testing.assert_array_equal(after[name], source[name])
