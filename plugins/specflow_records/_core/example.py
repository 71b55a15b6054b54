"""Parses `tf.train.Example`, the protocol buffer of a record: lists of values by name.

And `tf.train.SequenceExample`, which has lists of such lists too: one a step.

Source: tensorflow/core/example/{example,feature}.proto and the encoding of protocol
buffers, https://protobuf.dev/programming-guides/encoding. NumPy makes arrays of packed
lists, which is faster than a general parser followed by a conversion.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow import DataError
from specflow.diagnostics.errors import Diagnostic

__all__ = ["ExampleError", "example_columns", "parsed_example"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Wire types."""
_FEATURES, _FEATURE_LISTS = 1, 2
"""Fields of an example, whose features are the context of a sequence example."""
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3
_LONGEST_VARINT = 10


def example_columns(
    contents: Iterable[tuple[int, bytes]],
    fields: Sequence[str] | None,
    rows: npt.NDArray[np.int64],
    place: Callable[[int], str],
) -> dict[str, list[Any]]:
    """Parses examples: field -> its value in each record.

    Args:
        contents: (index in `rows`, serialized example), in any order.
        fields: features to return; None: all.
        rows: numbers of the records.
        place: file and number of a record, for messages.

    Raises:
        DataError: a record is no example.
    """
    wanted = None if fields is None else frozenset(fields)
    examples: list[dict[str, Any]] = [{}] * len(rows)
    for index, content in contents:
        try:
            examples[index] = parsed_example(content, wanted)
        except ExampleError as error:
            raise DataError(
                Diagnostic(
                    place(int(rows[index])),
                    f"is no tf.train.Example or SequenceExample: {error}",
                    expected="an example of named features",
                    code="record-value",
                )
            ) from error
    names = fields or dict.fromkeys(name for each in examples for name in each)
    return {name: [each.get(name) for each in examples] for name in names}


class ExampleError(ValueError):
    """Bytes that are no `tf.train.Example` or `tf.train.SequenceExample`."""


def parsed_example(
    content: bytes, names: Collection[str] | None = None
) -> dict[str, Any]:
    """Returns the features of an example, or those of a sequence example.

    Args:
        content: the serialized example.
        names: features to return; None: all.

    Returns:
        Name -> float32 or int64 "n"; bytes; a list of bytes, if there are several; None
        for a feature without a list, or with an empty list of bytes. A feature list
        with one number a step is "t" likewise, and one with k numbers a step "t k";
        any other is a list of what its steps have.

    Raises:
        ExampleError: the bytes are no example.

    >>> parsed_example(bytes.fromhex("0a0c0a0a0a017812051a030a0107"))
    {'x': array([7])}
    """
    features: dict[str, Any] = {}
    kinds: dict[str, int] = {}
    for number, wire, start, stop in _fields(content, 0, len(content)):
        if number not in (_FEATURES, _FEATURE_LISTS) or wire != _BYTES:
            continue
        read = _feature if number == _FEATURES else _feature_list
        for inner, inner_wire, first, last in _fields(content, start, stop):
            if inner != 1 or inner_wire != _BYTES:
                continue
            name, feature = _entry(content, first, last)
            if names is not None and name not in names:
                continue
            # A later entry of a map replaces an earlier one of the same kind.
            if features and name in features and number != kinds[name]:
                raise ExampleError(
                    f"{name!r} is a feature of the context and a feature list"
                )
            kinds[name] = number
            features[name] = read(content, *feature)
    return features


def _entry(content: bytes, start: int, stop: int) -> tuple[str, tuple[int, int]]:
    """The name of a feature, and where it is."""
    name, feature = b"", (stop, stop)
    for number, wire, first, last in _fields(content, start, stop):
        if wire == _BYTES and number == 1:
            name = content[first:last]
        elif wire == _BYTES and number == 2:
            feature = first, last
    try:
        return name.decode(), feature
    except UnicodeDecodeError as error:
        raise ExampleError("the name of a feature is not UTF-8") from error


