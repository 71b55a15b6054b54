"""Each worker of a machine has cores and GPUs of its own."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.diagnostics.errors import ConfigError
from specflow.runtime.devices_of_workers import CORES, worker_environments


def divided(workers, cores, gpus):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda _: set(cores))
        patch.setenv("CUDA_VISIBLE_DEVICES", gpus)
        patch.delenv("JAX_PLATFORMS", raising=False)
        return worker_environments(workers)


@given(
    workers=st.integers(2, 8),
    cores=st.sets(st.integers(0, 255), min_size=8, max_size=64),
    gpus=st.lists(st.integers(0, 15), min_size=8, max_size=16, unique=True),
)
def test_workers_share_nothing_and_together_have_all(workers, cores, gpus):
    own = divided(workers, cores, ",".join(map(str, gpus)))
    for name, every in ((CORES, cores), ("CUDA_VISIBLE_DEVICES", gpus)):
        parts = [list(map(int, one[name].split(","))) for one in own]
        assert sorted(number for part in parts for number in part) == sorted(every)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_cores_are_shared_where_there_are_fewer_than_workers():
    own = [one[CORES] for one in divided(3, {4, 7}, "")]
    assert own == ["4", "7", "4"]


def test_gpus_are_never_shared():
    with pytest.raises(ConfigError) as error:
        divided(3, {0}, "GPU-a,GPU-b")
    assert str(error.value) == (
        "hydra.launcher.workers: got 3, and there are 2 GPUs. Expected 1 to 2: each "
        "worker has GPUs of its own. Or JAX_PLATFORMS=cpu."
    )


@pytest.mark.parametrize("visible", ["", "-1", "-1,0"])
def test_gpus_that_are_hidden_are_none(visible):
    assert all("CUDA_VISIBLE_DEVICES" not in one for one in divided(2, {0, 1}, visible))
