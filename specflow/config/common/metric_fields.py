"""Fields that metrics share, and names that no metric may have."""

from typing import ClassVar

from specflow.config.base import Config

__all__ = ["RESERVED", "MetricBaseConfig"]

RESERVED = ("loss", "global_step", "step", "split")
"""Names that no metric may have: evaluation reports the first two itself, and each row
of `metrics.jsonl` has the others beside its metrics."""


class MetricBaseConfig(Config):
    """A metric of `spec.eval_metrics`, computed on the host from key paths."""

    state: ClassVar[str] = ""
    """Dotted path of the metric class whose `from_batch` takes the fields; empty: an
    adapter in `specflow.metrics.declared_metrics` does."""
    is_number: ClassVar[bool] = True
    """True if the value is a scalar, by which checkpoints can be compared."""
