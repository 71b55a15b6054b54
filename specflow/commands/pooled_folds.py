"""The pooled result of a cross-validation: one metric over the rows of all folds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specflow.config.sections.records import RecordsConfig
from specflow.config.sections.table import RowsConfig
from specflow.data import Data
from specflow.distributed import collectives
from specflow.estimator import Estimator
from specflow.estimator.fold_evaluation import FoldEvaluation
from specflow.output import RunDirectory, write_text
from specflow.output.json_values import to_json
from specflow.output.run.config_changes import changes

if TYPE_CHECKING:
    from specflow.compose import Composed

__all__ = ["pool_folds"]

_FILE = "fold.json"


def pool_folds(
    composed: "Composed", estimator: Estimator, data: Data, directory: str | Path
) -> dict[str, Any] | None:
    """Stores the evaluation of a fold, and pools all folds once they are there.

    The metrics are those of the rows of all folds, each predicted by the run that was
    trained without it, and not a mean over the folds. They are `pooled_<run>.json`
    beside the runs, with the name of the run of fold 0.

    Args:
        composed: the experiment.
        estimator: of a run that has trained.
        data: its data.
        directory: of the run. Runs in the same folder whose configs differ in the fold
            alone are the others.

    Returns:
        The pooled metrics, and `runs`; None: the run is no fold, or others are missing.

    Raises:
        OutputError: a file cannot be written.
    """
    config = composed.config
    has_folds = isinstance(config.data, RowsConfig | RecordsConfig)
    if not has_folds or config.data.split.folds is None:
        return None
    evaluation = FoldEvaluation(estimator, data.eval, config.loop.eval_steps)
    return collectives.on_process_zero(
        lambda: _pooled(config.data, evaluation, RunDirectory(Path(directory)))
    )


def _pooled(
    data: Any, evaluation: FoldEvaluation, run: RunDirectory
) -> dict[str, Any] | None:
    stored = evaluation.to_json()
    if stored is None:
        return None
    write_text(run.path / _FILE, to_json({"fold": data.fold, "evaluation": stored}))
    folds = {data.fold: (run.path, stored)}
    for path in sorted(run.path.parent.glob(f"*/{_FILE}")):
        if path.parent != run.path and _is_other_fold(run, RunDirectory(path.parent)):
            plain = json.loads(path.read_text(encoding="utf-8"))
            folds[plain["fold"]] = path.parent, plain["evaluation"]
    if sorted(folds) != list(range(data.split.folds)):
        return None
    ordered = [folds[fold] for fold in range(data.split.folds)]
    pooled = evaluation.pooled([part for _, part in ordered])
    pooled["runs"] = [path.name for path, _ in ordered]
    first = ordered[0][0]
    write_text(first.parent / f"pooled_{first.name}.json", to_json(pooled))
    return pooled


def _is_other_fold(run: RunDirectory, other: RunDirectory) -> bool:
    """Returns whether a run differs from another one in its fold alone."""
    configs: list[Mapping[str, Any]] = [run.load_config(), other.load_config()]
    return [change.key for change in changes(*configs)] == ["data.fold"]
