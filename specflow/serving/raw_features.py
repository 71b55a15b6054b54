"""Features of raw rows: the packages that make them, and their comparison."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from specflow.columns import FittedColumns, ImageColumn
from specflow.diagnostics.errors import Diagnostic, ExportError
from specflow.runtime.distribution import version_of

__all__ = ["check_packages", "differences"]

_LEVELS = 4.0
"""Largest difference of a pixel of 8 bits between versions of its decoder."""


def check_packages(path: Path, packages: Mapping[str, str]) -> None:
    """Refuses to make features of raw rows without a package that makes them.

    Args:
        path: of the export, for messages.
        packages: name of each package -> its version at the export.

    Raises:
        ExportError: some are not installed.
    """
    diagnostics = [
        Diagnostic(
            str(path),
            f"makes features of raw rows with {name}, which is not installed",
            expected=f"{name} {version}, as it was exported with",
            hint=f"Install it: pip install {name}.",
            code="export-package",
        )
        for name, version in packages.items()
        if version_of(name) is None
    ]
    if diagnostics:
        raise ExportError(*diagnostics)


def differences(
    where: str,
    features: Mapping[str, np.ndarray],
    stored: Mapping[str, np.ndarray],
    columns: FittedColumns,
    packages: Mapping[str, str],
) -> list[Diagnostic]:
    """Diagnostics of features that are not those that are stored.

    Args:
        where: export and signature, for messages.
        features: of the raw rows of the example, as they are made here.
        stored: as they were made at the export.
        columns: that make them.
        packages: name of each package -> its version at the export.
    """
    return [
        Diagnostic(
            where,
            f"the stored raw rows have other features {name}",
            expected="the same bits",
            hint="Use the versions of NumPy and specflow that exported it.",
            code="export-round-trip",
        )
        for name, array in features.items()
        if not _are_equal(
            array, stored[name][: len(array)], columns.images.get(name), packages
        )
    ]


def _are_equal(
    array: np.ndarray,
    stored: np.ndarray,
    image: ImageColumn | None,
    packages: Mapping[str, str],
) -> bool:
    # Another version of the decoder may round the pixels of a JPEG image otherwise.
    if np.array_equal(array, stored):
        return True
    same = all(version_of(name) == version for name, version in packages.items())
    if image is None or same:
        return False
    levels = np.abs(array - stored) * 255 * np.array(image.std)
    return bool(levels.max(initial=0.0) <= _LEVELS)
