"""Records for the tests, and files of examples by writers that are not specflow's."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorboardX.record_writer import RecordWriter

import specflow as sf
from tests.compose.conftest import golden

__all__ = ["golden"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _messages() -> dict[str, Any]:
    """Classes of Example and Features, made by the protobuf library."""
    file = descriptor_pb2.FileDescriptorProto(
        name="records_of_tests.proto", package="records_of_tests", syntax="proto3"
    )
    kinds = {
        "BytesList": ("value", "TYPE_BYTES"),
        "FloatList": ("value", "TYPE_FLOAT"),
        "Int64List": ("value", "TYPE_INT64"),
    }
    for name, (field, kind) in kinds.items():
        file.message_type.add(name=name).field.add(
            name=field, number=1, label="LABEL_REPEATED", type=kind
        )
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("bytes_list", "float_list", "int64_list"), 1):
        feature.field.add(
            name=name,
            number=number,
            label="LABEL_OPTIONAL",
            type="TYPE_MESSAGE",
            oneof_index=0,
            type_name=f".records_of_tests.{name.title().replace('_', '')}",
        )
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label="LABEL_OPTIONAL", type="TYPE_STRING")
    entry.field.add(
        name="value",
        number=2,
        label="LABEL_OPTIONAL",
        type="TYPE_MESSAGE",
        type_name=".records_of_tests.Feature",
    )
    features.field.add(
        name="feature",
        number=1,
        label="LABEL_REPEATED",
        type="TYPE_MESSAGE",
        type_name=".records_of_tests.Features.FeatureEntry",
    )
    file.message_type.add(name="Example").field.add(
        name="features",
        number=1,
        label="LABEL_OPTIONAL",
        type="TYPE_MESSAGE",
        type_name=".records_of_tests.Features",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("records_of_tests.Example")
    return {"Example": message_factory.GetMessageClass(found)}


EXAMPLE = _messages()["Example"]


def as_example(row: Mapping[str, Any]) -> bytes:
    """Serializes a row: integers, floats, bytes and texts, or lists of one of them."""
    example = EXAMPLE()
    for name, value in row.items():
        values = [value] if isinstance(value, int | float | bytes | str) else value
        feature = example.features.feature[name]
        if all(isinstance(each, bytes | str) for each in values) and len(values):
            encoded = [e.encode() if isinstance(e, str) else e for e in values]
            feature.bytes_list.value.extend(encoded)
        elif any(isinstance(each, float) for each in values):
            feature.float_list.value.extend(values)
        else:
            feature.int64_list.value.extend(values)
    return example.SerializeToString()


def write_records(path: Path, contents: Sequence[bytes]) -> None:
    """Writes a TFRecord file by the writer of tensorboardX."""
    writer = RecordWriter(str(path))
    for content in contents:
        writer.write(content)
    writer.close()


def write_examples(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    write_records(path, [as_example(row) for row in rows])


class ListRecords:
    """Records in memory, by column."""

    def __init__(
        self,
        columns: Mapping[str, Any],
        fields: Mapping[str, sf.data.RecordField] | None = None,
        files: Mapping[str, str] | None = None,
        name: str = "list",
    ):
        self.columns, self.fields, self.name = columns, fields, name
        self.files = files or {name: "1"}
        self.reads: list[int] = []

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def read(self, rows, fields):
        self.reads.append(len(rows))
        names = self.columns if fields is None else fields
        return {
            name: self.columns[name][rows]
            if isinstance(self.columns[name], np.ndarray)
            else [self.columns[name][row] for row in rows]
            for name in names
            if name in self.columns
        }

    def place(self, row: int) -> str:
        return f"{self.name}, record {row}"


class ListConfig(sf.RecordsConfig):
    """A source of a plugin, for the tests."""

    name: Literal["list"] = "list"
    parts: dict[str, Any] = {}

    def named(self, part: str) -> Any:
        return part if part in self.parts else None

    def key(self, part: str) -> str:
        return f"data.parts.{part}"

    def build(self, *, part: str) -> Any:
        return self.parts[part]


@pytest.fixture
def list_config() -> Callable[..., ListConfig]:
    """Makes a section of records in memory: part -> records."""

    def make(**settings: Any) -> ListConfig:
        parts = settings.pop("parts")
        config = ListConfig(**settings)
        return config.model_copy(update={"parts": parts})

    return make
