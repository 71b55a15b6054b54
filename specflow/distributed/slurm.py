"""What Slurm says of this process, in the environment that `srun` gives a task."""

import dataclasses
import os
import re

__all__ = ["Task", "idle_tasks", "task"]

_PORTS = range(61440, 65536)
"""Above those that Linux gives away by itself."""
_STEPS_APART = 1021
"""So that the ports of a job's steps are not those of the jobs beside it."""
_VISIBLE = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """A process that `srun` started, among those of its step."""

    coordinator: str
    """`host:port` of the first one."""
    count: int
    index: int
    devices: tuple[int, ...] | None
    """Which of the GPUs that it sees are its own; None: all of them."""


def task() -> Task | None:
    """This process as a task of Slurm; None where `srun` did not start it.

    The count is that of the step. `SLURM_NTASKS` says it too, but in the shell that
    `salloc` opens on a node it is that of the job, none of whose tasks runs yet.
    """
    nodes, count = _said("STEP_NODELIST"), _said("STEP_NUM_TASKS")
    if not (nodes and count and _said("JOB_ID")):
        return None
    port = os.environ.get("JAX_COORDINATOR_PORT") or _port()
    return Task(
        f"{_first_node(nodes)}:{port}", int(count), _number("PROCID"), _devices()
    )


def idle_tasks() -> int:
    """How many tasks a job has of which this process, alone in it, is none; or 0.

    In a batch script, or in the shell of `salloc`, a command without `srun` is one
    process, whatever was asked for.
    """
    if not _said("JOB_ID") or _number("STEP_NUM_TASKS", 1) > 1:
        return 0
    tasks = max(_number("NTASKS", 1), _number("NNODES", 1))
    return tasks if tasks > 1 else 0


def _said(name: str) -> str:
    return os.environ.get(f"SLURM_{name}", "")


def _number(name: str, default: int = 0) -> int:
    return int(_said(name) or default)


def _port() -> int:
    # As JAX chooses it, but for the step: two of them may run beside each other.
    of_step = _number("JOB_ID") + _STEPS_APART * _number("STEP_ID")
    return _PORTS[of_step % len(_PORTS)]


def _first_node(nodes: str) -> str:
    """`rack1n[03-05,07],gpu2` -> `rack1n03`."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", nodes)
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", first[0] if first else nodes)


def _devices() -> tuple[int, ...] | None:
    """Slurm shows a task its own GPUs if told to, otherwise all that the step has."""
    tasks, local = _tasks_here(), _number("LOCALID")
    if tasks == 1:
        return None
    shown = next((os.environ[name] for name in _VISIBLE if os.environ.get(name)), "")
    seen = len(shown.split(",")) if shown else 0
    there = _number("GPUS_ON_NODE", seen)
    if seen and seen < there:
        return None
    each = max(1, there // tasks)
    return tuple(range(local * each, (local + 1) * each))


def _tasks_here() -> int:
    """`2(x3),1` and node 3 -> 1."""
    said, counts = _said("STEP_TASKS_PER_NODE") or "1", list[int]()
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", said):
        counts += [int(count)] * int(times or 1)
    return counts[_number("NODEID")]
