"""Worker processes on the nodes of a Ray cluster.

A Ray actor leases the cores and devices of a worker, starts it beside itself as a sweep
on one machine does, and passes the messages on. So a trial runs in the same process on
either; that of Ray, where settings of one task stay for the next, runs none.
"""

import collections
import contextlib
import importlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.runtime.devices_of_workers import CORES
from specflow.sweep.pool.message_link import MessageLink
from specflow.sweep.pool.worker_process import RunningTrial, WorkerProcess

__all__ = ["cluster", "fitting", "ray_workers"]

_CONNECT_S = 5.0
_STARTS = 10
_PAUSE_S = 5.0
_SENT = ("JAX_", "XLA_", "LIBTPU_", "XDG_CACHE_HOME")
"""Beginnings of the environment variables that workers get from the command."""


@contextlib.contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Connects to a cluster inside the block; starts one on this machine if none is.

    Args:
        address: `host:port`, or `auto` for that of this machine; None: that of
            `RAY_ADDRESS`, or a new one.

    Raises:
        ConfigError: the package is not installed, or the cluster does not answer.
    """
    try:
        ray = _ray()
        importlib.import_module("ray.exceptions")  # Not a folder with that name.
    except ImportError:
        problem = "specflow_ray needs the package ray, which is not installed"
        hint = "pip install 'specflow-jax[ray]'."
        raise ConfigError(
            Diagnostic("hydra/launcher", problem, hint=hint, code="package-missing")
        ) from None
    if ray.is_initialized():
        yield  # The caller's own.
        return
    address = address or os.environ.get("RAY_ADDRESS")
    try:
        _knock(address)
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level="ERROR",
            configure_logging=False,
            **({} if address else {"include_dashboard": False}),
        )
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ConfigError(
            Diagnostic(
                "hydra.launcher.address",
                f"got {address}: {reason}",
                expected="host:port of a running Ray cluster, or null: this machine",
                hint="`ray status --address=host:port` shows whether it does.",
                code="cluster",
            )
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _ray() -> Any:
    return importlib.import_module("ray")


def _knock(address: str | None) -> None:
    """Refuses an address at which nothing listens: Ray would wait for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and "://" not in host and port.isdigit():
        socket.create_connection((host, int(port)), _CONNECT_S).close()