def _feature(content: bytes, start: int, stop: int) -> Any:
    result: Any = None
    for number, wire, first, last in _fields(content, start, stop):
        if wire != _BYTES:
            continue
        if number == _BYTES_LIST:
            inner = _fields(content, first, last)
            texts = [content[at:end] for _, kind, at, end in inner if kind == _BYTES]
            result = texts[0] if len(texts) == 1 else texts or None
        elif number == _FLOAT_LIST:
            result = _floats(content, first, last)
        elif number == _INT64_LIST:
            result = _integers(content, first, last)
    return result


def _feature_list(content: bytes, start: int, stop: int) -> Any:
    """The features of all steps, joined."""
    steps = [
        _feature(content, first, last)
        for number, wire, first, last in _fields(content, start, stop)
        if number == 1 and wire == _BYTES
    ]
    if not steps:
        return np.zeros(0, np.float32)  # Of no known type.
    if not all(isinstance(step, np.ndarray) for step in steps):
        return steps
    sizes = {len(step) for step in steps}
    if len(sizes) > 1:
        return steps
    return np.concatenate(steps) if sizes == {1} else np.stack(steps)


def _floats(content: bytes, start: int, stop: int) -> npt.NDArray[np.float32]:
    parts: list[Any] = []
    for number, wire, first, last in _fields(content, start, stop):
        if number == 1 and wire in (_BYTES, _FIXED32):
            if (last - first) % 4:
                raise ExampleError("a list of floats is cut off")
            parts.append(np.frombuffer(content, "<f4", (last - first) // 4, first))
    return _joined(parts, np.dtype(np.float32))


def _integers(content: bytes, start: int, stop: int) -> npt.NDArray[np.int64]:
    parts: list[Any] = []
    single: list[int] = []
    for number, wire, first, last in _fields(content, start, stop):
        if number != 1:
            continue
        if wire == _VARINT:
            single.append(first)
        elif wire == _BYTES:
            parts.append(_varints(content, first, last))
    if single:
        parts.append(np.array(single, np.uint64).astype(np.int64))
    return _joined(parts, np.dtype(np.int64))


def _joined(parts: list[Any], dtype: np.dtype[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def _varints(content: bytes, start: int, stop: int) -> npt.NDArray[np.int64]:
    """Decodes a packed list of integers."""
    if start == stop:
        return np.zeros(0, np.int64)
    if stop - start == 1 and content[start] < 0x80:
        return np.array([content[start]])
    octets = np.frombuffer(content, np.uint8, stop - start, start)
    is_last = octets < 0x80
    if not is_last[-1]:
        raise ExampleError("a list of integers is cut off")
    if is_last.all():
        return octets.astype(np.int64)
    ends = np.flatnonzero(is_last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    sizes = ends - starts + 1
    if sizes.max() > _LONGEST_VARINT:
        raise ExampleError("an integer has more than 64 bits")
    places = np.arange(octets.size) - np.repeat(starts, sizes)
    bits = (octets & 0x7F).astype(np.uint64) << (7 * places).astype(np.uint64)
    return np.bitwise_or.reduceat(bits, starts).astype(np.int64)


def _fields(content: bytes, at: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """Yields number, wire type, and place of each field of a message.

    The place is the first byte and the one after the last; of a varint, its value comes
    first.

    Raises:
        ExampleError: the message is malformed.
    """
    while at < stop:
        tag = content[at]
        at += 1
        if tag > 0x7F:
            tag, at = _varint(content, at - 1, stop)
        wire = tag & 7
        if wire == _VARINT:
            value, at = _varint(content, at, stop)
            yield tag >> 3, wire, value, at
            continue
        if wire == _BYTES:
            length, at = _varint(content, at, stop)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise ExampleError(f"byte {at} has the wire type {wire}")
        end = at + length
        if end > stop:
            raise ExampleError(f"{end - stop} bytes are missing at its end")
        yield tag >> 3, wire, at, end
        at = end


def _varint(content: bytes, at: int, stop: int) -> tuple[int, int]:
    value = shift = 0
    while at < stop:
        octet = content[at]
        at += 1
        if octet < 0x80:
            return (value | octet << shift) & 0xFFFF_FFFF_FFFF_FFFF, at
        value |= (octet & 0x7F) << shift
        shift += 7
        if shift >= 7 * _LONGEST_VARINT:
            raise ExampleError("an integer has more than 64 bits")
    raise ExampleError("it is cut off")
