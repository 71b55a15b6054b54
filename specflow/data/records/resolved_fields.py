"""Resolves fields to arrays: as declared, as the source says, or as records show."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from specflow.config.sections.records import FieldConfig, RecordsConfig
from specflow.data.records.field_arrays import ArrayField
from specflow.data.records.images import decoded_images, is_image
from specflow.data.records.records import RecordField, Records
from specflow.diagnostics.errors import DataError, Diagnostic, did_you_mean, nearest

__all__ = ["RecordRoles", "resolved_fields"]

_SAMPLE = 64
"""Number of first records whose fields are inferred."""
_INT32 = np.dtype(np.int32)


@dataclasses.dataclass(frozen=True, slots=True)
class RecordRoles:
    """Fields by what they are for."""

    features: Mapping[str, ArrayField]
    labels: Mapping[str, ArrayField]
    ids: tuple[str, ...]


def resolved_fields(
    config: RecordsConfig, records: Records, *, needs_labels: bool
) -> RecordRoles:
    """Returns the arrays of the fields that are used.

    Args:
        config: the `data` section.
        records: the training records, or those to evaluate where they replace them.
        needs_labels: the records must have labels.

    Raises:
        DataError: a field does not exist, or is no array; all are reported.
    """
    sample = records.read(np.arange(min(_SAMPLE, len(records))), None)
    known = records.fields
    fields = dict(known) if known is not None else _inferred(sample, config.fields)
    if not needs_labels:
        labels = [name for name in config.labels if name in fields]
    else:
        labels = list(config.labels)
    ids = [name for name in config.id if name in fields or needs_labels]
    features = config.features
    if features is None:
        others = {*config.labels, *config.id}
        features = [name for name in fields if name not in others]
    named = (
        *(("data.features", name) for name in features),
        *(("data.labels", name) for name in labels),
        *(("data.id", name) for name in ids),
        *((f"data.fields.{name}", name) for name in config.fields if needs_labels),
    )
    where = records.place(0).rpartition(", ")[0]
    diagnostics = list(_unknown(named, fields, where))
    if not features:
        diagnostics.append(
            Diagnostic(
                "data.features",
                f"{where} has no field beside labels and ids",
                expected="at least one field of features",
                code="record-field",
            )
        )
    if diagnostics:
        raise DataError(*diagnostics)
    arrays: dict[str, ArrayField] = {}
    for role, names in (("features", features), ("labels", labels)):
        for name in names:
            field = _resolved(
                name,
                config.fields.get(name) or FieldConfig(),
                fields[name],
                sample.get(name, ()),
                where=where,
                is_label=role == "labels",
            )
            if isinstance(field, Diagnostic):
                diagnostics.append(field)
            else:
                arrays[name] = field
    if diagnostics:
        raise DataError(*diagnostics)
    return RecordRoles(
        {name: arrays[name] for name in features},
        {name: arrays[name] for name in labels},
        tuple(ids),
    )


def _unknown(
    named: Sequence[tuple[str, str]], fields: Mapping[str, Any], where: str
) -> Iterator[Diagnostic]:
    shown = ", ".join(list(fields)[:20]) + (", ..." if len(fields) > 20 else "")
    for key, name in named:
        if name not in fields:
            yield Diagnostic(
                key,
                f"{where} has no field {name!r}; it has {shown or 'none'}",
                hint=did_you_mean(nearest(name, fields)),
                code="record-field",
            )


def _inferred(
    sample: Mapping[str, Any], declared: Mapping[str, FieldConfig]
) -> dict[str, RecordField]:
    """The fields of some records, by their values, and those that they may lack."""
    fields = {
        name: RecordField(kind="numbers", dtype=np.dtype(field.dtype))
        for name, field in declared.items()
        if field.dtype is not None
    }
    for name in sorted(sample):
        present = [value for value in sample[name] if value is not None]
        first = present[0] if present else None
        if isinstance(first, bytes | str):
            is_picture = isinstance(first, bytes) and is_image(first)
            kind = "image" if is_picture else "text"
            fields[name] = RecordField(kind=kind, about="bytes")
        elif first is None or isinstance(first, list):
            about = "a list of bytes"
            if first and not all(isinstance(item, bytes | str) for item in first):
                about = "lists of several sizes, one for each step"
            fields[name] = RecordField(kind="other", about=about)
        else:
            fields[name] = _of_numbers([np.asarray(value) for value in present])
    return fields


def _of_numbers(arrays: Sequence[Any]) -> RecordField:
    """A field of numbers, of lists of them, or of lists of items of one size."""
    # An empty list of steps has no type.
    dtype = next((array.dtype for array in arrays if array.size), arrays[0].dtype)
    items = {array.shape[1:] for array in arrays if array.ndim > 1 and array.size}
    if not items:
        sizes = {array.size for array in arrays}
        return RecordField(
            kind="numbers" if len(sizes) == 1 else "list",
            dtype=dtype,
            shape=() if sizes == {1} else (arrays[0].size,),
            about=f"{dtype}, {min(sizes):,} to {max(sizes):,} a record",
        )
    counts = {len(array) for array in arrays}
    steps = f"{dtype}, {min(counts):,} to {max(counts):,} items"
    if len(items) > 1 or any(array.ndim < 2 and array.size for array in arrays):
        return RecordField(kind="other", about=f"{steps} of several sizes")
    (item,) = items
    return RecordField(
        kind="numbers" if len(counts) == 1 else "list",
        dtype=dtype,
        shape=(len(arrays[0]), *item),
        about=f"{steps} of {math.prod(item):,} a record",
    )


def _resolved(
    name: str,
    declared: FieldConfig,
    field: RecordField,
    sample: Sequence[Any],
    *,
    where: str,
    is_label: bool,
) -> ArrayField | Diagnostic:
    key = f"data.fields.{name}"
    decode = declared.decode
    if decode is None and field.kind == "image":
        decode = "image"
    if decode == "image":
        return _picture(name, declared, sample, where)
    classes = tuple(declared.classes) if declared.classes else field.classes
    if decode == "raw":
        dtype, shape = np.dtype(declared.dtype), _shape_of(declared)
        if declared.shape is None:
            shape = _raw_shape(dtype, sample)
        return ArrayField(name=name, kind="raw", dtype=dtype, shape=shape)
    if decode == "bytes":
        assert declared.length is not None
        return ArrayField(
            name=name,
            kind="bytes",
            dtype=np.dtype(declared.dtype or np.int32),
            shape=(declared.length,),
            pad=declared.pad,
        )
    if field.kind == "text":
        if classes is not None:
            return ArrayField(name=name, kind="classes", dtype=_INT32, classes=classes)
        is_text = isinstance(_first_of(sample), str)
        numbers = "" if is_text else f"numbers: {key}={{decode: raw, dtype: uint8}}; "
        hint = (
            f"Name its classes: {key}.classes=[...]."
            if is_label
            else f"Its bytes: {key}={{decode: bytes, length: 256}}; {numbers}an id: "
            "data.id. Or leave it out of data.features."
        )
        return Diagnostic(
            key,
            f"{name} of {where} has texts or bytes, such as {_first(sample)}",
            expected="numbers or pictures, or how it is decoded",
            hint=hint,
            code="record-field",
        )
    if field.kind == "other":
        return Diagnostic(
            key,
            f"{name} of {where} is {field.about}",
            expected="numbers, lists of numbers, texts or pictures",
            hint="Leave it out of data.features.",
            code="record-field",
        )
    dtype = np.dtype(declared.dtype or field.dtype)
    if is_label and declared.dtype is None and dtype.kind in "biu":
        dtype = dtype if dtype.itemsize > 4 else _INT32
    if declared.length is not None:
        return ArrayField(
            name=name,
            kind="list",
            dtype=dtype,
            shape=(declared.length, *field.shape[1:]),
            pad=declared.pad,
        )
    if field.kind == "list" and declared.shape is None:
        arrays = [np.atleast_1d(each) for each in sample if each is not None]
        longest = max(map(len, arrays), default=1)
        return Diagnostic(
            key,
            f"{name} of {where} has lists of different lengths: {field.about}",
            expected="a shape of all records, or a length to which lists are padded",
            hint=f"Pad them: {key}.length={longest}.",
            code="record-field",
        )
    if classes is None and is_label and np.dtype(field.dtype).kind == "b":
        classes = ("false", "true")
    return ArrayField(
        name=name,
        kind="numbers",
        dtype=dtype,
        shape=field.shape if declared.shape is None else _shape_of(declared),
        missing=declared.missing,
        classes=classes,
    )


def _shape_of(declared: FieldConfig) -> tuple[int, ...]:
    return tuple(declared.shape or ())


def _raw_shape(dtype: np.dtype[Any], sample: Sequence[Any]) -> tuple[int, ...]:
    """The shape of raw bytes that declare none: a vector."""
    first = next((each for each in sample if isinstance(each, bytes)), b"")
    return (len(first) // dtype.itemsize,)


def _picture(
    name: str, declared: FieldConfig, sample: Sequence[Any], where: str
) -> ArrayField | Diagnostic:
    dtype = np.dtype(declared.dtype or np.uint8)
    if declared.shape is not None:
        shape = tuple(declared.shape)
        return ArrayField(name=name, kind="image", dtype=dtype, shape=shape)
    problems: list[str] = []
    contents = [each for each in sample if isinstance(each, bytes)]
    images = decoded_images(contents, None, lambda _, text: problems.append(text))
    shapes = sorted({image.shape for image in images if image is not None})
    if len(shapes) == 1:
        return ArrayField(
            name=name, kind="image", dtype=dtype, shape=shapes[0], own_shape=True
        )
    if not shapes:
        reason = f", such as {problems[0]}" if problems else ""
        problem = f"{name} of {where} has no picture that decodes{reason}"
    else:
        problem = (
            f"{name} of {where} has pictures of different sizes: "
            f"{', '.join(str(list(shape)) for shape in shapes[:3])}"
        )
    return Diagnostic(
        f"data.fields.{name}",
        problem,
        expected="pictures of one size, or a shape to which they are resized",
        hint=f"Resize them: data.fields.{name}={{decode: image, shape: [64, 64, 3]}}."
        if shapes
        else "",
        code="record-field",
    )


def _first_of(sample: Sequence[Any]) -> Any:
    return next((each for each in sample if each is not None), "")


def _first(sample: Sequence[Any]) -> str:
    first = _first_of(sample)
    shown = repr(first[:24])
    return shown if len(first) <= 24 else f"{shown}..."
