"""Whether this process is one of several that run one command together."""

import os

from specflow.config.sections.mesh import COORDINATOR, INDEX

__all__ = ["is_one_of_several"]

_VARIABLES = (INDEX, COORDINATOR, "SLURM_PROCID")
"""Environment variables of such a process."""


def is_one_of_several() -> bool:
    """Returns whether other processes run the same command at the same time."""
    return any(name in os.environ for name in _VARIABLES)
