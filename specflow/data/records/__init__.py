"""Records, read by number: fields, splits and labels of sources that plugins open."""

from specflow.data.records.record_data import RecordData, record_data
from specflow.data.records.record_files import (
    RecordFile,
    made_file,
    record_files,
    record_paths,
)
from specflow.data.records.record_source import RecordSource
from specflow.data.records.records import RecordField, Records

__all__ = [
    "RecordData",
    "RecordField",
    "RecordFile",
    "RecordSource",
    "Records",
    "made_file",
    "record_data",
    "record_files",
    "record_paths",
]
