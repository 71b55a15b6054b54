"""Slurm tasks: index, count, coordinator and devices from the environment of `srun`."""

import dataclasses
import os
import re

__all__ = ["Task", "idle_tasks", "task"]

_PORTS = range(61440, 65536)
"""Ports above those that Linux assigns automatically."""
_STEP_STRIDE = 1021
"""Separates the ports of a job's steps from those of jobs with nearby numbers."""
_VISIBLE = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """A process that `srun` started, as one of its job step."""

    coordinator: str
    """`host:port` of process 0."""
    count: int
    index: int
    devices: tuple[int, ...] | None
    """Indices of its own GPUs among the visible ones; None: all of them."""


def task() -> Task | None:
    """Returns this process as a task of Slurm; None if `srun` did not start it.

    The count is that of the step. `SLURM_NTASKS` has it too, but in a shell opened by
    `salloc` it is that of the job, none of whose tasks runs yet.
    """
    nodes, count = _variable("STEP_NODELIST"), _variable("STEP_NUM_TASKS")
    if not (nodes and count and _variable("JOB_ID")):
        return None
    port = os.environ.get("JAX_COORDINATOR_PORT") or _port()
    return Task(
        f"{_first_node(nodes)}:{port}", int(count), _number("PROCID"), _devices()
    )


def idle_tasks() -> int:
    """Returns the number of tasks of a job if this process is not one of them, or 0.

    In a batch script, or in the shell of `salloc`, a command without `srun` is a single
    process, whatever number of tasks was requested.
    """
    if not _variable("JOB_ID") or _number("STEP_NUM_TASKS", 1) > 1:
        return 0
    tasks = max(_number("NTASKS", 1), _number("NNODES", 1))
    return tasks if tasks > 1 else 0


def _variable(name: str) -> str:
    return os.environ.get(f"SLURM_{name}", "")


def _number(name: str, default: int = 0) -> int:
    return int(_variable(name) or default)


def _port() -> int:
    # Like JAX, but per step: several may run at the same time.
    of_step = _number("JOB_ID") + _STEP_STRIDE * _number("STEP_ID")
    return _PORTS[of_step % len(_PORTS)]


def _first_node(nodes: str) -> str:
    """Returns the first node of a list: `rack1n[03-05,07],gpu2` -> `rack1n03`."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", nodes)
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", first[0] if first else nodes)


def _devices() -> tuple[int, ...] | None:
    """Returns this task's GPUs, if Slurm shows it all GPUs of the step."""
    tasks, local = _tasks_here(), _number("LOCALID")
    if tasks == 1:
        return None
    visible = next((os.environ[name] for name in _VISIBLE if os.environ.get(name)), "")
    seen = len(visible.split(",")) if visible else 0
    on_node = _number("GPUS_ON_NODE", seen)
    if seen and seen < on_node:
        return None
    each = max(1, on_node // tasks)
    return tuple(range(local * each, (local + 1) * each))


def _tasks_here() -> int:
    """Returns the tasks on this node: `2(x3),1` and node 3 -> 1."""
    text, counts = _variable("STEP_TASKS_PER_NODE") or "1", list[int]()
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        counts += [int(count)] * int(times or 1)
    return counts[_number("NODEID")]
