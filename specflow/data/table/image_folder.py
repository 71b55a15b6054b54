"""A folder with a folder of images for each class, as the rows of a table."""

import collections
import dataclasses
import functools
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from specflow.data.table.decode_threads import in_threads
from specflow.data.table.kept_digests import kept_folder_digest
from specflow.data.table.picture_digests import PictureDigests, mark_of
from specflow.data.table.read_progress import ReadProgress
from specflow.data.table.read_retries import RetriedFile
from specflow.diagnostics.errors import DataError, Diagnostic

__all__ = ["CLASS", "PATH", "ImageFolder", "image_folder", "outside_problem"]

PATH, CLASS = "path", "class"
"""Columns: the path of an image in the folder, and the first folder of it."""
_SUFFIXES = {
    ".png",
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".gif",
    ".bmp",
    ".webp",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
    ".pbm",
    ".pnm",
}
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class ImageFolder:
    """The images of a folder, in the order of their paths."""

    name: str
    """Path of the folder as the user wrote it."""
    path: Path
    images: tuple[str, ...]
    """Paths in the folder, with `/`."""

    @property
    def outside(self) -> list[str]:
        """Images that are in no folder of a class."""
        return [image for image in self.images if "/" not in image]

    @property
    def columns(self) -> dict[str, list[str]]:
        """Cells of the rows; without classes if an image is in none."""
        paths = {PATH: list(self.images)}
        if self.outside:
            return paths
        return paths | {CLASS: [image.split("/")[0] for image in self.images]}

    @functools.cached_property
    def digests(self) -> PictureDigests:
        """Digests of the paths and contents of all images.

        Raises:
            DataError: a file cannot be read.
        """
        files = [self.path / image for image in self.images]
        place = self.path / ".digests"  # There need be no such file.
        kept = kept_folder_digest(place, files, lambda _: self._read())
        return PictureDigests(*kept.split(" "))

    def _read(self) -> str:
        def content(image: str) -> bytes:
            with RetriedFile(f"{self.name}/{image}", self.path / image) as file:
                return hashlib.file_digest(file, "sha256").digest()

        whole, marks = hashlib.sha256(), []
        progress = ReadProgress(f"digests of {self.name}", len(self.images))
        for image, digest in zip(
            self.images, in_threads(content, self.images), strict=True
        ):
            line = f"{image}\0{digest.hex()}\n"
            whole.update(line.encode("utf-8", "surrogateescape"))
            marks.append(mark_of(digest))
            progress.advance(1)
        return f"{whole.hexdigest()} {''.join(marks)}"


def image_folder(name: str, path: Path, *, key: str) -> ImageFolder:
    """Lists the images of a folder and the folders in it.

    Hidden files are left out silently, and others without a suffix of images with a
    line on standard error.

    Args:
        name: path of the folder as the user wrote it.
        path: of the folder.
        key: dotted key of the folder, for messages.

    Raises:
        DataError: there is no such folder, or no image in it.
    """
    if not path.is_dir():
        problem = f"{name!r} is a file" if path.exists() else f"there is no {name!r}"
        raise DataError(
            Diagnostic(
                key,
                problem,
                expected="a folder with a folder of images for each class",
                code="missing-file",
            )
        )
    images: list[str] = []
    others: collections.Counter[str] = collections.Counter()
    for file in _files(path):
        suffix = os.path.splitext(file)[1].lower()
        if suffix in _SUFFIXES:
            images.append(file)
        else:
            others[suffix or "no suffix"] += 1
    unreadable = [name for name in images if not _is_text(name)]
    if unreadable:
        shown = os.fsencode(unreadable[0])
        raise DataError(
            Diagnostic(
                key,
                f"{len(unreadable):,} names of files are not UTF-8, such as {shown!r}",
                expected="names that can be written to a file",
                hint="Rename the files.",
                code="data-file",
            )
        )
    left_out = ", ".join(f"{suffix} ({count})" for suffix, count in others.items())
    if not images:
        raise DataError(
            Diagnostic(
                key,
                f"{name} has no image"
                + (f", and {others.total():,} other files: {left_out}" * bool(others)),
                expected="a folder of images for each class, such as "
                f"{name.rstrip('/')}/cat/1.png",
                code="data-empty",
            )
        )
    if others:
        print(
            f"data: {others.total():,} files of {name} are no images by their suffix, "
            f"and left out: {left_out}",
            file=sys.stderr,
        )
    return ImageFolder(name, path, tuple(sorted(images)))


def outside_problem(folder: ImageFolder) -> str:
    """Description of images that are in no folder of a class."""
    outside = folder.outside
    shown = ", ".join(outside[:_SHOWN])
    if len(outside) > _SHOWN:
        shown += f" and {len(outside) - _SHOWN:,} more"
    noun = "image is" if len(outside) == 1 else "images are"
    return f"{len(outside):,} {noun} in no folder of a class: {shown}"


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _files(root: Path) -> Iterator[str]:
    """Yields the files below a folder that are not hidden, by paths with `/`."""
    # Links are followed, but into no folder that they are in themselves.
    seen: dict[str, set[tuple[int, int]]] = {}
    top = os.fspath(root)
    status = os.stat(top)
    seen[top] = {(status.st_dev, status.st_ino)}
    for folder, folders, files in os.walk(top, followlinks=True):
        above = seen.pop(folder)
        kept = []
        for name in sorted(folders):
            if name.startswith("."):
                continue
            status = os.stat(os.path.join(folder, name))
            place = (status.st_dev, status.st_ino)
            if place not in above:
                kept.append(name)
                seen[os.path.join(folder, name)] = above | {place}
        folders[:] = kept
        inside = os.path.relpath(folder, top).replace(os.sep, "/")
        for name in files:
            if not name.startswith("."):
                yield name if inside == "." else f"{inside}/{name}"
