"""Evaluations of the folds of a cross-validation, pooled."""

from collections.abc import Mapping, Sequence
from typing import Any

from specflow import loop
from specflow.contract import Mode
from specflow.data import Source
from specflow.estimator.estimator import Estimator
from specflow.loop import EvalProgress

__all__ = ["FoldEvaluation"]


class FoldEvaluation:
    """Evaluation of a fold by the newest state of its run.

    Args:
        estimator: of the run.
        source: the rows of the fold.
        steps: number of batches; None: all.
    """

    def __init__(self, estimator: Estimator, source: Source, steps: int | None):
        self._estimator, self._progress = estimator, EvalProgress()
        step, state = estimator._states.to_evaluate(None, None)
        value = estimator._learned_from(source, Mode.EVAL)
        estimator._evaluate(lambda: value, state, step, steps, progress=self._progress)

    def to_json(self) -> dict[str, Any] | None:
        """Accumulators of the evaluation; None if they cannot be stored."""
        return self._progress.to_json()

    def pooled(self, folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Metrics over the rows of all folds.

        Args:
            folds: results of `to_json`, in the order of the folds.
        """
        evaluated = self._estimator.config.eval_loss
        result = loop.pooled(self._progress, folds, loss=evaluated)
        return {**result.metrics, "rows": result.rows}
