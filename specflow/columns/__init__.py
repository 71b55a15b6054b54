"""Columns of a table as features: fitted once, stored as JSON, applied with NumPy."""

from specflow.columns.category_column import CategoryColumn
from specflow.columns.coded_texts import CodedTexts
from specflow.columns.fitted_columns import FORMAT, FittedColumns, LabelColumn
from specflow.columns.number_column import NumberColumn
from specflow.columns.number_statistics import NumberStatistics
from specflow.columns.raw_values import (
    MISSING,
    NUMBER,
    as_number,
    as_numbers,
    as_text,
    as_texts,
)

__all__ = [
    "FORMAT",
    "MISSING",
    "NUMBER",
    "CategoryColumn",
    "CodedTexts",
    "FittedColumns",
    "LabelColumn",
    "NumberColumn",
    "NumberStatistics",
    "as_number",
    "as_numbers",
    "as_text",
    "as_texts",
]
