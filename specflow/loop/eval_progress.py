"""What an evaluation has accumulated, for one that is stopped and resumes."""

import json
import logging
from collections.abc import Mapping
from typing import Any, Self

from specflow.diagnostics.errors import DataError
from specflow.loop.hooks import StopTraining
from specflow.loop.state_values import decoded, encoded, names_in
from specflow.metrics import MetricTable

__all__ = ["EvalProgress", "EvaluationStopped", "OutdatedProgressError"]

_LOG = logging.getLogger("specflow")

_MOST_BYTES = 64 << 20
"""Largest accumulators that are stored: every read of the checkpoint's metadata
includes them."""


class EvaluationStopped(StopTraining):
    """An evaluation was requested to stop between two batches."""


class OutdatedProgressError(Exception):
    """An evaluation cannot continue from its stored progress; the text is why."""


class EvalProgress:
    """The accumulators of an evaluation after some batches.

    Those of a resumed evaluation merge the same states in the same order, so that its
    result is bit for bit that of one without a stop.
    """

    def __init__(self) -> None:
        self.losses: list[float] = []
        """Loss of each batch."""
        self.counts: list[int] = []
        """Rows of each batch."""
        self.mean_losses: list[Any] = []
        """Parts of the `MeanLoss` of each batch."""
        self.table = MetricTable()
        """States of the metrics."""
        self.is_resumable = True
        """False if hooks or host calls would miss the batches before the stop."""
        self.is_observed = False
        """True if hooks or host calls saw the batches."""
        self._setup: dict[str, Any] = {}
        self._program: str | None = None

    @property
    def batches(self) -> int:
        """Number of batches so far."""
        return len(self.losses)

    def begin(self, setup: Mapping[str, Any]) -> None:
        """Compares the evaluation with the stored one.

        Args:
            setup: what the batches depend on, as JSON values.

        Raises:
            OutdatedProgressError: it differs.
        """
        if self.batches and self._setup != dict(setup):
            raise OutdatedProgressError("its data or its batches have changed")
        self._setup = dict(setup)

    def compare_program(self, fingerprint: str | None) -> None:
        """Compares the compiled program with that of the first batches.

        Raises:
            OutdatedProgressError: it differs.
        """
        if self._program not in (None, fingerprint):
            raise OutdatedProgressError("its program has changed")
        self._program = fingerprint

    def to_json(self) -> dict[str, Any] | None:
        """Returns JSON values for `from_json`.

        Returns:
            None if they cannot be stored: the evaluation begins anew.
        """
        if not self.is_resumable or not self.batches:
            return None
        try:
            value = {
                "setup": self._setup,
                "program": self._program,
                "losses": encoded(self.losses),
                "counts": encoded(self.counts),
                "mean_losses": encoded(self.mean_losses),
                "metrics": encoded(self.table.states, records=True),
            }
        except DataError as error:
            _LOG.warning("the evaluation will begin anew: %s", error)
            return None
        size = len(json.dumps(value))
        if size > _MOST_BYTES:
            _LOG.warning(
                "the evaluation will begin anew: its metrics hold %d MiB, and at most "
                "%d MiB are stored",
                size >> 20,
                _MOST_BYTES >> 20,
            )
            return None
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Returns the progress that `to_json` described."""
        progress = cls()
        progress._setup, progress._program = dict(value["setup"]), value["program"]
        progress.losses = decoded(value["losses"])
        progress.counts = decoded(value["counts"])
        progress.mean_losses = decoded(value["mean_losses"])

        def earlier(states: Mapping[str, Any]) -> dict[str, Any]:
            # The classes are those of the next batch: none is imported by a name.
            try:
                merged = decoded(value["metrics"], names_in(states))
            except (LookupError, TypeError, ValueError) as error:
                raise OutdatedProgressError("its metrics have changed") from error
            if _types(merged) != _types(states):
                raise OutdatedProgressError("its metrics have changed")
            # JSON does not keep their order.
            return {name: merged[name] for name in states}

        progress.table = MetricTable(earlier)
        return progress


def _types(states: Mapping[str, Any]) -> dict[str, type]:
    return {name: type(state) for name, state in states.items()}
