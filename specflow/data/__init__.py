"""Data: sources of rows, chunks of training batches, and evaluation batches."""

from specflow.data.batch import Batch, EvalBatches
from specflow.data.build_sources import build_data
from specflow.data.data_files import DataFiles
from specflow.data.digest import (
    block_digests,
    compared_blocks,
    row_digests,
    row_forms,
)
from specflow.data.experiment_data import Data
from specflow.data.input_kinds import as_source
from specflow.data.input_length import epoch_length, no_epochs
from specflow.data.joined_source import JoinedSource
from specflow.data.mixture import MixtureSource
from specflow.data.narrowing import checked_batch, narrowed
from specflow.data.pipeline import TrainBatches, TrainInput, as_train_batches
from specflow.data.plan import WHOLE, BatchPlan, Share
from specflow.data.records import (
    RecordField,
    RecordFile,
    Records,
    RecordSource,
    made_file,
    record_files,
    record_paths,
)
from specflow.data.repeated_batches import RepeatedBatches, repeated_batches
from specflow.data.reused_iterators import TrackedIterator, track_iterator
from specflow.data.source import (
    ArraySource,
    DigestedSource,
    RowSpec,
    Source,
    check_range,
    highest,
    occurring,
)
from specflow.data.stream import Chunk, StreamBatches
from specflow.data.table import CellParts, ImageSource, RawRows, TableSource
from specflow.data.table.kept_digests import file_digest
from specflow.data.table.read_retries import read_retried

__all__ = [
    "WHOLE",
    "ArraySource",
    "Batch",
    "BatchPlan",
    "CellParts",
    "Chunk",
    "Data",
    "DataFiles",
    "DigestedSource",
    "EvalBatches",
    "ImageSource",
    "JoinedSource",
    "MixtureSource",
    "RawRows",
    "RecordField",
    "RecordFile",
    "RecordSource",
    "Records",
    "RepeatedBatches",
    "RowSpec",
    "Share",
    "Source",
    "StreamBatches",
    "TableSource",
    "TrackedIterator",
    "TrainBatches",
    "TrainInput",
    "as_source",
    "as_train_batches",
    "block_digests",
    "build_data",
    "check_range",
    "checked_batch",
    "compared_blocks",
    "epoch_length",
    "file_digest",
    "highest",
    "made_file",
    "narrowed",
    "no_epochs",
    "occurring",
    "read_retried",
    "record_files",
    "record_paths",
    "repeated_batches",
    "row_digests",
    "row_forms",
    "track_iterator",
]
