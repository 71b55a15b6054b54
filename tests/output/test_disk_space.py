"""Room on the disk for checkpoints, and directories that vanish."""

import resource
import shutil
import subprocess
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.config.sections.output import BestConfig
from specflow.diagnostics.errors import OutputError, SpecflowWarning
from specflow.diagnostics.rendering import line
from specflow.output import Checkpointer
from specflow.output.checkpoint import disk_space
from specflow.output.checkpoint.disk_space import bytes_of, free_bytes, largest_file
from tests.compose.conftest import golden

__all__ = ["golden"]

MIB = 1 << 20
NEED = MIB
"""Bytes of a checkpoint of `saved`."""


@pytest.fixture
def free(monkeypatch):
    """Sets the free space of every disk, in bytes."""

    def set_free(count):
        monkeypatch.setattr(disk_space, "free_bytes", lambda path: count)

    return set_free


@pytest.fixture
def limited():
    """Limits the size of files that this process writes, until the test ends."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def saved(directory, *steps, **options):
    """A checkpointer that has saved 1 MiB at some steps."""
    checkpointer = Checkpointer(directory, **options)
    for step in steps:
        checkpointer.save(step, {"params": {"w": jnp.ones((512, 512))}})
    checkpointer.wait()
    return checkpointer


def test_every_message(tmp_path, free, limited, golden):
    lines = []

    def note(space, text, **kinds):
        error, warning = space.diagnostics(NEED)
        found = {"error": error, "warning": warning}
        (kind,) = [kind for kind, diagnostic in found.items() if diagnostic]
        lines.append(f"# {text}\n{line(found[kind], kind=kind)}\n")

    space = Checkpointer(tmp_path / "checkpoints").space
    best = Checkpointer(tmp_path / "checkpoints", best=BestConfig()).space
    everything = Checkpointer(tmp_path / "checkpoints", keep=0).space
    free(2 * MIB + 1)
    note(space, "room for two")
    free(MIB)
    note(best, "room for one, and the best is kept")
    free(0)
    note(everything, "room for none, all are kept, nothing is saved")
    saved_space = Checkpointer(tmp_path / "checkpoints").space
    (tmp_path / "checkpoints" / "20").mkdir(parents=True)
    free(MIB - 1)
    note(saved_space, "room for none, after step 20")
    limited(MIB // 2)
    note(space, "files of half the size")
    limited(resource.RLIM_INFINITY)
    free(4 * MIB)
    space.begin(NEED)
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(OutputError) as error:
        space.check_directory()
    lines.append(f"# removed while training runs\n{line(error.value.diagnostics[0])}\n")
    golden("errors/disk_space.txt", "\n".join(lines).replace(str(tmp_path), "run"))


@given(free=st.integers(0, 5 * MIB))
def test_less_than_one_is_an_error_and_less_than_three_a_warning(
    tmp_path_factory, free
):
    space = Checkpointer(tmp_path_factory.getbasetemp() / "none").space
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(disk_space, "free_bytes", lambda path: free)
        error, warning = space.diagnostics(NEED)
    assert (error is not None, warning is not None) == (
        free < MIB,
        MIB <= free < 3 * MIB,
    )


def test_the_warning_comes_once_and_again_after_there_was_room(tmp_path, free):
    space = Checkpointer(tmp_path).space
    counts = []
    for size in (2, 2, 1, 3, 2, 2):
        free(size * MIB)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            space.check(NEED)
        counts.append([one.category for one in caught].count(SpecflowWarning))
    assert counts == [1, 0, 0, 0, 1, 0]


def test_the_size_of_the_newest_checkpoint_counts_if_it_is_larger(tmp_path, free):
    checkpointer = saved(tmp_path, 1)
    (tmp_path / "1" / "more").write_bytes(bytes(3 * MIB))
    on_disk = sum(p.stat().st_size for p in (tmp_path / "1").rglob("*") if p.is_file())
    assert on_disk > 3 * MIB
    for size, is_error in ((on_disk - 1, True), (on_disk, False)):
        free(size)
        error, _ = checkpointer.space.diagnostics(NEED)
        assert (error is not None) == is_error
    checkpointer.close()


@pytest.mark.parametrize("name", ["2.partial", "deleting-1"])
def test_what_the_next_save_removes_first_counts_as_free(tmp_path, free, name):
    space = Checkpointer(tmp_path).space
    free(MIB // 2)
    assert space.diagnostics(NEED)[0] is not None
    (tmp_path / name).mkdir()
    (tmp_path / name / "arrays").write_bytes(bytes(MIB))
    assert space.diagnostics(NEED)[0] is None


def test_a_save_without_room_changes_nothing_and_the_next_with_room_is_made(
    tmp_path, free
):
    free(10 * MIB)
    checkpointer = saved(tmp_path, 1, 2, keep=2)
    before = sorted(path for path in tmp_path.rglob("*"))
    free(MIB // 2)
    with pytest.raises(OutputError) as error:
        checkpointer.save(3, {"params": {"w": jnp.ones((512, 512))}})
    assert [one.code for one in error.value.diagnostics] == ["disk-full"]
    checkpointer.wait()
    assert sorted(path for path in tmp_path.rglob("*")) == before
    free(10 * MIB)
    checkpointer.save(3, {"params": {"w": jnp.ones((512, 512))}})
    checkpointer.close()
    assert checkpointer.steps() == [2, 3]


def test_a_vanished_directory_is_not_created_again_until_training_begins(tmp_path):
    directory = tmp_path / "run" / "checkpoints"
    with saved(directory, 1) as checkpointer:
        checkpointer.space.begin(NEED)
        shutil.rmtree(tmp_path / "run")
        with pytest.raises(OutputError, match="has vanished"):
            checkpointer.save(2, {"params": {"w": jnp.ones((512, 512))}})
        assert not (tmp_path / "run").exists()
        checkpointer.space.begin(NEED)
        checkpointer.save(2, {"params": {"w": jnp.ones((512, 512))}})
        checkpointer.wait()
        assert checkpointer.steps() == [2]


def test_bytes_are_those_of_the_arrays():
    state = {
        "a": np.zeros((3, 5), np.float32),
        "b": {"c": jnp.zeros((7,), jnp.bfloat16), "d": np.zeros((0, 9))},
        "e": jax.ShapeDtypeStruct((2, 2), jnp.int8),
    }
    assert bytes_of(state) == 3 * 5 * 4 + 7 * 2 + 0 + 4


def test_free_space_is_that_of_the_nearest_parent_that_exists(tmp_path):
    """`df` is the independent source; other processes write meanwhile."""
    command = ["df", "--output=avail", "-B1", str(tmp_path)]
    expected = int(subprocess.check_output(command).split()[-1])
    found = free_bytes(tmp_path / "not" / "yet" / "there")
    assert found == pytest.approx(expected, abs=1 << 30)


def test_a_file_system_without_a_size_is_not_judged(tmp_path, monkeypatch):
    """Some network file systems report none."""
    nothing = shutil._ntuple_diskusage(0, 0, 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: nothing)
    assert free_bytes(tmp_path) is None
    assert Checkpointer(tmp_path).space.diagnostics(NEED) == (None, None)


def test_the_largest_file_is_the_limit_of_the_process(limited):
    limited(12_345_678)
    assert largest_file() == 12_345_678
    limited(resource.RLIM_INFINITY)
    assert largest_file() is None


def test_a_size_limit_in_the_middle_of_a_write_leaves_the_earlier_checkpoint(
    tmp_path, limited
):
    """The arrays alone would fit; their file has a header too."""
    state = {"params": {"w": jnp.ones((512, 512))}}
    with saved(tmp_path, 1) as checkpointer:
        limited(MIB + 10)
        checkpointer.save(2, state)
        with pytest.raises(OutputError) as error:
            checkpointer.wait()
        assert str(error.value) == (
            f"{tmp_path}/2: the checkpoint of step 2 was not written: File too large. "
            "Free disk space or fix the permissions and run the same command again; "
            "it resumes from step 1."
        )
        assert [path.name for path in tmp_path.iterdir()] == ["1"]
        limited(resource.RLIM_INFINITY)
        checkpointer.save(2, state)
        checkpointer.wait()
        assert checkpointer.steps() == [1, 2]
