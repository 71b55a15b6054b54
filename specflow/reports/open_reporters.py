"""Reporters of a run, as `output.reporters` names them."""

import contextlib
import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from specflow.config.base import Component
from specflow.config.kinds import name_of
from specflow.config.sections.output import TensorBoardConfig
from specflow.config.sections.trackers import TrackerConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.output import JsonLines, Reporter, RunDirectory, TensorBoard
from specflow.output.report.matrix_names import class_names_of
from specflow.output.tracking.tracked_run import TrackedRun

if TYPE_CHECKING:
    from specflow.compose import Composed

__all__ = ["check_packages", "open_reporters_of", "plugin_reporter"]


def check_packages(configs: Sequence[Any]) -> None:
    """Checks, before training, that the packages of trackers are installed.

    Args:
        configs: `output.reporters`.

    Raises:
        ConfigError: one is missing.
    """
    missing = [
        Diagnostic(
            "output.reporters",
            f"{name_of(config)} needs the package {package}, which is not installed",
            hint=f"Run pip install '{config.requirement}'.",
            code="package-missing",
        )
        for config in configs
        if isinstance(config, TrackerConfig)
        for package in config.packages
        if importlib.util.find_spec(package) is None
    ]
    if missing:
        raise ConfigError(*missing)


def open_reporters_of(
    composed: "Composed", configs: Sequence[Any], run: RunDirectory, step: int
) -> list[Reporter]:
    """Opens `metrics.jsonl`, and the reporters of a config.

    Args:
        composed: the experiment.
        configs: `output.reporters`.
        run: the run directory.
        step: step from which the run resumes; later rows are removed.

    Raises:
        ConfigError: a plugin returned something that is no reporter.
        OutputError: a file cannot be written.
    """
    lines = JsonLines(run.metrics, resumed_at=step)
    reporters: list[Reporter] = [lines]
    with contextlib.ExitStack() as opened:
        opened.callback(reporters[0].close)
        for reporter in configs:
            if reporter == "tensorboard" or isinstance(reporter, TensorBoardConfig):
                reporters.append(
                    TensorBoard(
                        run.tensorboard,
                        resumed_at=step,
                        existing=lines.existing,
                        config=composed.tree,
                        pictures=getattr(reporter, "pictures", False),
                        class_names=lambda count: class_names_of(run.columns)(count),
                    )
                )
            elif isinstance(reporter, Component):
                reporters.append(plugin_reporter(reporter, run, step))
            else:
                continue
            opened.callback(reporters[-1].close)
        opened.pop_all()  # The caller closes them from here on.
    return reporters


def plugin_reporter(config: Component, run: RunDirectory, step: int) -> Reporter:
    """Builds the reporter of a plugin.

    Raises:
        ConfigError: the plugin returned something else.
    """
    tracked = TrackedRun.of(run.path, resumed_at=step)
    reporter = config(directory=run.path, resumed_at=step, run=tracked)
    if all(hasattr(reporter, name) for name in ("path", "write", "close")):
        return reporter
    raise ConfigError(
        Diagnostic(
            "output.reporters",
            f"{config.path} returned {type(reporter).__qualname__}",
            expected="a reporter: path, write(step, split, metrics) and close()",
            code="target-result",
        )
    )
