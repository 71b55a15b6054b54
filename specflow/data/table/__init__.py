"""Tables: files of rows, read by columns, split and preprocessed as declared."""

from specflow.data.table.image_source import ImageSource
from specflow.data.table.split_source import CellParts, RawRows, TableSource
from specflow.data.table.table_sources import TableData, table_data

__all__ = [
    "CellParts",
    "ImageSource",
    "RawRows",
    "TableData",
    "TableSource",
    "table_data",
]
