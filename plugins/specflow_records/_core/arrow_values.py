"""Values of Arrow columns as records have them, without a change of their types."""

from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import types

__all__ = ["values_of"]


def values_of(column: Any, *, is_image: bool = False) -> Any:
    """Returns the values of an Arrow array: see `specflow.data.Records.read`.

    Args:
        column: an array, of numbers, lists of them, texts or bytes; of pictures, as
            `{bytes, path}`.
        is_image: it has pictures.
    """
    if isinstance(column.type, pa.ExtensionType):
        column = column.storage
    kind = column.type
    if types.is_dictionary(kind):
        return values_of(column.dictionary_decode(), is_image=is_image)
    if is_image and types.is_struct(kind):
        return [_content(each) for each in column.to_pylist()]
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        if not column.null_count:
            return column.to_numpy(zero_copy_only=False)
        values = column.fill_null(0).to_numpy(zero_copy_only=False)
        present = column.is_valid().to_numpy(zero_copy_only=False)
        pairs = zip(values, present, strict=True)
        return [np.array(value) if valid else None for value, valid in pairs]
    if _is_list(kind) and _is_numeric(_innermost(kind)):
        return _lists(column)
    return column.to_pylist()


def _content(picture: Any) -> bytes | None:
    """The bytes of a picture, which may be in a file."""
    if picture is None:
        return None
    content, path = picture.get("bytes"), picture.get("path")
    if content is None and path is not None:
        with open(path, "rb") as file:
            content = file.read()
    return content


def _lists(column: Any) -> Any:
    """Lists of numbers: an array if all have one shape, else a vector for each."""
    if column.null_count or not len(column):
        return [
            None if value is None else np.asarray(value) for value in column.to_pylist()
        ]
    shape: list[int] = []
    flat = column
    while _is_list(flat.type):
        if types.is_fixed_size_list(flat.type):
            sizes = {flat.type.list_size}
        else:
            sizes = set(np.unique(np.diff(flat.offsets)).tolist())
        inner = flat.flatten()
        if len(sizes) != 1 or inner.null_count:
            return _ragged(column)
        shape.append(sizes.pop())
        flat = inner
        if isinstance(flat.type, pa.ExtensionType):
            flat = flat.storage
    return flat.to_numpy(zero_copy_only=False).reshape(len(column), *shape)


def _ragged(column: Any) -> list[Any]:
    is_flat = not _is_list(column.type.value_type)
    if is_flat and not column.flatten().null_count:
        flat = column.flatten().to_numpy(zero_copy_only=False)
        offsets = np.asarray(column.offsets)
        return np.split(flat, (offsets - offsets[0])[1:-1])
    values = column.to_pylist()
    dtype = _innermost(column.type).to_pandas_dtype()
    return [None if None in value else np.array(value, dtype) for value in values]


def _is_list(kind: Any) -> bool:
    return (
        types.is_list(kind)
        or types.is_large_list(kind)
        or types.is_fixed_size_list(kind)
    )


def _innermost(kind: Any) -> Any:
    while _is_list(kind):
        kind = kind.value_type
    return kind


def _is_numeric(kind: Any) -> bool:
    return types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind)
