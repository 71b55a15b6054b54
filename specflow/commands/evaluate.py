"""`specflow evaluate run=DIR`: metrics of a run's checkpoint."""

import functools
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specflow.commands import jax_session
from specflow.commands.run_data import data_of_run
from specflow.data import Data
from specflow.diagnostics.errors import CheckpointError, Diagnostic
from specflow.estimator import CheckpointStep, Estimator
from specflow.output import existing_run, print_result
from specflow.output.report.matrix_names import ClassNames, class_names_of

if TYPE_CHECKING:
    from specflow.compose import Composed

__all__ = [
    "estimator_of_run",
    "evaluate",
    "evaluate_and_print",
    "require_checkpoint",
]


def evaluate(
    composed: "Composed", *, split: str = "eval", step: CheckpointStep = None
) -> dict[str, Any]:
    """Evaluates a checkpoint of a run, and prints its metrics.

    Args:
        composed: the run's config with overrides applied; the run directory is not
            changed.
        split: data to evaluate on: `train`, `eval` (with every set of the data),
            `test`, or the name of a set.
        step: step of the checkpoint, or `best`; None: the newest.

    Returns:
        The metrics, with `loss` and `global_step`; those of a set beside `eval` as
        `<set>/<metric>`.

    Raises:
        CheckpointError: the run has no such checkpoint, or only damaged ones.
    """
    config = composed.config
    data = data_of_run(composed, needs_train=split == "train")
    estimator = estimator_of_run(composed, data)
    estimator.check_labels()
    source = data.split(split)
    sets = data.sets if split == "eval" else {}
    parts = data.eval_parts if split == "eval" else ()
    return evaluate_and_print(
        estimator,
        lambda: source,
        steps=config.loop.eval_steps,
        step=step,
        sets={name: functools.partial(data.split, name) for name in sets},
        class_names=class_names_of(existing_run(composed.run or "").columns),
        parts=parts,
    )


def evaluate_and_print(
    estimator: Estimator,
    input_fn: Callable[..., Any],
    *,
    steps: int | None,
    step: CheckpointStep,
    sets: Mapping[str, Callable[..., Any]] = types.MappingProxyType({}),
    class_names: ClassNames | None = None,
    parts: Sequence[str] = (),
) -> dict[str, Any]:
    """Evaluates a checkpoint, prints its metrics and closes the estimator.

    Args:
        estimator: of the run; its directory is not changed.
        input_fn: gives the data.
        steps: number of batches; None: all.
        step: of the checkpoint.
        sets: give further data, reported apart, by name.
        class_names: number of classes -> names for the rows of a matrix.
        parts: sets whose rows are those of `input_fn`: they are evaluated once.

    Returns:
        The metrics, with `loss` and `global_step`.
    """
    metrics: dict[str, Any] = {}
    by_set: dict[str, dict[str, Any]] = {}
    if parts and steps is None and estimator.config.eval_loss == "examples":
        metrics, by_set = estimator.evaluate_parts(
            {name: sets[name] for name in parts}, checkpoint_step=step
        )
    metrics = metrics or estimator.evaluate(
        input_fn, steps=steps, checkpoint_step=step, record=False
    )
    for name, rows in sets.items():
        others = by_set.get(name) or estimator.evaluate(
            rows, steps=steps, checkpoint_step=metrics["global_step"], record=False
        )
        del others["global_step"]
        metrics |= {f"{name}/{metric}": value for metric, value in others.items()}
    estimator.close()
    evaluation = {name: v for name, v in metrics.items() if name != "global_step"}
    print_result(
        metrics["global_step"],
        evaluation=evaluation,
        timing=estimator.timing,
        class_names=class_names,
    )
    return metrics


def estimator_of_run(
    composed: "Composed", data: Data, *, needs_checkpoint: bool = True
) -> Estimator:
    """Builds the estimator of a run.

    Args:
        composed: the run's config with overrides applied.
        data: of the config.
        needs_checkpoint: raise if there is no checkpoint.

    Raises:
        CheckpointError: there is none.
    """
    run = existing_run(composed.run or "")
    jax_session.start(composed)
    estimator = Estimator.from_config(composed.config, data=data, model_dir=run.path)
    if needs_checkpoint:
        require_checkpoint(estimator, run.path)
    return estimator


def require_checkpoint(estimator: Estimator, directory: Path) -> None:
    """Refuses a run without a checkpoint.

    Raises:
        CheckpointError: the run has none.
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
