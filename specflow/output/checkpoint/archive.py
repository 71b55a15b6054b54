"""Format of one checkpoint: files of arrays, and metadata with a digest of each."""

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from specflow.diagnostics.errors import CheckpointError, Diagnostic
from specflow.output.checkpoint.arrays_file import digest_of, write_arrays
from specflow.output.checkpoint.saved_arrays import (
    DamagedError,
    SavedArray,
    StoredArrays,
    piece_name,
    reason,
    saved_arrays,
)
from specflow.output.checkpoint.snapshot import Share
from specflow.output.files import write_text

__all__ = ["FORMAT", "Archive"]

FORMAT = 3
"""Version of the format. 1 and 2 were written with Orbax; 1 had model state under
`rest/`, 2 under `state/`."""

_METADATA = "checkpoint.json"


class Archive:
    """Writes and reads single checkpoints.

    On disk a checkpoint is a directory with one file of arrays for each process that
    wrote it (`arrays-00000-of-00001.safetensors`) and `checkpoint.json`, a JSON object:
    version of the format, the caller's values, shape, dtype and pieces of each array
    (file, bounds, digest), and a digest of the object itself.
    """

    def write_share(
        self, folder: Path, shares: Mapping[str, Share], *, process: int, processes: int
    ) -> None:
        """Writes the pieces that one process holds.

        Args:
            folder: the checkpoint, before it gets its final name.
            shares: name -> pieces of this process.
            process: index of the process.
            processes: number of processes.

        Raises:
            OSError: a file cannot be written.
        """
        pieces = {
            piece_name(name, share.shape, bounds): piece
            for name, share in shares.items()
            for bounds, piece in share.pieces
        }
        file = f"arrays-{process:05}-of-{processes:05}.safetensors"
        digests = write_arrays(folder / file, pieces)
        described = {
            name: [
                [bounds, digests[piece_name(name, share.shape, bounds)]]
                for bounds, _ in share.pieces
            ]
            for name, share in shares.items()
        }
        content = {"file": file, "arrays": described}
        _index(folder, process).write_text(json.dumps(content), encoding="utf-8")

    def complete(
        self,
        folder: Path,
        shares: Mapping[str, Share],
        metadata: Mapping[str, Any],
        *,
        processes: int,
    ) -> None:
        """Writes the metadata, after all processes have written their pieces.

        Args:
            folder: the checkpoint, before it gets its final name.
            shares: those of any process, for shapes and dtypes.
            metadata: plain JSON values to store with the arrays.
            processes: number of processes.

        Raises:
            OSError: a file cannot be read or written.
        """
        indexes = [_index(folder, process) for process in range(processes)]
        contents = [json.loads(index.read_text(encoding="utf-8")) for index in indexes]
        arrays = {
            name: {
                "dtype": share.dtype.name,
                "shape": list(share.shape),
                "pieces": [
                    [file, *piece]
                    for file, content in enumerate(contents)
                    for piece in content["arrays"][name]
                ],
            }
            for name, share in shares.items()
        }
        files = [content["file"] for content in contents]
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
            metadata = dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise DamagedError(f"{file.name}: {reason(error)}") from error
        digest = metadata.pop("xxh3_128", None)
        if digest != _digest(metadata):
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


def _signed(metadata: Mapping[str, Any]) -> str:
    return json.dumps({**metadata, "xxh3_128": _digest(metadata)})


def _digest(metadata: Mapping[str, Any]) -> str:
    text = json.dumps(metadata, sort_keys=True, separators=(",", ":"))
    return digest_of(text.encode())
