"""Builds the exporters and the early stopping rule of a config."""

from collections.abc import Callable, Mapping
from typing import Any

from specflow.config.base import Component, Config, Target
from specflow.config.sections.early_stopping import HigherConfig, LowerConfig
from specflow.config.sections.exporters import BestExporterConfig, LatestExporterConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.lifecycle.exporters import (
    BestExporter,
    ByMetric,
    Exporter,
    FinalExporter,
    LatestExporter,
)
from specflow.lifecycle.stopping_rules import Crossed, Stalled, StoppingRule
from specflow.runtime.typing import describe

__all__ = ["build_exporters", "build_stopping_rule"]


def build_exporters(
    configs: Mapping[str, Config], input_fn: Callable[[], Any]
) -> list[Exporter]:
    """Builds the exporters of `output.exporters`.

    Args:
        configs: name -> one of `ExporterConfig`.
        input_fn: returns rows, some of which are stored in each export as its example.

    Raises:
        ConfigError: A `Target` was not resolved, or a target or plugin returns no
            exporter.
    """
    return [_exporter(name, config, input_fn) for name, config in configs.items()]


def build_stopping_rule(config: Config | None) -> StoppingRule | None:
    """Builds the rule of `loop.early_stopping`; None if only steps end training.

    >>> from specflow.config.sections.early_stopping import NoIncreaseConfig
    >>> build_stopping_rule(NoIncreaseConfig(metric="accuracy", patience_steps=200))
    Stalled(metric='accuracy', patience_steps=200, better='higher', min_steps=0)
    """
    if config is None:
        return None
    settings: Any = config
    if isinstance(config, Component):
        return config()
    if isinstance(config, HigherConfig | LowerConfig):
        rule, limit = Crossed, settings.threshold
    else:
        rule, limit = Stalled, settings.patience_steps
    return rule(settings.metric, limit, settings.is_better, settings.min_steps)


def _exporter(name: str, config: Config, input_fn: Callable[[], Any]) -> Exporter:
    if isinstance(config, Target | Component):
        exporter = config(name=name, input_fn=input_fn)
        if not isinstance(exporter, Exporter):
            raise ConfigError(
                Diagnostic(
                    f"output.exporters.{name}",
                    f"{config.path} returned {describe(exporter)}",
                    expected="a specflow.Exporter",
                    code="exporter",
                )
            )
        return exporter
    settings: Any = config
    export = {
        "input_fn": input_fn,
        "platforms": tuple(settings.platforms),
        "batch": settings.batch,
    }
    if isinstance(config, BestExporterConfig):
        compare = ByMetric(config.metric, config.order)
        keep = config.keep or None
        return BestExporter(name, compare_fn=compare, exports_to_keep=keep, **export)
    if isinstance(config, LatestExporterConfig):
        return LatestExporter(name, exports_to_keep=config.keep or None, **export)
    return FinalExporter(name, **export)
