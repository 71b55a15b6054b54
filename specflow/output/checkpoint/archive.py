"""One checkpoint on disk: Orbax items, and the digests that Orbax does not keep."""

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
    """A checkpoint is not what was written; the text is the reason, in one line."""


@dataclasses.dataclass(frozen=True, slots=True)
class SavedArray:
    """What a checkpoint says of one of its arrays."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    digest: str | tuple[tuple[Any, str], ...]
    """128-bit xxHash of its bytes; of an array that several processes wrote, (start and
    stop along each dimension, xxHash) of each piece."""


def saved_arrays(about: Mapping[str, Any]) -> dict[str, SavedArray]:
    """Shape, dtype and digest of each array that a checkpoint's description lists."""
    return {
        name: SavedArray(
            tuple(array["shape"]),
            np.dtype(array["dtype"]),
            array.get("xxh3_128") or tuple(map(tuple, array["shards"])),
        )
        for name, array in about["arrays"].items()
    }


class Archive:
    """Writes and reads single checkpoints; loads Orbax when it first does.

    On disk a checkpoint is a directory with two Orbax items: `state`, a flat dict of
    arrays, and `about`, a JSON object with shape, dtype and digest of each array, what
    the caller adds, and a digest of itself.
    """

    def __init__(self) -> None:
        self._orbax: Any = None

    def write(
        self, path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]
    ) -> None:
        """Writes a checkpoint; it has its name only when it is complete.

        Args:
            path: an absolute path that does not exist.
            arrays: name -> array on the host.
            about: plain JSON values, kept beside them.
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
        about = {**about, "format": FORMAT, "arrays": described}
        # Orbax refuses arrays without elements; their shape says all there is.
        full = {name: array for name, array in arrays.items() if array.size}
        signed = {**about, "xxh3_128": _digest(about)}
        items: dict[str, Any] = {"about": ocp.args.JsonSave(signed)}
        if full:
            items["state"] = ocp.args.StandardSave(full)  # type: ignore[arg-type]
        self._checkpointer().save(path, args=ocp.args.Composite(**items))

    def join(
        self, folder: Path, shares: Mapping[str, Share], about: Mapping[str, Any]
    ) -> None:
        """Makes a checkpoint of what several processes have written in a folder.

        Args:
            folder: the checkpoint, before it has its name.
            shares: name -> what process 0 has of the array.
            about: plain JSON values, kept beside them.
        """
        arrays = join_shares(folder, shares)
        described = {**about, "format": FORMAT, "arrays": arrays}
        (folder / "about").mkdir()
        text = json.dumps({**described, "xxh3_128": _digest(described)})
        (folder / "about" / "metadata").write_text(text, encoding="utf-8")

    def about(self, path: Path) -> dict[str, Any]:
        """Reads what was written beside the arrays of a checkpoint.

        Raises:
            DamagedError: it cannot be read, or has changed.
            CheckpointError: it has another version of the format.
        """
        if collectives.process_count() == 1:
            import orbax.checkpoint as ocp

            about = dict(self._load(path, "about", ocp.args.JsonRestore()))
        else:
            about = _about_file(path / "about" / "metadata")
        digest = about.pop("xxh3_128", None)
        if digest != _digest(about):
            raise DamagedError("its description has changed since it was written")
        if (version := about.pop("format", 1)) != FORMAT:
            raise CheckpointError(_other_format(path, version))
        return about

    def note(self, path: Path, **facts: Any) -> None:
        """Lays facts that came later over what is written beside the arrays.

        Args:
            path: of the checkpoint.
            **facts: plain JSON values.

        Raises:
            DamagedError: the checkpoint is not what was written.
            OutputError: it cannot be written; what was there still is.
        """
        about = {**self.about(path), "format": FORMAT, **facts}
        text = json.dumps({**about, "xxh3_128": _digest(about)})
        write_text(path / "about" / "metadata", text)

    def arrays(
        self, path: Path, saved: Mapping[str, SavedArray]
    ) -> dict[str, np.ndarray]:
        """The arrays of a checkpoint, on the host, each equal to what was written.

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
            together = any(isinstance(one.digest, tuple) for one in saved.values())
            target = _target(self.about(path)) if together else None
            arrays |= self._load(path, "state", ocp.args.StandardRestore(target))
        bad = [name for name, array in saved.items() if not _same(arrays, name, array)]
        if bad:
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            raise DamagedError(f"{bad[0]}{more} changed since it was written")
        return arrays

    def close(self) -> None:
        """Gives Orbax's threads back."""
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
            # Orbax has no error of its own for damage: what does not load is damaged.
            raise DamagedError(reason(error)) from error

    def _checkpointer(self) -> Any:
        if self._orbax is None:
            import orbax.checkpoint as ocp

            # Orbax's synchronous form, in a thread of the caller's: its asynchronous
            # one would be imported and prepared in the thread that trains.
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


def _about_file(path: Path) -> dict[str, Any]:
    """What Orbax would read: with several processes, it waits for all to ask for it."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError) as error:
        raise DamagedError(reason(error)) from error


def _target(about: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What Orbax needs to be told, to bring to the host what lay on devices."""
    return {
        name: np.empty(array["shape"], array["dtype"])
        for name, array in about["arrays"].items()
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


def _digest(about: Mapping[str, Any]) -> str:
    import xxhash

    text = json.dumps(about, sort_keys=True, separators=(",", ":"))
    return xxhash.xxh3_128_hexdigest(text.encode())


def reason(error: BaseException) -> str:
    """One short line of an error: TensorStore's texts run over pages.

    >>> reason(ValueError("UNKNOWN: write: No space left on device [28]"))
    'No space left on device'
    """
    text = str(error) or type(error).__name__
    if known := _KNOWN_REASON.search(text):
        return known[0]
    line = text.strip().split("\n")[0].split(" [source locations")[0]
    return line if len(line) <= 160 else f"{line[:157]}..."
