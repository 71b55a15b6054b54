"""`hydra/sweeper=specflow`: a search for hyperparameters that prunes and resumes."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction

if TYPE_CHECKING:
    from omegaconf import DictConfig

__all__ = ["CheckedGrid", "SpecflowSweeper"]


class CheckedGrid(BasicSweeper):
    """Hydra's basic sweeper, for jobs that specflow has composed and checked."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Leaves out what takes Hydra longer than many a training."""


class SpecflowSweeper(Sweeper):
    """Runs the search of the section `sweep`; see `specflow.sweep.search`.

    Args:
        batch: number of trials that launchers other than that of specflow get at once.
        params: overrides of a file, which specflow reads itself.
    """

    def __init__(self, batch: int = 1, params: Any = None):
        self.batch, self.params = batch, params

    def setup(
        self,
        *,
        hydra_context: HydraContext,
        task_function: TaskFunction,
        config: "DictConfig",
    ) -> None:
        """Takes what Hydra gives each sweeper."""
        self.task, self.config = task_function, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Runs the search."""
        from specflow.sweep.hydra_search import search

        assert self.config is not None
        assert self.launcher is not None
        search(self.task, self.config, self.launcher, batch=self.batch)


@dataclasses.dataclass
class _SweeperConfig:
    _target_: str = "hydra_plugins.specflow_sweeper.SpecflowSweeper"
    batch: int = 1
    params: Any = None


ConfigStore.instance().store(
    group="hydra/sweeper", name="specflow", node=_SweeperConfig, provider="specflow"
)
