"""Warnings about settings that are valid and probably not intended."""

import dataclasses
from typing import TYPE_CHECKING

from specflow.config.behind_the_end import behind_the_end
from specflow.config.experiment import ExperimentConfig
from specflow.config.resolved_epochs import check_resolved
from specflow.data import Data
from specflow.diagnostics.errors import Diagnostic
from specflow.estimator import Estimator

if TYPE_CHECKING:
    from specflow.compose import Composed

__all__ = ["resolved_experiment", "settings_warnings"]

_SHIPPED = ("default", "conf/")
"""Beginnings of the origins of values that the user did not choose."""


def resolved_experiment(estimator: Estimator) -> ExperimentConfig:
    """Returns the experiment of an estimator, whose numbers of steps are known.

    Raises:
        ConfigError: a rule about them is broken, which composing could not check.
    """
    experiment = estimator.experiment
    assert experiment is not None  # The estimator is made of a config.
    check_resolved(experiment)
    return experiment


def settings_warnings(
    composed: "Composed", data: Data, estimator: Estimator
) -> list[Diagnostic]:
    """Finds settings of an experiment that have no effect, or a surprising one.

    Args:
        composed: the experiment; values that ship with specflow, or that its run
            recorded, are not reported.
        data: its data.
        estimator: its estimator, which knows the steps of its epochs.
    """
    config = estimator.experiment or composed.config
    diagnostics = [
        diagnostic
        for diagnostic in behind_the_end(config, estimator.epoch_length)
        if _is_chosen(composed, diagnostic.where)
    ]
    rows = len(data.train)
    if config.loop.batch_size > rows:
        diagnostics.append(
            Diagnostic(
                "loop.batch_size",
                f"is {config.loop.batch_size}, and the training data has {rows} rows: "
                "each step has rows several times",
                hint=f"Set loop.batch_size={rows} or less.",
                code="batch-repeats",
            )
        )
    return [
        dataclasses.replace(
            diagnostic, origin=composed.places.get(diagnostic.where, "")
        )
        for diagnostic in diagnostics
    ]


def _is_chosen(composed: "Composed", key: str) -> bool:
    """Returns whether the user set a key, or its section, for this command."""
    while key not in composed.origins and "." in key:
        key = key.rpartition(".")[0]
    origin = composed.origins.get(key, "default")
    if composed.run is not None:
        return origin.startswith("override ")
    return not origin.startswith(_SHIPPED)
