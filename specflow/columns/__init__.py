"""Columns of a table as features: fitted once, stored as JSON, applied with NumPy."""

from specflow.columns.category_column import CategoryColumn
from specflow.columns.coded_texts import CodedTexts
from specflow.columns.column_problem import ColumnProblem
from specflow.columns.cross_column import CrossColumn, CrossPart
from specflow.columns.date_column import DateColumn
from specflow.columns.embedding import Embedding
from specflow.columns.fitted_columns import FORMAT, FittedColumns
from specflow.columns.image_column import ImageColumn
from specflow.columns.image_decoding import (
    EncodedImage,
    ImageError,
    ImageHeader,
    Region,
    encoded_image,
    image_header,
)
from specflow.columns.label_column import LabelColumn
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
from specflow.columns.set_column import ItemCounts, SetColumn
from specflow.columns.tokenizer_file import TokenizerFile
from specflow.columns.vector_column import VectorColumn

__all__ = [
    "FORMAT",
    "MISSING",
    "NUMBER",
    "CategoryColumn",
    "CodedTexts",
    "ColumnProblem",
    "CrossColumn",
    "CrossPart",
    "DateColumn",
    "Embedding",
    "EncodedImage",
    "FittedColumns",
    "ImageColumn",
    "ImageError",
    "ImageHeader",
    "ItemCounts",
    "LabelColumn",
    "NumberColumn",
    "NumberStatistics",
    "Region",
    "SetColumn",
    "TokenizerFile",
    "VectorColumn",
    "as_number",
    "as_numbers",
    "as_text",
    "as_texts",
    "encoded_image",
    "image_header",
]
