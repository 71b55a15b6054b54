"""`hydra/launcher=specflow`: trials of a sweep in workers that compile once."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction

if TYPE_CHECKING:
    from omegaconf import DictConfig

__all__ = ["SpecflowLauncher"]


class SpecflowLauncher(Launcher):
    """Runs the trials of `specflow train -m`; see `specflow.sweep.hydra_launch`.

    Args:
        workers: number of worker processes, which divide the cores and GPUs.
    """

    def __init__(self, workers: int = 1):
        self.workers = workers

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

        return launch(
            self.context,
            self.task,
            self.config,
            job_overrides,
            initial_job_idx,
            workers=self.workers,
        )


@dataclasses.dataclass
class _LauncherConfig:
    _target_: str = "hydra_plugins.specflow_launcher.SpecflowLauncher"
    workers: int = 1


ConfigStore.instance().store(
    group="hydra/launcher", name="specflow", node=_LauncherConfig, provider="specflow"
)
