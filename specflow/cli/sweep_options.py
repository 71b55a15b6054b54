"""Options of `sweep show`, `sweep best` and `sweep report`."""

from specflow.cli.options import REPORT, Option, StoreFormat

__all__ = ["REPORTING_SWEEPS", "SHOWING_SWEEPS", "TAKING_THE_BEST"]

_SWEEP = Option(
    "directory",
    files=True,
    metavar="DIR",
    help="directory of a sweep: output.dir of train -m, also of one that runs",
)
SHOWING_SWEEPS = (
    _SWEEP,
    Option(
        "--format",
        action=StoreFormat,
        choices=["table", "csv", "parquet", "json"],
        help="table, the default; csv, parquet and json have every digit",
    ),
    Option(
        "--sort",
        metavar="KEY",
        help="column to sort by: a parameter, a metric, trial, status, step or "
        "seconds; the best first by default",
    ),
    Option("--reverse", action="store_true", help="turn the order"),
    Option(
        "--output",
        files=True,
        metavar="FILE",
        help="file to write (.csv, .parquet), instead of standard output",
    ),
)
TAKING_THE_BEST = (
    _SWEEP,
    Option(
        "--metric",
        metavar="NAME",
        help="metric that decides; by default the objective of the sweep, or that of "
        "output.checkpoint.best, or the loss",
    ),
    Option(
        "--direction",
        choices=["minimize", "maximize"],
        help="direction of --metric, if the sweep does not optimize it",
    ),
    REPORT,
)
REPORTING_SWEEPS = (
    _SWEEP,
    Option(
        "--output",
        files=True,
        metavar="FILE",
        help="file to write; DIR/report.html by default",
    ),
    Option(
        "--tensorboard",
        files=True,
        metavar="LOGDIR",
        help="also write curves and hyperparameters of all trials for TensorBoard, "
        "into a new folder",
    ),
    REPORT,
)
