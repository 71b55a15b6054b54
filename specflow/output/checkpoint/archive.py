"""Format of one checkpoint: Orbax items, with digests that Orbax does not keep."""

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from specflow.diagnostics.errors import CheckpointError, Diagnostic
from specflow.distributed import collectives
from specflow.output.checkpoint.joint import join_shares
from specflow.output.checkpoint.snapshot import Share, array_digest
from specflow.output.files import write_text

__all__ = [
    "FORMAT",
    "Archive",
    "DamagedError",
    "SavedArray",
    "reason",
    "saved_arrays",
]

FORMAT = 2
"""Version of the format. 1 had model state under `rest/`, 2 has it under `state/`."""

_KNOWN_REASON = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|Permission denied"
    r"|Read-only file system|Input/output error"
)


class DamagedError(Exception):
    """A checkpoint is corrupted; the text is the reason, in one line."""


@dataclasses.dataclass(frozen=True, slots=True)
class SavedArray:
    """Description of one array in a checkpoint."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    digest: str | tuple[tuple[Any, str], ...]
    """128-bit xxHash of its bytes; for an array that several processes wrote, (start
    and stop along each dimension, xxHash) of each piece."""


def saved_arrays(metadata: Mapping[str, Any]) -> dict[str, SavedArray]:
    """Shape, dtype and digest of each array that a checkpoint's metadata lists."""
    return {
        name: SavedArray(
            tuple(array["shape"]),
            np.dtype(array["dtype"]),
            array.get("xxh3_128") or tuple(map(tuple, array["shards"])),
        )
        for name, array in metadata["arrays"].items()
    }


class Archive:
    """Writes and reads single checkpoints; imports Orbax on first use.

    On disk a checkpoint is a directory with two Orbax items: `state`, a flat dict of
    arrays, and `about`, the metadata: a JSON object with shape, dtype and digest of
    each array, the caller's values, and a digest of itself.
    """

    def __init__(self) -> None:
        self._orbax: Any = None

    def write(
        self, path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]
    ) -> None:
        """Writes a checkpoint, which gets its final name only when it is complete.

        Args:
            path: an absolute path that does not exist.
            arrays: name -> array on the host.
            metadata: plain JSON values to store with them.
        """
        import orbax.checkpoint as ocp

        described = {
            name: {
                "dtype": array.dtype.name,
                "shape": list(array.shape),
                "xxh3_128": array_digest(array),
            }
            for name, array in arrays.items()
        }
        metadata = {**metadata, "format": FORMAT, "arrays": described}
        # Orbax refuses arrays without elements; their shape is in `about`.
        full = {name: array for name, array in arrays.items() if array.size}
        signed = {**metadata, "xxh3_128": _digest(metadata)}
        items: dict[str, Any] = {"about": ocp.args.JsonSave(signed)}
        if full:
            items["state"] = ocp.args.StandardSave(full)  # type: ignore[arg-type]
        self._checkpointer().save(path, args=ocp.args.Composite(**items))

    def join(
        self, folder: Path, shares: Mapping[str, Share], metadata: Mapping[str, Any]
    ) -> None:
        """Completes a checkpoint from the pieces that several processes wrote.

        Args:
            folder: the checkpoint, before it gets its final name.
            shares: name -> pieces of process 0.
            metadata: plain JSON values to store with the arrays.
        """
        arrays = join_shares(folder, shares)
        described = {**metadata, "format": FORMAT, "arrays": arrays}
        (folder / "about").mkdir()
        text = json.dumps({**described, "xxh3_128": _digest(described)})
        (folder / "about" / "metadata").write_text(text, encoding="utf-8")

    def metadata(self, path: Path) -> dict[str, Any]:
        """Reads the metadata of a checkpoint.

        Raises:
            DamagedError: it cannot be read, or has changed.
            CheckpointError: it has another version of the format.
        """
        if collectives.process_count() == 1:
            import orbax.checkpoint as ocp

            metadata = dict(self._load(path, "about", ocp.args.JsonRestore()))
        else:
            metadata = _read_metadata(path / "about" / "metadata")
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
        text = json.dumps({**metadata, "xxh3_128": _digest(metadata)})
        write_text(path / "about" / "metadata", text)

    def arrays(
        self, path: Path, saved: Mapping[str, SavedArray]
    ) -> dict[str, np.ndarray]:
        """Reads the arrays of a checkpoint to the host, and verifies their digests.

        Raises:
            DamagedError: one cannot be read, or has changed.
        """
        import orbax.checkpoint as ocp

        arrays = {
            name: np.empty(array.shape, array.dtype)
            for name, array in saved.items()
            if 0 in array.shape
        }
        if len(arrays) < len(saved):
            is_joint = any(isinstance(array.digest, tuple) for array in saved.values())
            target = _target(self.metadata(path)) if is_joint else None
            arrays |= self._load(path, "state", ocp.args.StandardRestore(target))
        bad = [name for name, array in saved.items() if not _same(arrays, name, array)]
        if bad:
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            raise DamagedError(f"{bad[0]}{more} changed since it was written")
        return arrays

    def close(self) -> None:
        """Ends Orbax's threads."""
        if self._orbax is not None:
            self._orbax.close()
            self._orbax = None

    def _load(self, path: Path, item: str, args: Any) -> Any:
        import orbax.checkpoint as ocp

        try:
            restored = self._checkpointer().restore(
                path, args=ocp.args.Composite(**{item: args})
            )
            return restored[item]
        except Exception as error:
            # Orbax has no error type for damage: a failed read counts as damage.
            raise DamagedError(reason(error)) from error

    def _checkpointer(self) -> Any:
        if self._orbax is None:
            import orbax.checkpoint as ocp

            # Orbax's synchronous class, in a thread of the caller: its asynchronous one
            # would import and prepare in the training thread.
            self._orbax = ocp.Checkpointer(ocp.CompositeCheckpointHandler())
        return self._orbax


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


def _read_metadata(path: Path) -> dict[str, Any]:
    """Reads the metadata without Orbax, whose read waits for all processes."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError) as error:
        raise DamagedError(reason(error)) from error


def _target(metadata: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Target with which Orbax restores arrays of devices to the host."""
    return {
        name: np.empty(array["shape"], array["dtype"])
        for name, array in metadata["arrays"].items()
        if 0 not in array["shape"]
    }


def _same(arrays: Mapping[str, np.ndarray], name: str, saved: SavedArray) -> bool:
    array = arrays.get(name)
    return (
        array is not None
        and array.shape == saved.shape
        and array.dtype == saved.dtype
        and _is_written(array, saved.digest)
    )


def _is_written(array: np.ndarray, digest: str | tuple[tuple[Any, str], ...]) -> bool:
    if isinstance(digest, str):
        return array_digest(array) == digest
    return all(
        array_digest(array[tuple(slice(*bound) for bound in bounds)]) == each
        for bounds, each in digest
    )


def _digest(metadata: Mapping[str, Any]) -> str:
    import xxhash

    text = json.dumps(metadata, sort_keys=True, separators=(",", ":"))
    return xxhash.xxh3_128_hexdigest(text.encode())


def reason(error: BaseException) -> str:
    """Shortens an error to one line: TensorStore's texts are pages long.

    >>> reason(ValueError("UNKNOWN: write: No space left on device [28]"))
    'No space left on device'
    """
    text = str(error) or type(error).__name__
    if known := _KNOWN_REASON.search(text):
        return known[0]
    line = text.strip().split("\n")[0].split(" [source locations")[0]
    return line if len(line) <= 160 else f"{line[:157]}..."
