"""Bad input gives one message with the key, file or row, and nothing is lost."""

import shutil

import numpy as np
import pytest

from specflow.cli.main import main
from specflow.compose import compose
from specflow.config.sections.optimizer import AdamWConfig
from specflow.output import open_run

NPZ = (
    "data=npz",
    "spec.inputs.x=features.x",
    "data.train=ok.npz",
    "data.eval=ok.npz",
    "loop.batch_size=4",
    "loop.train_steps=3",
    "output.dir=run",
)


@pytest.fixture
def files(specflow):
    """Small data sets: a valid one, and one for each error."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 6)).astype(np.float32)
    labels = rng.integers(0, 10, 20).astype(np.int32)
    outside, hole = labels.copy(), x.copy()
    outside[7], hole[13, 2] = 10, np.nan
    for name, arrays in {
        "ok": (x, labels),
        "empty": (x[:0], labels[:0]),
        "outside": (x, outside),
        "hole": (hole, labels),
    }.items():
        np.savez(specflow.cwd / f"{name}.npz", x=arrays[0], labels=arrays[1])
    (specflow.cwd / "text.npz").write_text("no archive")


FIELDS = sorted(AdamWConfig.model_fields)

WRONG = {
    "an unknown key": (
        ["optimizer.lrr=3e-4"],
        ["error[unknown-key] optimizer.lrr: no such field (override "
         "optimizer.lrr=3e-4). Did you "
         f"mean optimizer.lr? Fields of adamw: {', '.join(FIELDS)}."],
    ),
    "wrong types, all at once": (
        ["optimizer.lr=fast", "loop.train_steps=1.5"],
        ["error[type] optimizer.lr: got 'fast' (override optimizer.lr=fast). Expected "
         "a "
         "number > 0.",
         "error[type] loop.train_steps: got 1.5 (override loop.train_steps=1.5). "
         "Expected a "
         "whole number > 0 and <= 2e+09, or null."],
    ),
    "a missing file": (
        ["data.train=nowhere.npz"],
        ["error[missing-file] data.train: there is no file 'nowhere.npz' (override "
         "data.train=nowhere.npz). Relative paths start from the working directory."],
    ),
    "a file of another kind": (
        ["data.eval=text.npz"],
        ["error[data-file] data.eval: text.npz is not an .npz archive (override "
         "data.eval=text.npz). Write it with "
         "numpy.savez(path, labels=..., ...)."],
    ),
    "an empty data set": (
        ["data.eval=empty.npz"],
        ["error[data-empty] features.x: has no rows: the data set is empty "
         "(empty.npz). Expected "
         "at least one row."],
    ),
    "labels out of range": (
        ["data.train=outside.npz"],
        ["error[label-range] labels: row 7 has 10 (outside.npz). Expected integers in "
         "[0, 10), "
         "because spec.loss.cross_entropy has logits of 10 classes."],
    ),
    "labels out of range, held out": (
        ["data.eval=outside.npz"],
        ["error[label-range] labels: row 7 has 10 (outside.npz). Expected integers in "
         "[0, 10), "
         "because spec.loss.cross_entropy has logits of 10 classes."],
    ),
    "a NaN in the data": (
        ["data.train=hole.npz"],
        ["error[not-finite] features.x: row 13 has nan (hole.npz). Expected finite "
         "numbers. Drop "
         "or fill such rows first."],
    ),
    "a batch that the mesh cannot divide": (
        ["mesh.axes.data=8", "mesh.pretend_devices=8", "loop.eval_batch_size=16"],
        ["error[rule] loop.batch_size: got 4 (override loop.batch_size=4). Expected a "
         "multiple of 8 (mesh.axes.data x mesh.axes.fsdp), such as 8."],
    ),
    "a batch that the devices there are cannot divide": (
        ["mesh=fsdp", "mesh.pretend_devices=8", "loop.eval_batch_size=12"],
        ["error[batch-divides] loop.batch_size: got 4, which data 1 x fsdp 8 does not "
         "divide (override loop.batch_size=4). "
         "Expected a multiple of 8, such as 8.",
         "error[batch-divides] loop.eval_batch_size: got 12, which data 1 x fsdp 8 "
         "does "
         "not divide (override loop.eval_batch_size=12). "
         "Expected a multiple of 8, such as 8 or 16."],
    ),
    "a mesh larger than the machine": (
        ["mesh.axes.data=4", "mesh.axes.tensor=2", "loop.batch_size=8"],
        ["error[mesh-devices] mesh.axes: data 4 x tensor 2 needs 8 devices, and there "
         "are 1. "
         "Expected sizes that multiply to at most 1. Try mesh.pretend_devices=8 to "
         "pretend them on this CPU."],
    ),
}  # fmt: skip


ALONE = (
    "an unknown key",
    "labels out of range",
    "a batch that the devices there are cannot divide",
    "a mesh larger than the machine",
)
"""Run as separate processes, all at once, since most of their time is the start of
Python. The others run the same command line in this process."""


def test_an_error_prints_its_message_alone_before_anything_is_written(
    specflow, quick, files
):
    commands = [("train", *quick, *NPZ, *WRONG[name][0]) for name in ALONE]
    for name, done in zip(ALONE, specflow.all(*commands), strict=True):
        assert done.err.splitlines() == WRONG[name][1], name
        assert (done.status, done.out) == (2, ""), name
    assert not (specflow.cwd / "run").exists()


@pytest.mark.parametrize("name", [name for name in WRONG if name not in ALONE])
def test_every_error_has_one_message(name, specflow, quick, files, capfd, monkeypatch):
    monkeypatch.chdir(specflow.cwd)
    arguments, lines = WRONG[name]
    assert main(["train", *quick, *NPZ, *arguments]) == 2
    out, err = capfd.readouterr()
    assert err.splitlines() == lines
    assert out == ""
    assert not (specflow.cwd / "run").exists()


def test_a_nan_loss_ends_training_and_is_not_saved(specflow, quick, files):
    """At a learning rate at which the second loss overflows."""
    done = specflow(
        "train", *quick, *NPZ, "optimizer.lr=1e38", "output.checkpoint.every=1",
    )  # fmt: skip
    assert done.status == 2  # From the same seed it would end so again.
    (line,) = [line for line in done.errors if line.startswith("error[")]
    assert line == (
        "error[nan-loss] step 2: the loss, or a parameter after the update, is nan. "
        "Expected finite numbers. No checkpoint was "
        "written of it. Lower optimizer.lr, set optimizer.clip_norm, or look at the "
        "rows of that step. The newest one is of step 1. Those rows: specflow predict "
        f"run={specflow.cwd}/run --rows-of 2."
    )
    names = [path.name for path in (specflow.cwd / "run" / "checkpoints").iterdir()]
    assert names == ["1"]


def test_a_limit_of_file_sizes_is_reported_once_and_earlier_files_remain(
    specflow, quick, files
):
    """With a limit of 20 kB per file; without it the same command resumes."""
    arguments = (
        "train", *quick, *NPZ, "model.hidden=[512]", "output.checkpoint.every=1",
    )  # fmt: skip
    assert specflow(*arguments, "loop.train_steps=1").status == 0
    checkpoint = specflow.cwd / "run" / "checkpoints" / "1"
    before = {
        path: path.read_bytes() for path in checkpoint.rglob("*") if path.is_file()
    }

    done = specflow(
        *arguments,
        largest_file=20_000,
        env={"JAX_ENABLE_COMPILATION_CACHE": "false"},
    )
    assert done.status == 75
    assert done.errors == [
        f"error[file-size-limit] {specflow.cwd}/run/checkpoints: files of this process "
        "may have 19.5 KiB (RLIMIT_FSIZE), and a checkpoint has 102.1 KiB. Expected a "
        "limit that is no smaller than the largest file. Raise it, with 'ulimit -f "
        "unlimited' or where the job scheduler sets it, and run the same command again."
    ]
    # Nothing has begun: the result is still that of the complete run.
    assert (specflow.cwd / "run" / "result.json").exists()
    after = {
        path: path.read_bytes() for path in checkpoint.rglob("*") if path.is_file()
    }
    assert after == before
    assert specflow(*arguments).status == 0


def test_a_checkpoint_of_another_model_is_named_array_by_array(
    specflow, finished, quick
):
    run = shutil.copytree(finished[0], specflow.cwd / "run")
    before = contents(run)
    done = specflow(
        "train",
        *quick,
        "output.dir=run",
        "loop.train_steps=20",
        "output.on_change=accept",
        "model.hidden=[8]",
    )
    assert (done.status, done.out) == (2, "")
    shapes = [
        ("head.kernel", "float32[16,10]", "float32[8,10]"),
        ("hidden.0.bias", "float32[16]", "float32[8]"),
        ("hidden.0.kernel", "float32[64,16]", "float32[64,8]"),
    ]
    assert done.errors == [
        f"error[checkpoint-of-another-model] {run}/checkpoints/12: checkpoint of "
        f"another model: 9 arrays differ "
        "(16 saved). Restore it with the config of its own run, or choose another "
        "output.dir.",
        *(
            f"error[checkpoint-of-another-model] {part}/{name}: {saved} in the "
            f"checkpoint, {wanted} in the model."
            for part in ("opt_state/[0]/mu", "opt_state/[0]/nu", "params")
            for name, saved, wanted in shapes
        ),
    ]
    assert contents(run) == before


def contents(run):
    """Every file of a run except its lock, which names the last writer."""
    files = (path for path in run.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files if path.name != ".lock"}


def test_a_directory_without_a_run_is_reported(specflow):
    nowhere, empty = specflow.all(("evaluate", "run=nowhere"), ("predict",))
    assert (nowhere.status, nowhere.out) == (2, "")
    assert nowhere.err == (
        "error[missing-file] run: no run in nowhere: it has no config.yaml (override "
        "run=nowhere). "
        "Expected the directory of a finished or stopped run.\n"
    )
    assert (empty.status, empty.out) == (2, "")
    assert empty.err == (
        "error[missing] run: is missing (command line). Expected run=DIR, the "
        "directory of a "
        "finished or stopped run.\n"
    )


def test_a_second_sweep_into_the_same_folder_is_refused_before_its_first_job(
    capsys, monkeypatch, tmp_path
):
    """Like a run in the directory of another; the files of the first sweep remain."""
    monkeypatch.chdir(tmp_path)
    arguments = ["experiment=digits_mlp", "loop.train_steps=1"]
    for job in (0, 1):
        made = compose([*arguments, f"seed={job}"])
        open_run(f"grid/{job}", made.yaml()).close()
    (tmp_path / "grid/trials.csv").write_text("job\n")
    files = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert main(["train", "-m", *arguments, "seed=0,3", "output.dir=grid"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error[run-changed] output.dir: 'grid/1' holds a run of another config: one "
        "value would change what is trained. Choose another output.dir, or resume with "
        "the new values: output.on_change=accept.",
        "error[run-changed] seed: was 1, is 3 in trial 1 of 2: seed=3 "
        "(override seed=3).",
    ]
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == files
