"""`hydra/launcher=specflow`, `specflow_ray` and `specflow_slurm`: trials of a sweep."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction

if TYPE_CHECKING:
    from omegaconf import DictConfig

__all__ = ["SpecflowLauncher", "SpecflowRayLauncher", "SpecflowSlurmLauncher"]


class SpecflowLauncher(Launcher):
    """Runs the trials of `specflow train -m`; see `specflow.sweep.engines`.

    Args:
        **options: of the engine; below are those of each.
    """

    specflow_engine: ClassVar[str] = "local"

    def __init__(self, **options: Any):
        self.options = options

    def setup(
        self,
        *,
        hydra_context: HydraContext,
        task_function: TaskFunction,
        config: "DictConfig",
    ) -> None:
        """Takes what Hydra gives each launcher."""
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Runs a batch of trials."""
        from specflow.sweep.hydra_launch import launch

        return launch(self, job_overrides, initial_job_idx)


class SpecflowRayLauncher(SpecflowLauncher):
    """Runs them on a Ray cluster."""

    specflow_engine = "ray"


class SpecflowSlurmLauncher(SpecflowLauncher):
    """Runs them as jobs of Slurm, by submitit."""

    specflow_engine = "slurm"


@dataclasses.dataclass
class _Local:
    """Worker processes of this machine, which divide its cores and GPUs."""

    _target_: str = "hydra_plugins.specflow_launcher.SpecflowLauncher"
    workers: int = 1
    """Number of worker processes."""
    retries: int = 2
    """How often a trial starts again after a failure that may pass."""
    pack: str = "serial"
    """How the trials of a worker share calls: `serial`: they do not; `map`: one after
    another in a call; `vmap`: vectorized, with other rounding; `auto`: as `map`, where
    the first call of a program is compared and equal, bit for bit."""
    trials_per_pack: int = 8
    """Number of trials that a worker runs at once, if they share calls."""


@dataclasses.dataclass
class _Ray:
    """Worker processes on the nodes of a Ray cluster; needs specflow-jax[ray]."""

    _target_: str = "hydra_plugins.specflow_launcher.SpecflowRayLauncher"
    address: str | None = None
    """`host:port` of the cluster, or `auto`; null: that of `RAY_ADDRESS`, or a new one
    on this machine."""
    cpus_per_trial: int = 1
    """Number of cores that a worker leases."""
    gpus_per_trial: int = 0
    """Number of GPUs that a worker leases; with 0 it sees none."""
    resources_per_trial: dict[str, float] = dataclasses.field(default_factory=dict)
    """Other resources, as `+hydra.launcher.resources_per_trial.TPU=4`."""
    max_concurrent: int | None = None
    """Number of workers; null: as many as the nodes hold when the sweep starts."""
    retries: int = 2
    """How often a trial starts again after a failure that may pass."""
    pack: str = "serial"
    """How the trials of a worker share calls: `serial`: they do not; `map`: one after
    another in a call; `vmap`: vectorized, with other rounding; `auto`: as `map`, where
    the first call of a program is compared and equal, bit for bit."""
    trials_per_pack: int = 8
    """Number of trials that a worker runs at once, if they share calls."""


@dataclasses.dataclass
class _Slurm:
    """Jobs of Slurm, submitted by submitit; needs specflow-jax[slurm]."""

    _target_: str = "hydra_plugins.specflow_launcher.SpecflowSlurmLauncher"
    cluster: str = "slurm"
    """`slurm`; or `local`: the jobs are processes of this machine, to try it out."""
    trials_per_job: int = 1
    """Number of trials that a job runs one after another, with one executable."""
    max_concurrent: int = 16
    """Number of jobs that run at once."""
    retries: int = 2
    """How often a trial starts again after a failure that may pass, or a lost job."""
    pack: str = "serial"
    """How the trials of a worker share calls: `serial`: they do not; `map`: one after
    another in a call; `vmap`: vectorized, with other rounding; `auto`: as `map`, where
    the first call of a program is compared and equal, bit for bit."""
    trials_per_pack: int = 8
    """Number of trials that a worker runs at once, if they share calls."""
    timeout_min: int = 60
    """Time limit of a job, in minutes."""
    max_num_timeout: int = 3
    """How often a job whose time is over is queued again."""
    cpus_per_task: int | None = None
    """Number of cores of a job."""
    gpus_per_node: int | None = None
    """Number of GPUs of a job."""
    mem_gb: float | None = None
    """Memory of a job, in GB."""
    partition: str | None = None
    """Partition of the nodes."""
    account: str | None = None
    """Account that is charged."""
    qos: str | None = None
    """Quality of service."""
    constraint: str | None = None
    """Features of the node."""
    signal_delay_s: int | None = None
    """Time between the signal to save and the end of a job, in seconds; null: 90."""
    setup: list[str] | None = None
    """Commands of the shell before the job, as `[module load cuda]`."""
    additional_parameters: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Further options of sbatch, as
    `+hydra.launcher.additional_parameters.mail-type=FAIL`."""


for _name, _node in (
    ("specflow", _Local),
    ("specflow_ray", _Ray),
    ("specflow_slurm", _Slurm),
):
    ConfigStore.instance().store(
        group="hydra/launcher", name=_name, node=_node, provider="specflow"
    )
