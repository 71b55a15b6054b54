"""`specflow evaluate run=DIR`: the metrics of a run's checkpoint."""

from pathlib import Path
from typing import Any

from specflow.commands import session
from specflow.config.experiment import ExperimentConfig
from specflow.data import build_data
from specflow.errors import CheckpointError, Fault
from specflow.estimator import TPUEstimator
from specflow.experiment import check_labels
from specflow.output import print_result

__all__ = ["estimator_of_run", "evaluate"]


def evaluate(config: ExperimentConfig, directory: str | Path) -> dict[str, Any]:
    """Evaluates the newest whole checkpoint of a run, and prints its metrics.

    Args:
        config: the run's, with overrides laid over it.
        directory: the run directory; nothing in it is changed.

    Returns:
        The metrics, with `loss` and `global_step`.

    Raises:
        CheckpointError: the run has no checkpoint, or none that is whole.
    """
    estimator = estimator_of_run(config, directory)
    data = build_data(config.data)
    check_labels(config, estimator, data)
    metrics = estimator.evaluate(lambda: data.eval, steps=config.loop.eval_steps)
    estimator.close()
    evaluation = {name: v for name, v in metrics.items() if name != "global_step"}
    print_result(metrics["global_step"], evaluation=evaluation, timing=estimator.timing)
    return metrics


def estimator_of_run(config: ExperimentConfig, directory: str | Path) -> TPUEstimator:
    """The estimator of a run that has a checkpoint.

    Raises:
        CheckpointError: it has none.
    """
    session.start(config.mesh)
    estimator = TPUEstimator.from_config(config, model_dir=directory)
    if estimator.latest_step() is None:
        raise CheckpointError(
            Fault(
                f"run={directory}",
                "has no checkpoint yet",
                expected="a run that has trained",
                mend="Train it first: the same configuration with output.dir.",
                code="checkpoint-missing",
            )
        )
    return estimator
