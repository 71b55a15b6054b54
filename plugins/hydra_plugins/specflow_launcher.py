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
    _target_: str = "hydra_plugins.specflow_launcher.SpecflowLauncher"
    workers: int = 1
    retries: int = 2


@dataclasses.dataclass
class _Ray:
    _target_: str = "hydra_plugins.specflow_launcher.SpecflowRayLauncher"
    address: str | None = None
    cpus_per_trial: int = 1
    gpus_per_trial: int = 0
    resources_per_trial: dict[str, float] = dataclasses.field(default_factory=dict)
    max_concurrent: int | None = None
    retries: int = 2


@dataclasses.dataclass
class _Slurm:
    _target_: str = "hydra_plugins.specflow_launcher.SpecflowSlurmLauncher"
    cluster: str = "slurm"
    trials_per_job: int = 1
    max_concurrent: int = 16
    retries: int = 2
    timeout_min: int = 60
    max_num_timeout: int = 3
    cpus_per_task: int | None = None
    gpus_per_node: int | None = None
    mem_gb: float | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    signal_delay_s: int | None = None
    setup: list[str] | None = None
    additional_parameters: dict[str, Any] = dataclasses.field(default_factory=dict)


for _name, _node in (
    ("specflow", _Local),
    ("specflow_ray", _Ray),
    ("specflow_slurm", _Slurm),
):
    ConfigStore.instance().store(
        group="hydra/launcher", name=_name, node=_node, provider="specflow"
    )
