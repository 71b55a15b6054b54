"""Two real processes save while they compute; one of them may fail."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from specflow.output import Checkpointer
from tests.preloaded import Preloaded

ROOT = Path(__file__).parents[2]
PROGRAM = """
import errno
import json
import os
import signal
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from specflow.distributed import side_channel
from specflow.output import Checkpointer
from specflow.output.checkpoint.archive import Archive

address, index, folder = sys.argv[2], int(sys.argv[3]), sys.argv[4]
jax.config.update("jax_num_cpu_devices", 2)
jax.distributed.initialize(address, 2, index)
mesh = jax.make_mesh((4,), ("data",))
rows = NamedSharding(mesh, PartitionSpec("data"))
whole = NamedSharding(mesh, PartitionSpec())
START = np.arange(32, dtype=np.float32).reshape(8, 4)


def laid(array, sharding):
    return jax.make_array_from_callback(array.shape, sharding, lambda at: array[at])


@jax.jit
def computed(state):
    # Every process needs the rows of all.
    return {"x": state["x"] + jnp.sum(state["x"]), "count": state["count"] + 1}


step = jax.jit(computed, donate_argnums=0)
state = {"x": laid(START, rows), "count": laid(np.zeros((), np.int32), whole)}
abstract = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding),
    state,
)
write_share = Archive.write_share
results = {}


def tell():
    print(json.dumps(results), flush=True)


def failure(function):
    try:
        function()
    except Exception as error:
        return [type(error).__name__, str(error), vars(error).get("shared")]


def while_saving(state):
    go_on = threading.Event()

    def write_late(*words, **named):
        go_on.wait()
        return write_share(*words, **named)

    with Checkpointer(folder, keep=1) as saves:
        if index == 1:
            Archive.write_share = write_late
        saves.save(1, state, data={"place": 5})
        for _ in range(3):
            state = step(state)
        results["count"] = int(state["count"].addressable_data(0))
        results["there during it"] = [
            path.name for path in saves.directory.glob("*") if path.name.isdigit()
        ]
        go_on.set()
        results["restored"] = [
            [shard.index[0].start, np.asarray(shard.data).tolist()]
            for shard in saves.restore(abstract).state["x"].addressable_shards
        ]
        saves.save(2, state)
        saves.save(3, state)
        results["there after it"] = saves.steps()

        def refuse(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        for process, share in ((1, refuse), (0, refuse)):
            Archive.write_share = refuse if index == process else write_share
            saves.save(4, state)
            results[f"error of {process}"] = failure(saves.wait)
        results["left"] = sorted(path.name for path in saves.directory.iterdir())
        Archive.write_share = write_share
        state = step(state)
        saves.save(4, state)
    results["in the end"] = saves.steps()
    client = jax._src.distributed.global_state.client
    results["keys left"] = len(client.key_value_dir_get("specflow/side_channel/"))
    tell()


def killed(state):
    def die(*words, **named):
        (saves.directory / "dying").touch()
        os.kill(os.getpid(), signal.SIGKILL)

    side_channel._EXPIRY_S = 0.5
    saves = Checkpointer(folder)
    saves.save(1, state)
    saves.wait()
    if index == 1:
        Archive.write_share = die
    saves.save(2, state)
    while not (saves.directory / "dying").exists():
        time.sleep(0.01)
    saves.abandon_pending_save()  # As after a failed computation.
    saves.close()
    results["there"] = saves.steps()
    tell()
    os._exit(0)  # JAX would wait for the other one.


{"while saving": while_saving, "killed": killed}[sys.argv[1]](state)
"""


def both(what, folder, address):
    """Runs the processes: exit statuses and their results."""
    started = [
        Preloaded(
            [sys.executable, "-c", PROGRAM, what, address, str(index), str(folder)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    ended = []
    try:
        for process in started:
            out, errors = process.communicate(timeout=120)
            # Others, such as Gloo, write there too.
            lines = [line for line in out.splitlines() if line.startswith("{")]
            report = json.loads(lines[-1]) if lines else None
            ended.append((process.returncode, report, errors))
    finally:
        for process in started:
            process.kill()
            process.communicate()
    return ended


@pytest.fixture(scope="module")
def results(tmp_path_factory, new_coordinator):
    """Results of both processes that save while they compute, and the folder."""
    folder = tmp_path_factory.mktemp("saves") / "checkpoints"
    first, second = both("while saving", folder, new_coordinator())
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    return folder, first[1], second[1]


def test_steps_run_while_a_save_waits(results):
    _, *both = results
    for one in both:
        assert one["count"] == 3
        assert one["there during it"] == []


def test_a_save_starts_when_the_previous_one_has_finished(results):
    _, *both = results
    # One is kept: the last one has retired the others.
    assert [one["there after it"] for one in both] == [[3], [3]]


def test_an_error_of_one_process_is_raised_in_all(results):
    folder, *both = results
    for process in (0, 1):
        expected = (
            f"{folder}/4: the checkpoint of step 4 was not written: process {process}: "
            "No space left on device. Free disk space or fix the permissions and run "
            "the same command again; it resumes from step 3."
        )
        for one in both:
            assert one[f"error of {process}"] == ["OutputError", expected, True]


def test_a_failed_save_leaves_nothing_and_can_be_repeated(results):
    _, *both = results
    for one in both:
        assert one["left"] == ["3"]
        assert one["in the end"] == [4]
        # Of the last turns only, however many saves there were.
        assert one["keys left"] <= 6


def test_the_saved_state_is_that_of_its_step(results):
    folder, *both = results
    expected = np.arange(32, dtype=np.float32).reshape(8, 4)
    # Restored by both, which had stepped on and given the state away.
    pieces = dict(piece for one in both for piece in one["restored"])
    assert pieces == {
        start: expected[start : start + 2].tolist() for start in (0, 2, 4, 6)
    }
    for _ in range(4):
        expected = expected + expected.sum()
    with Checkpointer(folder) as saves:
        restored = saves.arrays()
    assert restored["count"] == 4
    np.testing.assert_allclose(restored["x"], expected, rtol=1e-6)


def test_a_process_killed_while_saving_leaves_the_previous_checkpoint(
    coordinator, tmp_path
):
    first, second = both("killed", tmp_path, coordinator)
    assert second[0] == -signal.SIGKILL
    assert first[0] == 0, first[2]
    assert first[1] == {"there": [1]}
    (tmp_path / "dying").unlink()
    form = {
        "x": jax.ShapeDtypeStruct((8, 4), np.float32),
        "count": jax.ShapeDtypeStruct((), np.int32),
    }
    notes = []
    with Checkpointer(tmp_path, on_warning=notes.append) as saves:
        restored = saves.restore(form)
        assert restored.step == 1
        saves.save(2, restored.state)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["1", "2"]
    assert not notes
