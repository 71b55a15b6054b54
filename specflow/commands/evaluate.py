"""`specflow evaluate run=DIR`: the metrics of a run's checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from specflow.commands import jax_session
from specflow.data import Data, build_data
from specflow.diagnostics.errors import CheckpointError, Diagnostic
from specflow.estimator import CheckpointStep, TPUEstimator
from specflow.output import existing_run, print_result

if TYPE_CHECKING:
    from specflow.compose import Composed

__all__ = ["estimator_of_run", "evaluate", "split_of", "trained"]


def evaluate(
    composed: "Composed", *, split: str = "eval", step: CheckpointStep = None
) -> dict[str, Any]:
    """Evaluates a checkpoint of a run, and prints its metrics.

    Args:
        composed: the run's config, with overrides laid over it; nothing in the run
            directory is changed.
        split: the data to evaluate on, `train` or `eval`.
        step: evaluate the checkpoint of this step, or the `best` one, and not the
            newest.

    Returns:
        The metrics, with `loss` and `global_step`.

    Raises:
        CheckpointError: the run has no such checkpoint, or none that is whole.
    """
    config = composed.config
    data = build_data(config.data, needs_train=split == "train")
    estimator = estimator_of_run(composed, data)
    estimator.check_labels()
    source = split_of(data, split)
    metrics = estimator.evaluate(
        lambda: source,
        steps=config.loop.eval_steps,
        checkpoint_step=step,
        record=False,  # Who looks at a run leaves it as it is.
    )
    estimator.close()
    evaluation = {name: v for name, v in metrics.items() if name != "global_step"}
    print_result(metrics["global_step"], evaluation=evaluation, timing=estimator.timing)
    return metrics


def split_of(data: Data, split: str) -> Any:
    """The rows of a split, `train` or `eval`, in their own order."""
    return data.train if split == "train" else data.eval


def estimator_of_run(
    composed: "Composed", data: Data, *, needs_checkpoint: bool = True
) -> TPUEstimator:
    """The estimator of a run.

    Args:
        composed: the run's config, with overrides laid over it.
        data: what the config says.
        needs_checkpoint: whether there must be a checkpoint.

    Raises:
        CheckpointError: there is none.
    """
    run = existing_run(composed.run or "")
    jax_session.start(composed)
    estimator = TPUEstimator.from_config(composed.config, data=data, model_dir=run.path)
    return trained(estimator, run.path) if needs_checkpoint else estimator


def trained(estimator: TPUEstimator, directory: Path) -> TPUEstimator:
    """The estimator itself.

    Raises:
        CheckpointError: its run has no checkpoint.
    """
    if estimator.latest_step() is None:
        raise CheckpointError(
            Diagnostic(
                f"run={directory}",
                "has no checkpoint yet",
                expected="a run that has trained",
                hint="Train it first: the same configuration with output.dir.",
                code="checkpoint-missing",
            )
        )
    return estimator
