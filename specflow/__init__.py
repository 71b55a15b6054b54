"""Declarative, config-driven training on JAX: the TPUEstimatorSpec contract.

Names are loaded when they are first touched, so that importing specflow costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from specflow.runtime.distribution import warn

if TYPE_CHECKING:
    from specflow import compose, config, data, diagnostics, metrics, optimizer, tf
    from specflow.config.base import Component
    from specflow.config.key_path import KeyPath
    from specflow.config.run_config import RunConfig, TPUConfig
    from specflow.config.sections.mesh import MeshConfig
    from specflow.config.sections.records import (
        RecordFilesConfig,
        RecordsConfig,
        RecordSplitsConfig,
    )
    from specflow.config.sections.trackers import TrackerConfig, TrackerUrl
    from specflow.contract import (
        ClassificationOutput,
        EstimatorSpec,
        MeanLoss,
        Mode,
        PredictOutput,
        RegressionOutput,
        TPUEstimatorSpec,
        TrainOp,
    )
    from specflow.diagnostics.errors import (
        CheckpointError,
        ConfigError,
        DataError,
        ExportError,
        MachineError,
        NanLossDuringTrainingError,
        OutputError,
        SpecError,
        SpecflowError,
        SpecflowWarning,
        UserCodeError,
    )
    from specflow.estimator import Estimator, EvalSpec, TPUEstimator, TrainSpec
    from specflow.lifecycle import (
        BestExporter,
        Exporter,
        FinalExporter,
        LatestExporter,
        WarmStartSettings,
        early_stopping,
    )
    from specflow.metrics import Metric
    from specflow.output.tracking.tracked_run import MetricRow, TrackedRun
    from specflow.output.tracking.tracker import Tracker
    from specflow.output.tracking.tracker_client import TrackerClient
    from specflow.serving import LoadedExport, load_export
    from specflow.serving.convert import convert_export
    from specflow.tf.canned import (
        Categorical,
        DNNClassifier,
        DNNLinearCombinedClassifier,
        DNNLinearCombinedRegressor,
        DNNRegressor,
        LinearClassifier,
        LinearRegressor,
    )

__all__ = [  # noqa: RUF022 - grouped by what a reader looks for
    # the contract
    "ClassificationOutput",
    "EstimatorSpec",
    "MeanLoss",
    "Mode",
    "PredictOutput",
    "RegressionOutput",
    "TPUEstimatorSpec",
    "TrainOp",
    # the estimator
    "BestExporter",
    "Estimator",
    "EvalSpec",
    "Exporter",
    "FinalExporter",
    "LatestExporter",
    "MeshConfig",
    "RunConfig",
    "TPUConfig",
    "TPUEstimator",
    "TrainSpec",
    "WarmStartSettings",
    "early_stopping",
    # canned estimators
    "Categorical",
    "DNNClassifier",
    "DNNLinearCombinedClassifier",
    "DNNLinearCombinedRegressor",
    "DNNRegressor",
    "LinearClassifier",
    "LinearRegressor",
    # exported models
    "LoadedExport",
    "convert_export",
    "load_export",
    # parts
    "Component",
    "KeyPath",
    "Metric",
    "compose",
    "config",
    "data",
    "diagnostics",
    "metrics",
    "optimizer",
    "tf",
    # records
    "RecordFilesConfig",
    "RecordSplitsConfig",
    "RecordsConfig",
    # trackers
    "MetricRow",
    "TrackedRun",
    "Tracker",
    "TrackerClient",
    "TrackerConfig",
    "TrackerUrl",
    # errors
    "CheckpointError",
    "ConfigError",
    "DataError",
    "ExportError",
    "MachineError",
    "NanLossDuringTrainingError",
    "OutputError",
    "SpecError",
    "SpecflowError",
    "SpecflowWarning",
    "UserCodeError",
]

__version__ = "0.1.0"

_SPEC = "specflow.contract"
_CANNED = "specflow.tf.canned"
_LIFE = "specflow.lifecycle"
_ERRORS = "specflow.diagnostics.errors"
_TRACKING = "specflow.output.tracking"
_RECORDS = "specflow.config.sections.records"
_HOME = {
    "BestExporter": _LIFE,
    "Categorical": _CANNED,
    "ClassificationOutput": _SPEC,
    "Component": "specflow.config.base",
    "DNNClassifier": _CANNED,
    "DNNLinearCombinedClassifier": _CANNED,
    "DNNLinearCombinedRegressor": _CANNED,
    "DNNRegressor": _CANNED,
    "Estimator": "specflow.estimator",
    "EstimatorSpec": _SPEC,
    "EvalSpec": "specflow.estimator",
    "Exporter": _LIFE,
    "FinalExporter": _LIFE,
    "KeyPath": "specflow.config.key_path",
    "LatestExporter": _LIFE,
    "LinearClassifier": _CANNED,
    "LinearRegressor": _CANNED,
    "LoadedExport": "specflow.serving",
    "MeanLoss": _SPEC,
    "MeshConfig": "specflow.config.sections.mesh",
    "Metric": "specflow.metrics",
    "Mode": _SPEC,
    "PredictOutput": _SPEC,
    "RecordFilesConfig": _RECORDS,
    "RecordSplitsConfig": _RECORDS,
    "RecordsConfig": _RECORDS,
    "RegressionOutput": _SPEC,
    "RunConfig": "specflow.config.run_config",
    "TPUConfig": "specflow.config.run_config",
    "CheckpointError": _ERRORS,
    "ConfigError": _ERRORS,
    "DataError": _ERRORS,
    "ExportError": _ERRORS,
    "MachineError": _ERRORS,
    "NanLossDuringTrainingError": _ERRORS,
    "OutputError": _ERRORS,
    "SpecError": _ERRORS,
    "SpecflowError": _ERRORS,
    "SpecflowWarning": _ERRORS,
    "UserCodeError": _ERRORS,
    "TPUEstimator": "specflow.estimator",
    "TPUEstimatorSpec": _SPEC,
    "TrainOp": _SPEC,
    "TrainSpec": "specflow.estimator",
    "WarmStartSettings": _LIFE,
    "MetricRow": f"{_TRACKING}.tracked_run",
    "TrackedRun": f"{_TRACKING}.tracked_run",
    "Tracker": f"{_TRACKING}.tracker",
    "TrackerClient": f"{_TRACKING}.tracker_client",
    "TrackerConfig": "specflow.config.sections.trackers",
    "TrackerUrl": "specflow.config.sections.trackers",
    "convert_export": "specflow.serving.convert",
    "early_stopping": _LIFE,
    "load_export": "specflow.serving",
}
_FOLDERS = frozenset(
    {
        "compose",
        "config",
        "data",
        "diagnostics",
        "metrics",
        "optimizer",
        "testing",
        "tf",
    }
)


warn()


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _FOLDERS:
        return import_module(f"specflow.{name}")
    raise AttributeError(f"module 'specflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