def fitting(needed: Mapping[str, float]) -> int:
    """Returns how many workers the nodes of the cluster hold at once.

    Args:
        needed: resource, as `CPU` or `GPU` -> the amount of a worker.
    """
    nodes = [node["Resources"] for node in _ray().nodes() if node["Alive"]]
    return sum(
        min(int(node.get(name, 0) // amount) for name, amount in needed.items())
        for node in nodes
    )


def ray_workers(
    command: Sequence[str], needed: Mapping[str, float], started_in: str, folder: str
) -> Callable[[int], "_RayWorker"]:
    """Returns what starts a worker on a node that has what it needs free.

    Args:
        command: starts a worker, by the Python of the node; see `WorkerProcess`.
        needed: resource -> the amount of a worker; all that are not zero.
        started_in: folder from which relative paths are resolved.
        folder: of the sweep; all nodes see it.
    """
    own = dict(needed)
    options = {"num_cpus": own.pop("CPU"), "num_gpus": own.pop("GPU", 0)}
    actor = (
        _ray()
        .remote(_Host)
        .options(
            **options,
            resources=own,
            max_restarts=0,  # The pool starts another one.
            max_concurrency=8,  # One waits for messages, the others answer at once.
        )
    )
    environment = {
        name: value for name, value in os.environ.items() if name.startswith(_SENT)
    }
    if not options["num_gpus"]:
        environment["CUDA_VISIBLE_DEVICES"] = ""  # Ray leaves it as the node has it.
    cores = _Cores(int(options["num_cpus"]))
    return lambda _: _RayWorker(
        lambda: actor.remote(started_in, folder), command, environment, cores
    )


class _Cores:
    """Gives the workers of a machine cores of their own: Ray counts them only.

    Args:
        each: number of cores of a worker.
    """

    def __init__(self, each: int):
        self._each, self._lock = each, threading.Lock()
        self._taken: collections.defaultdict[str, dict[int, object]]
        self._taken = collections.defaultdict(dict)

    def take(self, machine: str, cores: Sequence[int], worker: object) -> list[int]:
        """Returns free cores of a machine; all if too few are free."""
        with self._lock:
            taken = self._taken[machine]
            free = [core for core in cores if core not in taken][: self._each]
            if len(free) < self._each:
                return list(cores)
            taken.update(dict.fromkeys(free, worker))
            return free

    def release(self, worker: object) -> None:
        """Frees the cores of a worker."""
        with self._lock:
            for taken in self._taken.values():
                for core in [core for core, of in taken.items() if of is worker]:
                    del taken[core]


class _RayWorker:
    """A worker process on another node, as a `WorkerProcess` on this machine.

    Args:
        lease: makes an actor, which starts it.
        command: starts it.
        environment: variables that it gets.
        cores: those of all machines.
    """

    def __init__(
        self,
        lease: Callable[[], Any],
        command: Sequence[str],
        environment: Mapping[str, str],
        cores: _Cores,
    ):
        ours, theirs = socket.socketpair()
        self.link = MessageLink(ours)
        self.trials: dict[int, RunningTrial] = {}
        self.is_ready = False
        self._lease, self._cores, self._how = lease, cores, ""
        self._sent = 0
        self._closed, self._host = threading.Event(), lease()
        self._relay = threading.Thread(
            target=self._pass_on,
            args=(MessageLink(theirs), command, environment),
            daemon=True,
        )
        self._relay.start()

    def send(self, message: dict[str, Any]) -> bool:
        """Sends a message; its loss is noticed when an answer is read."""
        self._host.send.remote(self._sent, message)
        self._sent += 1
        return True

    def signal(self, number: int) -> None:
        """Sends a signal."""
        self._host.signal.remote(number)

    def close(self, *, kill: bool = False) -> str:
        """Ends the process and its lease; returns how it ended."""
        self._closed.set()
        # Its link to the worker breaks, which ends that too.
        _ray().kill(self._host)
        self._relay.join()
        self._cores.release(self)
        self.link.close()
        return self._how

    def _pass_on(
        self, link: MessageLink, command: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        """Starts the process and passes its messages on, in a thread."""
        ray = _ray()
        try:
            machine, cores = self._started()
            own = self._cores.take(machine, cores, self)
            given = {**environment, CORES: ",".join(map(str, own))}
            ray.get(self._host.start.remote(command, given))
            link.send({"ready": True})
            while (message := ray.get(self._host.receive.remote())) is not None:
                if not link.send(message):
                    break
            self._how = ray.get(self._host.close.remote())
        except Exception as error:
            self._how = _how(error)
        finally:
            link.close()

    def _started(self) -> tuple[str, list[int]]:
        """Waits for an actor to start; a lost node may seem alive for a while."""
        ray = _ray()
        for _ in range(_STARTS):
            try:
                return ray.get(self._host.about.remote())
            except ray.exceptions.RayActorError as error:
                if error.actor_init_failed or self._closed.wait(_PAUSE_S):
                    raise
            self._host = self._lease()
            if self._closed.is_set():
                ray.kill(self._host)
        return ray.get(self._host.about.remote())


def _how(error: Exception) -> str:
    """How an actor ended, as part of a sentence."""
    cause = getattr(error, "cause", None)  # What its own code raised.
    if isinstance(cause, Exception):
        return str(cause)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else type(error).__name__
    return f"its node or Ray worker: {last.partition('. ')[0].rstrip('.')}"


class _Host:
    """Runs in a process of Ray: has the lease, and starts the worker beside itself.

    Args:
        started_in: folder from which relative paths are resolved.
        folder: of the sweep.
    """

    def __init__(self, started_in: str, folder: str):
        self._started_in, self._folder = started_in, folder
        self._worker: WorkerProcess | None = None
        self._sending, self._passed_on = threading.Lock(), 0
        self._early: dict[int, dict[str, Any]] = {}
        """Index -> message that has overtaken one before it."""

    def about(self) -> tuple[str, list[int]]:
        """Returns the name of the machine and the cores of this process."""
        return os.uname().nodename, sorted(os.sched_getaffinity(0))

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Starts the worker.

        Raises:
            FileNotFoundError: this node does not see the folders of the sweep.
        """
        for folder in (self._started_in, self._folder):
            if not os.path.isdir(folder):
                node = os.uname().nodename
                raise FileNotFoundError(f"an error: the node {node} has no {folder}")
        os.chdir(self._started_in)
        own = [sys.executable, *command[1:]]
        self._worker = WorkerProcess(own, environment)

    def send(self, index: int, message: dict[str, Any]) -> None:
        """Passes a message on to the worker, in the order of the sweep.

        Args:
            index: of the message, from 0: Ray calls this in several threads.
            message: for the worker, which has been started.
        """
        with self._sending:
            self._early[index] = message
            while self._worker is not None and self._passed_on in self._early:
                self._worker.send(self._early.pop(self._passed_on))
                self._passed_on += 1

    def receive(self) -> dict[str, Any] | None:
        """Waits for a message of the worker; None if it has ended."""
        return self._worker.link.receive() if self._worker else None

    def signal(self, number: int) -> None:
        """Passes a signal on to the worker."""
        if self._worker is not None:
            self._worker.signal(signal.Signals(number))

    def close(self) -> str:
        """Returns how the worker has ended."""
        return self._worker.close(kill=True) if self._worker else "no start"
