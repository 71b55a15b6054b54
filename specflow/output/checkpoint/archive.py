"""Format of one checkpoint: files of arrays, and metadata with a digest of each."""

import functools
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from specflow.diagnostics.errors import CheckpointError, Diagnostic
from specflow.output.checkpoint.arrays_file import digest_of, write_arrays
from specflow.output.checkpoint.saved_arrays import (
    Bounds,
    DamagedError,
    SavedArray,
    StoredArrays,
    reason,
    saved_arrays,
)
from specflow.output.checkpoint.snapshot import Snapshot
from specflow.output.checkpoint.state_layout import StateLayout
from specflow.output.files import write_text

__all__ = ["FORMAT", "Archive", "SavedShard"]

FORMAT = 3
"""Version of the format. 1 and 2 were written with Orbax; 1 had model state under
`rest/`, 2 under `state/`."""

_METADATA = "checkpoint.json"

SavedShard: TypeAlias = tuple[str, Bounds, str]
"""Name of an array, bounds and digest of a piece of it."""


class Archive:
    """Writes and reads single checkpoints.

    On disk a checkpoint is a directory with one file of arrays for each process that
    wrote it (`arrays-00000-of-00001.safetensors`) and `checkpoint.json`, a JSON object:
    version of the format, the caller's values, shape, dtype and pieces of each array
    (file, bounds, digest), and a digest of the object itself.
    """

    def write_share(
        self, folder: Path, snapshot: Snapshot, *, process: int, processes: int
    ) -> list[SavedShard]:
        """Writes the pieces that one process holds.

        Args:
            folder: the checkpoint, before it gets its final name.
            snapshot: the pieces of this process.
            process: index of the process.
            processes: number of processes.

        Returns:
            What `complete` takes from process 0; the others leave it in a file.

        Raises:
            OSError: a file cannot be written.
        """
        layout = snapshot.layout
        file = folder / _file_name(process, processes)
        digests = write_arrays(file, layout.header, snapshot.pieces)
        written = [
            (piece.name, piece.bounds, digest)
            for piece, digest in zip(layout.pieces, digests, strict=True)
        ]
        if process:
            _index(folder, process).write_text(json.dumps(written), encoding="utf-8")
        return written

    def complete(
        self,
        folder: Path,
        layout: StateLayout,
        written: list[SavedShard],
        metadata: Mapping[str, Any],
        *,
        processes: int,
    ) -> None:
        """Writes the metadata, after all processes have written their pieces.

        Args:
            folder: the checkpoint, before it gets its final name.
            layout: that of process 0, for shapes and dtypes.
            written: result of `write_share` of process 0.
            metadata: plain JSON values to store with the arrays.
            processes: number of processes.

        Raises:
            OSError: a file cannot be read or written.
        """
        indexes = [_index(folder, process) for process in range(1, processes)]
        others = [json.loads(index.read_text(encoding="utf-8")) for index in indexes]
        pieces: dict[str, list[Any]] = {name: [] for name in layout.arrays}
        for file, shards in enumerate([written, *others]):
            for name, bounds, digest in shards:
                pieces[name].append((file, bounds, digest))
        arrays = {
            name: {"dtype": _name(dtype), "shape": shape, "pieces": pieces[name]}
            for name, (dtype, shape) in layout.arrays.items()
        }
        files = [_file_name(process, processes) for process in range(processes)]
        text = _signed({**metadata, "format": FORMAT, "files": files, "arrays": arrays})
        with (folder / _METADATA).open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        for index in indexes:
            index.unlink()

    def metadata(self, path: Path) -> dict[str, Any]:
        """Reads the metadata of a checkpoint.

        Raises:
            DamagedError: it cannot be read, or has changed.
            CheckpointError: it has another version of the format.
        """
        file = path / _METADATA
        if not file.exists() and (earlier := path / "about" / "metadata").exists():
            file = earlier
        try:
            text = file.read_text(encoding="utf-8")
            metadata = dict(json.loads(text))
        except (OSError, ValueError) as error:
            raise DamagedError(f"{file.name}: {reason(error)}") from error
        digest = metadata.pop("xxh3_128", None)
        # Written by this version, the text without its digest is what was hashed.
        if _signature(text) != digest and _digest(_hashed(metadata)) != digest:
            raise DamagedError("its description has changed since it was written")
        if (version := metadata.pop("format", 1)) != FORMAT:
            raise CheckpointError(_other_format(path, version))
        return metadata

    def update_metadata(self, path: Path, **values: Any) -> None:
        """Adds values to the metadata of a checkpoint.

        Args:
            path: of the checkpoint.
            **values: plain JSON values, which override those of the same name.

        Raises:
            DamagedError: the checkpoint is corrupted.
            OutputError: the metadata cannot be written; it is unchanged on disk.
        """
        metadata = {**self.metadata(path), "format": FORMAT, **values}
        write_text(path / _METADATA, _signed(metadata))

    def arrays(
        self,
        path: Path,
        saved: Mapping[str, SavedArray],
        names: Collection[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """Reads arrays of a checkpoint to the host, and verifies their digests.

        Args:
            path: the checkpoint.
            saved: description of all its arrays.
            names: the arrays to read. If None, all.

        Raises:
            DamagedError: one cannot be read, or has changed.
        """
        with StoredArrays(path, saved) as stored:
            return stored.read_all(saved if names is None else names)

    def verify(self, path: Path) -> list[str]:
        """Verifies the metadata and every array of a checkpoint.

        Takes little memory.

        Returns:
            A reason for each array that is damaged, or one for all of them.

        Raises:
            CheckpointError: it has another version of the format.
        """
        try:
            with StoredArrays(path, saved_arrays(self.metadata(path))) as stored:
                return stored.damages()
        except DamagedError as error:
            return [str(error)]


def _file_name(process: int, processes: int) -> str:
    return f"arrays-{process:05}-of-{processes:05}.safetensors"


def _index(folder: Path, process: int) -> Path:
    """File with the digests of a process's pieces, until the checkpoint is complete."""
    return folder / f"pieces-{process:05}.json"


def _other_format(path: Path, version: Any) -> Diagnostic:
    newer = isinstance(version, int) and version > FORMAT
    return Diagnostic(
        str(path),
        f"has version {version} of the checkpoint format",
        expected=f"version {FORMAT}",
        hint="Install the specflow that wrote it, or a newer one."
        if newer
        else "Restore it with the specflow that wrote it, or train again in another "
        "directory.",
        code="checkpoint-format",
    )


@functools.cache
def _name(dtype: np.dtype[Any]) -> str:
    """Name of a dtype, which NumPy forms slowly."""
    return dtype.name


def _signed(metadata: Mapping[str, Any]) -> str:
    """Metadata as JSON, the digest of the rest as its last member."""
    text = _hashed(metadata)
    return f'{text[:-1]},"xxh3_128":"{_digest(text)}"}}'


def _signature(text: str) -> str:
    """Digest of the text that `_signed` adds a digest to."""
    rest, _, _ = text.rpartition(',"xxh3_128":')
    return _digest(rest + "}")


def _hashed(metadata: Mapping[str, Any]) -> str:
    return json.dumps(metadata, sort_keys=True, separators=(",", ":"))


def _digest(text: str) -> str:
    return digest_of(text.encode())
