"""The experiment of a folder of images: its YAML, from what the images are."""

import collections
import dataclasses
import math
from pathlib import Path

from specflow.columns import ImageError, ImageHeader, image_header
from specflow.data.table.decode_threads import in_threads
from specflow.data.table.image_folder import ImageFolder, image_folder, outside_problem
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.scaffold.yaml_texts import (
    one_line,
    steps_and_batch,
    yaml_text,
)

__all__ = ["ProposedImages", "images_values", "proposed_images"]

_FEWEST_IMAGES = 5
_LARGEST_SIDE = 64
"""Side of the images of the experiment, which trains within minutes on a laptop."""
_WIDTHS = (16, 32, 64)
_EVALUATED = 0.2


@dataclasses.dataclass(frozen=True, slots=True)
class ProposedImages:
    """A folder of classes of images, and the size that they are trained with."""

    folder: ImageFolder
    classes: tuple[str, ...]
    size: tuple[int, int]
    """Height and width."""
    channels: int
    seen: str
    """Description of the sizes of the images."""
    notes: tuple[str, ...] = ()
    """Images that training refuses."""


def proposed_images(name: str, path: Path, *, key: str) -> ProposedImages:
    """Reads the sizes and colors of the images of a folder.

    Args:
        name: path of the folder as the user wrote it.
        path: of the folder.
        key: option that names the folder, for messages.

    Raises:
        DataError: there are no images, some are in no folder of a class, or there are
            fewer than two classes.
    """
    folder = image_folder(name, path, key=key)
    if folder.outside:
        example = f"{name.rstrip('/')}/cat/1.png"
        raise DataError(
            Diagnostic(
                key,
                outside_problem(folder),
                expected=f"a folder for each class, such as {example}",
                code="table-column",
            )
        )
    classes = tuple(sorted({image.split("/")[0] for image in folder.images}))
    if len(classes) < 2 or len(folder.images) < _FEWEST_IMAGES:
        found = f"{len(classes)} class" + "es" * (len(classes) > 1)
        raise DataError(
            Diagnostic(
                key,
                f"{name} has {len(folder.images):,} images of {found}",
                expected=f"two classes or more, and {_FEWEST_IMAGES} images or more",
                code="data-empty",
            )
        )

    def header(image: str) -> ImageHeader | None:
        try:
            return image_header((path / image).read_bytes())
        except (ImageError, OSError):
            return None

    read = list(in_threads(header, folder.images))
    headers = [each for each in read if each is not None]
    bad = [
        image for image, each in zip(folder.images, read, strict=True) if each is None
    ]
    if not headers:
        raise DataError(
            Diagnostic(
                key,
                f"none of the {len(bad):,} images of {name} can be read",
                expected="images, such as PNG or JPEG files",
                code="image-file",
            )
        )
    sizes = collections.Counter((each.height, each.width) for each in headers)
    (height, width), _ = sizes.most_common(1)[0]
    seen = f"All images are {height} x {width}"
    if len(sizes) > 1:
        # A square, since images may be upright or lie.
        height = width = sorted(min(size) for size in sizes.elements())[
            len(headers) // 2
        ]
        seen = f"Height and width; the images have {len(sizes):,} sizes"
    shrunk = min(1.0, _LARGEST_SIDE / max(height, width))
    return ProposedImages(
        folder=folder,
        classes=classes,
        size=(max(1, round(height * shrunk)), max(1, round(width * shrunk))),
        channels=1 if all(each.is_gray for each in headers) else 3,
        seen=seen,
        notes=(
            f"{len(bad):,} images cannot be read, and training refuses them: "
            + ", ".join(bad[:3])
            + ", ..." * (len(bad) > 3),
        )
        * bool(bad),
    )


def images_values(images: ProposedImages, *, root: str, copied: bool) -> dict[str, str]:
    """Returns what the templates of a project with images say about them.

    Args:
        images: the folder.
        root: its path, from the folder of the project.
        copied: whether it is a copy inside of the project.
    """
    rows = round(len(images.folder.images) * (1 - _EVALUATED))
    steps, batch = steps_and_batch(rows)
    halvings = max(1, math.floor(math.log2(max(images.size))) - 1)
    height, width = images.size
    return {
        "about": f"The class of each image of {one_line(images.folder.name)}, one of "
        f"{len(images.classes)}.",
        "root": yaml_text(root),
        "place": " # Relative to the folder of the project." if copied else "",
        "copied": ", a copy" if copied else ", which stay where they are",
        "widths": str(list(_WIDTHS[-halvings:] if halvings < 3 else _WIDTHS)),
        "size": str(height) if height == width else f"[{height}, {width}]",
        "seen_sizes": images.seen,
        "channels": "1 # Gray." if images.channels == 1 else "3",
        "steps": str(steps),
        "batch": str(batch),
        "every": str(max(1, steps // 6)),
    }
