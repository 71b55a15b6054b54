"""Files that came from elsewhere: whatever stands in them, none of it runs."""

import hashlib
import json
import pickle
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from specflow.cli.main import main
from specflow.diagnostics.errors import ExportError
from specflow.output.checkpoint.archive import Archive
from specflow.output.checkpoint.saved_arrays import DamagedError, saved_arrays
from specflow.output.checkpoint.snapshot import HostSnapshots
from specflow.runtime.file_digests import content_digest
from specflow.serving import load_export

TRAIN = [
    *("train", "experiment=wine", "output.dir=run", "loop.train_steps=2"),
    *("loop.eval_every=0", "optimizer.schedule.warmup_steps=1"),
]


class Canary:
    """Unpickled, it leaves a file behind."""

    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return open, (self.file, "w")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run with its export."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert main(TRAIN) == 0
        assert main(["export", "run=run", "--platforms=cpu"]) == 0
    return root


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy of them, as it would arrive from somebody else."""
    shutil.copytree(made / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def canary(here):
    """A file that is there if anything ran; and the pickle that would make it."""
    file = here / "ran"
    yield pickle.dumps(Canary(file))
    assert not file.exists()


def test_the_canary_runs_when_it_is_unpickled(tmp_path):
    pickle.loads(pickle.dumps(Canary(tmp_path / "ran"))).close()
    assert (tmp_path / "ran").exists()


TAMPERED = {
    "target": (
        r"(?ms)^model:\n.*?^(?=\w)",
        "model: {_target_: os.system, command: X}\n",
    ),
    "nested target": (r"(?m)^  schedule:\n", "  schedule:\n    _target_: os.system\n"),
    "trusted by the file": (
        r"(?ms)^model:\n.*?^(?=\w)",
        "trust: [os, own_tools]\nmodel: {_target_: own_tools.Net}\n",
    ),
    "model function": (
        r"(?ms)^spec:\n.*?^(?=\w)",
        "spec: {model_fn: own_tools.model_fn}\n",
    ),
    "reader of pickles": (
        r"(?ms)^data:\n.*?^(?=\w)",
        "data: {_target_: flax.linen.attention.jnp.load, file: ran.npy, "
        "allow_pickle: true}\n",
    ),
    "object of Python's": (
        r"(?m)^seed: .*$",
        "seed: !!python/object/apply:os.system [X]",
    ),
    "callback": (r"\Z", "hydra: {callbacks: {x: {_target_: os.system, command: X}}}\n"),
    "own defaults": (r"\Z", "defaults: [{_target_: os.system}]\n"),
    "environment": (r"(?m)^name: .*$", "name: ${oc.env:HOME}"),
    "another run": (r"\Z", "run: ../other\n"),
}


@pytest.mark.parametrize("name", TAMPERED)
@pytest.mark.parametrize("command", ["evaluate", "train"])
def test_a_config_found_in_a_run_directory_runs_nothing(name, command, here, capsys):
    (here / "own_tools.py").write_text("open('ran', 'w')")
    np.save("ran.npy", np.array([Canary(here / "ran")]), allow_pickle=True)
    pattern, text = TAMPERED[name]
    file = here / "run" / "config.yaml"
    changed, count = re.subn(pattern, text.replace("X", "touch ran"), file.read_text())
    assert count == 1
    file.write_text(changed)
    assert main([command, "run=run", "output.dir=again"]) == 2
    assert not (here / "ran").exists()
    assert not (here / "again").exists()
    assert "own_tools" not in sys.modules
    assert "run/config.yaml" in capsys.readouterr().err


def test_no_file_of_a_checkpoint_is_unpickled(here, canary):
    arrays = {"w": np.arange(6.0).reshape(2, 3), "b": np.zeros(3)}
    whole = here / "whole"
    whole.mkdir()
    snapshot = HostSnapshots().take(arrays)
    written = Archive().write_share(whole, snapshot, process=0, processes=1)
    Archive().complete(whole, snapshot.layout, written, {"step": 1}, processes=1)
    files = sorted(
        path.relative_to(whole) for path in whole.rglob("*") if path.is_file()
    )
    assert len(files) == 2
    saved = saved_arrays(Archive().metadata(whole))
    refused = 0
    for file in files:
        shutil.copytree(whole, here / "copy")
        (here / "copy" / file).write_bytes(canary)
        for beside in ("state.pkl", "arrays.pickle", "checkpoint.json.pkl"):
            (here / "copy" / beside).write_bytes(canary)
        try:
            Archive().metadata(here / "copy")
            Archive().arrays(here / "copy", saved)
        except DamagedError:
            refused += 1
        finally:
            shutil.rmtree(here / "copy")
    assert refused == 2


def test_no_file_of_an_export_is_unpickled(here, canary):
    (export,) = (here / "run" / "export").iterdir()
    object_array = here / "objects.npy"
    np.save(object_array, np.array([Canary(here / "ran")]), allow_pickle=True)
    for file in sorted(path.name for path in export.iterdir()):
        for content in (canary, object_array.read_bytes()):
            copy = here / "copy"
            shutil.copytree(export, copy)
            sign(copy, file, content)
            with pytest.raises(ExportError):
                load_export(copy)
            shutil.rmtree(copy)


def test_an_export_holds_no_objects(here, canary):
    (export,) = (here / "run" / "export").iterdir()
    manifest = json.loads((export / "export.json").read_text())
    for entry in manifest["weights"]["arrays"].values():
        entry["dtype"] = "object"
    sign(export, "export.json", json.dumps(manifest).encode())
    with pytest.raises(ExportError):
        load_export(export)


def sign(export, name, content):
    """Writes a file into an export, with all digests right."""
    (export / name).write_bytes(content)
    manifest = export / "export.json"
    try:
        message = json.loads(manifest.read_bytes())
    except ValueError:
        return  # It is the manifest that is no JSON any more.
    if name != manifest.name:
        message["sha256"][name] = hashlib.sha256(content).hexdigest()
    message["digest"] = content_digest(message)
    manifest.write_text(json.dumps(message))


def test_no_array_of_objects_is_unpickled(here, canary):
    evil = np.array([Canary(here / "ran")], dtype=object)
    labels = np.zeros(1, np.int32)
    for name, arrays in {"a": {"x": evil}, "b": {"x": labels, "labels": evil}}.items():
        np.savez(f"{name}.npz", **{"labels": labels, **arrays})
    Path("c.npz").write_bytes(canary)
    np.save("d.npy", evil, allow_pickle=True)
    shutil.move("d.npy", "d.npz")
    for name in "abcd":
        words = ["data=npz", f"data.train={name}.npz", f"data.eval={name}.npz"]
        assert main(["check", "experiment=wine", *words]) == 2
