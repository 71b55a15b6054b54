"""Converters by format: the entry point that packages declare, and its lookup."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from specflow.diagnostics.errors import (
    ConfigError,
    Diagnostic,
    ExportError,
    did_you_mean,
    nearest,
)
from specflow.runtime import entry_points
from specflow.serving.convert.signature_program import SignatureProgram
from specflow.serving.load_export import LoadedExport

__all__ = [
    "GROUP",
    "Converter",
    "NotConvertibleError",
    "Predict",
    "converter_of",
    "formats",
    "require_packages",
]

GROUP = "specflow.converters"
"""Group of entry points: name of a format -> a class that is a `Converter`."""

Predict = Callable[[str, Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
"""(signature, inputs) -> outputs, computed by the converted model alone."""


class Converter(Protocol):
    """Writes exports in one format, and runs what it wrote.

    An entry point of the group `specflow.converters` names a class with these members;
    it is instantiated without arguments, and only when its format is asked for. Its
    module must import without `packages`: those are imported, and reported if they are
    missing, before anything is written.
    """

    packages: tuple[str, ...]
    """Modules that conversion imports, such as `("onnx", "onnxruntime")`."""
    requirement: str
    """Requirement that installs them, such as `specflow-jax[onnx]`."""

    def write(
        self,
        directory: Path,
        export: LoadedExport,
        programs: Sequence[SignatureProgram],
    ) -> None:
        """Writes an export in the format.

        Args:
            directory: an empty directory, which gets its name once the answers agree.
            export: the export: weights, example and assets.
            programs: the program of each signature.

        Raises:
            NotConvertibleError: the format cannot express a program.
        """
        ...

    def load(self, directory: Path, programs: Sequence[SignatureProgram]) -> Predict:
        """Loads what `write` wrote, as users of the format would.

        Args:
            directory: of `write`.
            programs: of `write`.

        Raises:
            NotConvertibleError: the format's runtime cannot run it; the returned
                function may raise it too.
        """
        ...


class NotConvertibleError(Exception):
    """A program cannot be expressed in the format; the text names the operation.

    Args:
        reason: the operation, type or name that the format lacks.
        signature: the signature it occurs in; None if that is not known.
    """

    def __init__(self, reason: str, *, signature: str | None = None):
        super().__init__(reason)
        self.signature = signature


def formats() -> tuple[str, ...]:
    """Names of the formats that installed converters write, sorted; imports none."""
    return entry_points.names(GROUP)


def converter_of(format: str) -> Converter:
    """The installed converter of a format, with its packages imported.

    Raises:
        ExportError: no converter declares the format, or a package that it needs
            cannot be imported.
        ConfigError: two packages declare the format, or the entry point names no
            converter.
    """
    plugin = entry_points.plugin(GROUP, format)
    if plugin is None:
        raise ExportError(
            entry_points.stale_metadata(GROUP, format, where="format")
            or Diagnostic(
                "format",
                f"got {format!r}",
                expected=f"one of {', '.join(formats())}",
                hint=did_you_mean(nearest(format, formats())),
                code="export-format",
            )
        )
    converter = _instance(plugin)
    for package in converter.packages:
        try:
            import_module(package)
        except ImportError as error:
            raise ExportError(
                Diagnostic(
                    f"format={format}",
                    f"needs the package {package}, which cannot be imported ({error})",
                    hint=f"Install it: pip install '{converter.requirement}'.",
                    code="package-missing",
                )
            ) from error
    return converter


def require_packages(format: str) -> None:
    """Checks, before a long export, that a format can be written here.

    Raises:
        ExportError: as `converter_of`.
        ConfigError: as `converter_of`.
    """
    converter_of(format)


def _instance(plugin: entry_points.Plugin) -> Converter:
    """Instantiates the class that an entry point names."""
    declared = entry_points.load(plugin)
    members = ("packages", "requirement", "write", "load")
    missing = [name for name in members if not hasattr(declared, name)]
    if missing or not isinstance(declared, type):
        problem = f"lacks {', '.join(missing)}" if missing else "is not a class"
        raise ConfigError(
            Diagnostic(
                plugin.name,
                f"{plugin.value} of {plugin} {problem}",
                expected="a class with the members of specflow.serving.convert."
                "Converter",
                hint=f"Fix or upgrade {plugin.package}.",
                code="plugin-component",
            )
        )
    return cast(Converter, declared())
