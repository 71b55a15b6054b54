"""Tables: files of rows, read by columns, split and preprocessed as declared."""

from specflow.data.table.split_source import TableSource
from specflow.data.table.table_sources import TableData, table_data

__all__ = ["TableData", "TableSource", "table_data"]
