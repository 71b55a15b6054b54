"""Files of a run: its directory, checkpoints, exports, metrics and curves."""

from specflow.output.checkpoint.best_checkpoint import Best
from specflow.output.checkpoint.checkpoint_directory import located
from specflow.output.checkpoint.checkpoint_reader import Restored
from specflow.output.checkpoint.checkpointer import Checkpointer
from specflow.output.checkpoint.step_choice import CheckpointStep
from specflow.output.files import replacing, reported, set_aside, write_text
from specflow.output.json_values import to_plain
from specflow.output.report.efficiency import Efficiency, efficiency
from specflow.output.report.evaluation_rows import evaluation_rows
from specflow.output.report.final_table import format_result, print_result
from specflow.output.report.plots import draw_curves
from specflow.output.report.prediction_rows import FORMATS, row_format, writing_rows
from specflow.output.report.progress import Progress, is_watched
from specflow.output.report.reporters import (
    AsyncReporters,
    JsonLines,
    Reporter,
    TensorBoard,
    read_rows,
)
from specflow.output.run.run_directory import (
    RunDirectory,
    default_run_directory,
    existing_run,
    open_run,
    rerun_directory,
)

__all__ = [
    "FORMATS",
    "AsyncReporters",
    "Best",
    "CheckpointStep",
    "Checkpointer",
    "Efficiency",
    "JsonLines",
    "Progress",
    "Reporter",
    "Restored",
    "RunDirectory",
    "TensorBoard",
    "default_run_directory",
    "draw_curves",
    "efficiency",
    "evaluation_rows",
    "existing_run",
    "format_result",
    "is_watched",
    "located",
    "open_run",
    "print_result",
    "read_rows",
    "replacing",
    "reported",
    "rerun_directory",
    "row_format",
    "set_aside",
    "to_plain",
    "write_text",
    "writing_rows",
]
