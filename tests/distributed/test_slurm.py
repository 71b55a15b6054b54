"""Slurm tasks: environments recorded from Slurm 22.05."""

import pytest

from specflow.config.sections.mesh import COORDINATOR, COUNT, INDEX, ProcessesConfig
from specflow.distributed.processes import Place, place
from specflow.distributed.slurm import task
from specflow.mesh import idle_tasks

_NAMES = (
    "JOB_ID NNODES STEP_ID STEP_NODELIST STEP_NUM_TASKS STEP_TASKS_PER_NODE NTASKS "
    "PROCID NODEID LOCALID GPUS_ON_NODE"
).split()
FIRST = 65535 - 4096 + 1
"""JAX uses the last 4,096 ports, by the number of the job."""
TWO = {
    "JOB_ID": "77",
    "NNODES": "2",
    "STEP_ID": "0",
    "STEP_NODELIST": "node[003-004]",
    "STEP_NUM_TASKS": "2",
    "STEP_TASKS_PER_NODE": "1(x2)",
    "NTASKS": "2",
    "PROCID": "1",
    "NODEID": "1",
    "LOCALID": "0",
}
"""`srun -N 2 -n 2`, the second task."""


@pytest.fixture
def set_environment(monkeypatch):
    """Sets the environment of Slurm, and nothing else."""
    names = [f"SLURM_{name}" for name in _NAMES]
    extra = ["CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "JAX_COORDINATOR_PORT"]
    for name in [*names, *extra, COORDINATOR, COUNT, INDEX]:
        monkeypatch.delenv(name, raising=False)

    def say(words, *, visible=None):
        for name, value in words.items():
            monkeypatch.setenv(f"SLURM_{name}", value)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return say


def test_a_task_reads_its_place(set_environment):
    set_environment(TWO)
    assert place(None) == Place(f"node003:{FIRST + 77}", 2, 1)
    assert idle_tasks() == 0


def test_a_config_sets_the_time_out_of_a_task(set_environment):
    set_environment(TWO)
    task_place = place(ProcessesConfig(timeout=9))
    assert task_place == Place(f"node003:{FIRST + 77}", 2, 1, 9.0)


def test_two_steps_of_a_job_use_different_ports(set_environment):
    set_environment(TWO | {"STEP_ID": "1"})
    task_place = place(None)
    assert task_place is not None
    assert task_place.coordinator != f"node003:{FIRST + 77}"


def test_the_port_can_be_overridden(set_environment, monkeypatch):
    set_environment(TWO)
    monkeypatch.setenv("JAX_COORDINATOR_PORT", "4000")
    assert place(None) == Place("node003:4000", 2, 1)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node1", "node1"),
        ("node1,gpu2", "node1"),
        ("node[003-004]", "node003"),
        ("rack1n[07,09-12],gpu2", "rack1n07"),
        ("a[1-2]b[3-4],c", "a1b3"),
    ],
)
def test_the_coordinator_is_the_first_node(set_environment, nodes, first):
    set_environment(TWO | {"STEP_NODELIST": nodes})
    task_place = task()
    assert task_place is not None
    assert task_place.coordinator.split(":")[0] == first


@pytest.mark.parametrize(
    ("asked", "tasks", "node", "local", "there", "visible", "own"),
    [
        ("-N 2 -n 2 --gpus-per-node=4", "1(x2)", 1, 0, "4", "0,1,2,3", None),
        ("-N 2 -n 4 --gpus-per-node=4", "2(x2)", 1, 0, "4", "0,1,2,3", (0, 1)),
        ("-N 2 -n 4 --gpus-per-node=4", "2(x2)", 1, 1, "4", "0,1,2,3", (2, 3)),
        ("-N 2 -n 4 --gpus-per-node=4", "3,1", 0, 2, "4", "0,1,2,3", (2,)),
        ("-N 2 -n 4 --gpus-per-node=4", "3,1", 1, 0, "4", "0,1,2,3", None),
        ("-N 1 -n 2 --gpus-per-task=1", "2", 0, 1, "2", "1", None),
        ("-N 2 -n 4 --gpus-per-task=2", "2(x2)", 1, 1, "4", "2,3", None),
        # A cluster that does not know of its GPUs: as JAX would have it.
        ("-N 1 -n 4", "4", 0, 3, None, None, (3,)),
    ],
)
def test_a_task_uses_its_own_gpus(
    set_environment, asked, tasks, node, local, there, visible, own
):
    """By index among the visible GPUs; None is all of them."""
    words = {"STEP_TASKS_PER_NODE": tasks, "NODEID": str(node), "LOCALID": str(local)}
    if there is not None:
        words["GPUS_ON_NODE"] = there
    set_environment(TWO | words, visible=visible)
    task_place = task()
    assert task_place is not None
    assert task_place.devices == own, asked


def test_a_single_task_is_one_process(set_environment):
    set_environment(TWO | {"STEP_NUM_TASKS": "1", "NTASKS": "1", "NNODES": "1"})
    assert place(None) is None
    assert idle_tasks() == 0


@pytest.mark.parametrize(
    ("words", "idle"),
    [
        # The shell of `salloc` where it is a step: it has the job's count of tasks.
        (TWO | {"STEP_NUM_TASKS": "1", "NTASKS": "4"}, 4),
        ({"JOB_ID": "77", "NTASKS": "4", "PROCID": "0", "LOCALID": "0"}, 4),
        ({"JOB_ID": "77", "NNODES": "2", "PROCID": "0", "LOCALID": "0"}, 2),
    ],
)
def test_without_srun_a_command_is_one_process_and_tasks_are_idle(
    set_environment, words, idle
):
    set_environment(words)
    assert place(None) is None
    assert idle_tasks() == idle


def test_without_slurm_no_tasks_are_idle(set_environment):
    set_environment({})
    assert idle_tasks() == 0
