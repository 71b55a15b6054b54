"""Damaged checkpoints: detected at every byte, passed over, reported in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import xxhash

from specflow.diagnostics.errors import CheckpointError
from specflow.output import Checkpointer

ABSTRACT = {"params": {"a.b": jax.ShapeDtypeStruct((200, 50), "float32")}}


def state_of(seed: int) -> dict:
    values = np.random.default_rng(seed).standard_normal((200, 50), np.float32)
    return {"params": {"a.b": values}}


@pytest.fixture
def two(tmp_path) -> Path:
    """A directory with checkpoints of steps 10 and 20."""
    with Checkpointer(tmp_path) as checkpointer:
        checkpointer.save(10, state_of(10), data={"next_index": 10})
        checkpointer.save(20, state_of(20), data={"next_index": 20})
    return tmp_path


def largest_file(folder: Path) -> Path:
    return max(
        (path for path in folder.rglob("*") if path.is_file()),
        key=lambda path: path.stat().st_size,
    )


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x10
    path.write_bytes(content)


def restored_step(directory: Path) -> tuple[int, list[str]]:
    """Restores, compares the state, and returns the step and the notes."""
    notes: list[str] = []
    with Checkpointer(directory, on_warning=notes.append) as checkpointer:
        restored = checkpointer.restore(ABSTRACT)
    np.testing.assert_array_equal(
        np.asarray(restored.state["params"]["a.b"]),
        state_of(restored.step)["params"]["a.b"],
    )
    assert restored.data == {"next_index": restored.step}
    return restored.step, notes


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.4, 0.5, 0.6, 0.8, 0.99])
def test_a_flipped_byte_is_detected_and_the_step_before_is_restored(two, share):
    path = largest_file(two / "20")
    flip(path, int(share * path.stat().st_size))
    step, notes = restored_step(two)
    assert step == 10
    assert len(notes) == 1
    assert "\n" not in notes[0]
    assert notes[0].startswith("checkpoint of step 20 is damaged (")
    assert notes[0].endswith("); resuming from step 10")


def test_the_note_names_the_corrupted_array(two):
    path = largest_file(two / "20")
    flip(path, path.stat().st_size // 2)
    assert restored_step(two)[1] == [
        "checkpoint of step 20 is damaged (params/a.b changed since it was written); "
        "resuming from step 10"
    ]


def test_a_flipped_byte_anywhere_in_any_file_never_gives_wrong_values(two):
    """With any flipped byte, the correct values of step 20 or 10 are restored."""
    files = sorted(path for path in (two / "20").rglob("*") if path.is_file())
    rng = np.random.default_rng(0)
    for path in files:
        whole = path.read_bytes()
        for offset in rng.integers(0, max(1, len(whole)), 3 if whole else 0):
            flip(path, int(offset))
            restored_step(two)  # Checks the values of the step it gives.
            path.write_bytes(whole)
    assert restored_step(two) == (20, [])


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_a_truncated_file_is_detected(two, share):
    path = largest_file(two / "20")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert restored_step(two)[0] == 10


def test_a_changed_description_is_detected(two):
    path = two / "20" / "checkpoint.json"
    path.write_text(path.read_text().replace('"next_index":20', '"next_index":21'))
    assert restored_step(two) == (
        10,
        [
            "checkpoint of step 20 is damaged (its description has changed since it "
            "was written); resuming from step 10"
        ],
    )


@pytest.mark.parametrize(
    "item", ["arrays-00000-of-00001.safetensors", "checkpoint.json"]
)
def test_a_missing_item_is_detected(two, item):
    (two / "20" / item).rename(two / "gone")
    assert restored_step(two)[0] == 10


def test_a_damaged_step_that_is_requested_is_an_error(two):
    path = largest_file(two / "20")
    flip(path, path.stat().st_size // 2)
    with (
        Checkpointer(two) as checkpointer,
        pytest.raises(CheckpointError) as error,
    ):
        checkpointer.restore(ABSTRACT, step=20)
    assert str(error.value) == (
        f"{two}/20: the checkpoint of step 20 is damaged: params/a.b changed since it "
        "was written. Other steps: 10."
    )


def test_if_all_are_damaged_every_step_is_named_with_its_reason(two):
    for step in ("10", "20"):
        path = largest_file(two / step)
        flip(path, path.stat().st_size // 2)
    with (
        Checkpointer(two) as checkpointer,
        pytest.raises(CheckpointError) as error,
    ):
        checkpointer.restore(ABSTRACT)
    assert str(error.value) == "\n".join(
        f"{two}/{step}: the checkpoint of step {step} is damaged: params/a.b changed "
        "since it was written."
        for step in (20, 10)
    )


def test_a_damaged_step_is_superseded_when_it_is_written_again(two):
    path = largest_file(two / "20")
    flip(path, path.stat().st_size // 2)
    notes: list[str] = []
    with Checkpointer(two, on_warning=notes.append) as checkpointer:
        assert checkpointer.restore(ABSTRACT).step == 10
        checkpointer.save(20, state_of(20), data={"next_index": 20})
    assert restored_step(two) == (20, [])
    assert (two / "superseded" / "20-1" / "checkpoint.json").is_file()


def test_only_the_note_reaches_standard_error(two):
    path = largest_file(two / "20")
    path.write_bytes(path.read_bytes()[:100])
    script = (
        "import sys, jax\n"
        "from specflow.output import Checkpointer\n"
        "shape = jax.ShapeDtypeStruct((200, 50), 'float32')\n"
        "with Checkpointer(sys.argv[1]) as checkpointer:\n"
        "    state = checkpointer.restore({'params': {'a.b': shape}}).state\n"
        "    checkpointer.save(30, state)\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", script, str(two)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    assert output.stdout == ""
    (line,) = output.stderr.splitlines()
    assert line.startswith("checkpoint of step 20 is damaged (")


@pytest.mark.parametrize(
    ("version", "hint"),
    [(None, "train again in another directory."), (99, "or a newer one.")],
)
def test_another_version_of_the_format_is_refused_by_name(two, version, hint):
    """Version 1 had no number: its model state was under `rest/`."""
    path = two / "20" / "checkpoint.json"
    about = json.loads(path.read_text())
    del about["xxh3_128"], about["format"]
    about |= {} if version is None else {"format": version}
    text = json.dumps(about, sort_keys=True, separators=(",", ":"))
    digest = xxhash.xxh3_128_hexdigest(text.encode())
    path.write_text(json.dumps({**about, "xxh3_128": digest}))
    with (
        Checkpointer(two) as checkpointer,
        pytest.raises(CheckpointError) as refused,
    ):
        checkpointer.restore(ABSTRACT)
    (diagnostic,) = refused.value.diagnostics
    assert diagnostic.code == "checkpoint-format"
    assert str(diagnostic).startswith(
        f"{two}/20: has version {version or 1} of the checkpoint format. "
        "Expected version 3. "
    )
    assert str(diagnostic).endswith(hint)
