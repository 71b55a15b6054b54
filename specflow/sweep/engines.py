"""Where the trials of a sweep run: workers here, on a Ray cluster, or jobs of Slurm."""

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from omegaconf import OmegaConf

from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.sweep.pool.ray_worker import cluster, fitting, ray_workers
from specflow.sweep.pool.slurm_job import SlurmJob
from specflow.sweep.pool.slurm_pool import SlurmPool, executor
from specflow.sweep.pool.trial import Trial, TrialOutcome, TrialReport
from specflow.sweep.pool.trial_pool import TrialPool
from specflow.sweep.pool.worker_process import Worker, local_workers

__all__ = ["Callbacks", "Engine", "Pool", "Workplace", "engine_of"]

_OF_SLURM = (
    "partition",
    "account",
    "qos",
    "constraint",
    "signal_delay_s",
    "setup",
    "additional_parameters",
)
"""Options that submitit's local executor does not have."""


class Pool(Protocol):
    """What runs trials; see `TrialPool`."""

    slots: int

    def submit(self, trial: Trial) -> None:
        """Queues a trial."""
        ...

    def next_outcome(self) -> TrialOutcome:
        """Waits for the end of a trial."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Callbacks:
    """What a pool calls; see `TrialPool`."""

    on_start: Callable[[Trial], None]
    on_retry: Callable[[TrialOutcome], None]
    on_reports: Callable[[Sequence[TrialReport]], Collection[int]]
    on_note: Callable[[str], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workplace:
    """What every engine needs to run trials.

    Args:
        command: starts a worker; see `WorkerProcess`.
        config_dirs: the user's own config folders.
        started_in: folder from which relative paths are resolved.
        folder: of the sweep.
        first_worker: a worker that was started ahead.
    """

    command: tuple[str, ...]
    config_dirs: tuple[str, ...]
    started_in: str
    folder: Path
    first_worker: Worker | None = None

    def options(self) -> dict[str, Any]:
        """Returns the arguments of `TrialPool` that are the same everywhere."""
        return {
            "config_dirs": self.config_dirs,
            "started_in": self.started_in,
            "logs": (self.folder / "logs").absolute(),
        }


class Engine(Protocol):
    """A launcher of specflow, by its options."""

    prunes: ClassVar[bool]
    """Whether a running trial hears that it is pruned."""

    def open(
        self, place: Workplace, callbacks: Callbacks
    ) -> contextlib.AbstractContextManager[Pool]:
        """Makes the pool that runs trials.

        Raises:
            ConfigError: an option does not fit, or the cluster is missing.
        """
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalEngine:
    """`hydra/launcher=specflow`: worker processes of this machine.

    Args:
        workers: number of worker processes, which divide the cores and GPUs.
        retries: how often a trial starts again after a failure that may pass.
        pack: how trials of a worker share calls: one of `_PACKS`.
        trials_per_pack: number of trials that a worker runs at once, if they do.
    """

    prunes: ClassVar[bool] = True
    workers: int
    retries: int
    pack: str
    trials_per_pack: int

    @contextlib.contextmanager
    def open(self, place: Workplace, callbacks: Callbacks) -> Iterator[Pool]:
        """Makes the pool."""
        _check(self, workers=1, retries=0)
        with TrialPool(
            local_workers(place.command, self.workers),
            workers=self.workers,
            retries=self.retries,
            **_pack_options(self),
            first_worker=place.first_worker,
            **place.options(),
            **vars(callbacks),
        ) as pool:
            yield pool


@dataclasses.dataclass(frozen=True, kw_only=True)
class RayEngine:
    """`hydra/launcher=specflow_ray`: worker processes on the nodes of a Ray cluster.

    Args:
        address: `host:port` of the cluster, or `auto`; None: that of `RAY_ADDRESS`, or
            a new one on this machine.
        cpus_per_trial: number of cores that a worker leases.
        gpus_per_trial: number of GPUs that it leases.
        resources_per_trial: other resources that it leases, such as `TPU`.
        max_concurrent: number of workers; None: as many as the nodes hold.
        retries: how often a trial starts again after a failure that may pass.
        pack: how trials of a worker share calls: one of `_PACKS`.
        trials_per_pack: number of trials that a worker runs at once, if they do.
    """

    prunes: ClassVar[bool] = True
    address: str | None
    cpus_per_trial: int
    gpus_per_trial: int
    resources_per_trial: Mapping[str, float]
    max_concurrent: int | None
    retries: int
    pack: str
    trials_per_pack: int

    @contextlib.contextmanager
    def open(self, place: Workplace, callbacks: Callbacks) -> Iterator[Pool]:
        """Makes the pool."""
        pack_options = _pack_options(self)
        _check(self, cpus_per_trial=1, gpus_per_trial=0, max_concurrent=1, retries=0)
        given = {
            **self.resources_per_trial,
            "CPU": self.cpus_per_trial,
            "GPU": self.gpus_per_trial,
        }
        needed = {name: amount for name, amount in given.items() if amount}
        with cluster(self.address):
            if not (fits := fitting(needed)):
                text = ", ".join(f"{name} {amount}" for name, amount in needed.items())
                problem = f"no node of the Ray cluster has what a trial needs: {text}"
                hint = "Lease less by cpus_per_trial, gpus_per_trial and "
                hint += "resources_per_trial, or start a larger node."
                raise ConfigError(
                    Diagnostic("hydra.launcher", problem, hint=hint, code="cluster")
                )
            folder = place.folder.absolute()
            folder.mkdir(parents=True, exist_ok=True)
            with TrialPool(
                ray_workers(place.command, needed, place.started_in, str(folder)),
                workers=self.max_concurrent or fits,
                retries=self.retries,
                **pack_options,
                **place.options(),
                **vars(callbacks),
            ) as pool:
                yield pool


@dataclasses.dataclass(frozen=True, kw_only=True)
class SlurmEngine:
    """`hydra/launcher=specflow_slurm`: jobs of Slurm, each with a worker process.

    Args:
        cluster: `slurm`, or `local`: the jobs are processes of this machine.
        trials_per_job: number of trials that a job runs.
        max_concurrent: number of jobs that run at once.
        retries: how often a trial starts again after a failure that may pass.
        pack: how trials of a job share calls: one of `_PACKS`.
        trials_per_pack: number of trials that a job runs at once, if they do.
        timeout_min: time limit of a job, in minutes.
        max_num_timeout: how often a job whose time is over is queued again.
        cpus_per_task: number of cores of a job; this and the following are those of
            sbatch and submitit. None: not given.
        gpus_per_node: number of GPUs of a job.
        mem_gb: memory of a job, in GB.
        partition: where it runs.
        account: who pays for it.
        qos: its quality of service.
        constraint: features of its node.
        signal_delay_s: time between the signal to save and the end of a job.
        setup: commands of the shell that run before it.
        additional_parameters: further options of sbatch, without their dashes.
    """

    prunes: ClassVar[bool] = False
    cluster: str
    trials_per_job: int
    max_concurrent: int
    retries: int
    pack: str
    trials_per_pack: int
    timeout_min: int
    max_num_timeout: int
    cpus_per_task: int | None
    gpus_per_node: int | None
    mem_gb: float | None
    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    signal_delay_s: int | None
    setup: Sequence[str] | None
    additional_parameters: Mapping[str, Any]

    @contextlib.contextmanager
    def open(self, place: Workplace, callbacks: Callbacks) -> Iterator[Pool]:
        """Makes the pool."""
        _check(self, trials_per_job=1, max_concurrent=1, retries=0, timeout_min=1)
        _check(self, max_num_timeout=0)
        if self.cluster not in ("slurm", "local"):
            expected = "slurm, or local"
            raise _wrong("hydra.launcher.cluster", f"got {self.cluster!r}", expected)
        folder = (place.folder / "jobs").absolute()
        names = ("timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb")
        given = {
            **{name: getattr(self, name) for name in names},
            **{f"slurm_{name}": getattr(self, name) for name in _OF_SLURM},
            "name": "specflow",
            "slurm_array_parallelism": self.max_concurrent,
        }
        options = {
            **place.options(),
            "retries": self.retries,
            **_pack_options(self),
        }

        def make_job(trials: tuple[Trial, ...], events: Path) -> SlurmJob:
            return SlurmJob(trials, events, place.command, options)

        with SlurmPool(
            executor(folder, self.cluster, self.max_num_timeout, given),
            make_job,
            folder,
            cluster=self.cluster,
            trials_per_job=self.trials_per_job,
            max_concurrent=self.max_concurrent,
            retries=self.retries,
            **vars(callbacks),
        ) as pool:
            yield pool


_PACKS = ("serial", "map", "vmap", "auto")


def _pack_options(engine: Any) -> dict[str, Any]:
    """Returns the arguments of `TrialPool` that say how trials share calls."""
    if engine.pack not in _PACKS:
        expected = ", ".join(_PACKS[:-1]) + f" or {_PACKS[-1]}"
        raise _wrong("hydra.launcher.pack", f"got {engine.pack!r}", expected)
    _check(engine, trials_per_pack=1)
    return {"pack": engine.pack, "trials_per_pack": engine.trials_per_pack}


_ENGINES: Mapping[str, type[Any]] = {
    "local": LocalEngine,
    "ray": RayEngine,
    "slurm": SlurmEngine,
}


def engine_of(launcher: Any) -> Engine | None:
    """Returns the engine of a launcher; None if it is none of specflow.

    Args:
        launcher: Hydra's, as in `plugins/hydra_plugins/specflow_launcher.py`.
    """
    name = getattr(launcher, "specflow_engine", None)
    if name is None:
        return None
    options = {
        key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        for key, value in launcher.options.items()
    }
    return _ENGINES[name](**options)


def _check(engine: Any, **least: int) -> None:
    """Refuses options that are no whole number, or too small."""
    for name, bound in least.items():
        value = getattr(engine, name)
        if value is None and name == "max_concurrent":
            continue
        if not isinstance(value, int) or value < bound:
            expected = f"a whole number >= {bound}"
            raise _wrong(f"hydra.launcher.{name}", f"got {value!r}", expected)


def _wrong(where: str, problem: str, expected: str) -> ConfigError:
    return ConfigError(Diagnostic(where, problem, expected=expected, code="sweep"))
