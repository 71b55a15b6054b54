"""`convert_export`: writes an export in another format, and verifies its answers."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from specflow.diagnostics.errors import Diagnostic, ExportError, OutputError
from specflow.runtime.distribution import version_of
from specflow.runtime.file_digests import (
    CONVERSION_MANIFEST,
    folder_digests,
    signed,
)
from specflow.runtime.filesystem import check_output_folder, expanded
from specflow.runtime.new_directory import PREFIX, new_directory
from specflow.serving.convert.converters import (
    NotConvertibleError,
    Predict,
    converter_of,
)
from specflow.serving.convert.signature_program import SignatureProgram, program_of
from specflow.serving.export_signature import Signature
from specflow.serving.load_export import LoadedExport, load_export
from specflow.serving.round_trip import difference, largest_difference, tolerance

__all__ = ["Conversion", "convert_export"]

_OTHER_ROWS = 3
"""Rows of a second comparison, where the number of rows is free."""


@dataclasses.dataclass(frozen=True, slots=True)
class Conversion:
    """A converted export, and how it was verified; `print` reports it."""

    path: Path
    """The new directory."""
    format: str
    """Name of the format."""
    rows: dict[str, tuple[int, ...]]
    """Signature -> numbers of rows whose answers were compared."""
    furthest: dict[str, float]
    """Signature -> largest difference, relative to the largest magnitude."""
    allowed: float
    """Largest relative difference that is accepted."""
    notes: dict[str, str]
    """Signature -> a restriction that its users should know; mostly empty."""

    def __str__(self) -> str:
        return "\n".join(
            f"{name}: {self.format} answers as the export does for "
            f"{' and '.join(map(str, rows))} rows, within {self.furthest[name]:.2g} of "
            f"the largest magnitude ({self.allowed:g} allowed){self.notes[name]}"
            for name, rows in self.rows.items()
        )


def convert_export(
    directory: str | Path, *, format: str, output: str | Path | None = None
) -> Conversion:
    """Writes an export in another format, and compares its answers with the export's.

    Formats are those of the installed converters (`specflow.serving.convert.formats`).
    `savedmodel` needs the extra `specflow-jax[savedmodel]`; its directory is what
    `tf.saved_model.load` takes. `onnx` needs `specflow-jax[onnx]`; it writes a file
    `<signature>.onnx` for each signature, and one file of weights for all. Other
    packages add formats by the entry point `specflow.converters`.

    The number of rows stays free; of programs for fixed numbers of rows, the one for
    the most is converted. Names are kept where the format allows it: SavedModel calls
    an input `user.age` `user_age`; ONNX calls an output `x_output` if an input is
    called `x`. A file `conversion.json` lists the digests of the others.

    Args:
        directory: an export.
        format: `savedmodel`, `onnx`, or the name of another installed converter.
        output: the new directory; by default `<format>/<name of the export>` beside it.

    Returns:
        The new directory, and the largest difference from the export's answers.

    Raises:
        ExportError: no such format; a package is missing; `directory` holds no export,
            or a damaged one; an operation cannot be converted; or the answers differ
            by more than `specflow.serving.round_trip.TOLERANCE`.
        ConfigError: `output` is a file or lies below one, or two packages declare the
            format.
        OutputError: `output` exists, or cannot be written.
    """
    converter = converter_of(format)
    export = load_export(directory)
    path = export.path.absolute()
    final = path.parent / format / path.name if output is None else expanded(output)
    check_output_folder(final, "output")
    programs = [program_of(export, each) for each in export.signatures.values()]
    with _new_directory(final) as temporary:
        with _reported(export, format, " or ".join(export.signatures)):
            converter.write(temporary, export, programs)
            predict = converter.load(temporary, programs)
        conversion = _verified(final, format, export, programs, predict)
        _write_manifest(temporary, export, format)
        return conversion


def _write_manifest(directory: Path, export: LoadedExport, format: str) -> None:
    """Writes the origin of a conversion and digests of its files."""
    manifest = {
        "format": 1,
        "converted_to": format,
        "converted_from": export.path.name,
        "step": export.step,
        "versions": {"specflow": version_of("specflow") or ""},
        "sha256": folder_digests(directory),
    }
    text = json.dumps(signed(manifest), indent=1) + "\n"
    (directory / CONVERSION_MANIFEST).write_text(text, encoding="utf-8")


def _verified(
    final: Path,
    format: str,
    export: LoadedExport,
    programs: Sequence[SignatureProgram],
    predict: Predict,
) -> Conversion:
    """Compares the answers of every signature.

    Raises:
        ExportError: some differ by more than is allowed.
    """
    allowed = tolerance("cpu", narrow=export.narrow)
    rows: dict[str, tuple[int, ...]] = {}
    furthest: dict[str, float] = {}
    notes: dict[str, str] = {}
    diagnostics = []
    for program in programs:
        signature, differences, counts = program.signature, [0.0], []
        for inputs, expected in _comparisons(export, signature):
            counts.append(len(next(iter(inputs.values()))))
            with _reported(export, format, signature.name):
                outputs = predict(signature.name, inputs)
            problem = difference(expected, outputs, within=allowed)
            if not problem:
                differences.append(largest_difference(expected, outputs))
            else:
                diagnostics.append(
                    Diagnostic(
                        f"{export.path}: {signature.name}",
                        f"{format} answers {counts[-1]} rows differently: {problem}",
                        expected=f"at most {allowed:g} of the largest magnitude",
                        hint="Nothing was written.",
                        code="export-conversion",
                    )
                )
        name, fixed = signature.name, program.function.rows
        rows[name], furthest[name] = tuple(counts), max(differences)
        notes[name] = "" if fixed is None else f"; it takes {fixed} rows only"
    if diagnostics:
        raise ExportError(*diagnostics)
    return Conversion(final, format, rows, furthest, allowed, notes)


def _comparisons(
    export: LoadedExport, signature: Signature
) -> Iterator[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Inputs and the export's outputs: the stored example, and another row count."""
    inputs, outputs = export.example(signature)
    stored = len(next(iter(inputs.values())))
    fixed = signature.functions[-1].rows
    if fixed in (None, stored):
        yield inputs, outputs
    if fixed == stored:
        return
    count = fixed or (_OTHER_ROWS if stored != _OTHER_ROWS else _OTHER_ROWS + 1)
    indices = np.arange(count) % stored
    others = {name: array[indices] for name, array in inputs.items()}
    yield others, export(signature.name, **others)


@contextlib.contextmanager
def _reported(export: LoadedExport, format: str, signature: str) -> Iterator[None]:
    """Re-raises a converter's error with the export and the signature."""
    try:
        yield
    except NotConvertibleError as error:
        raise ExportError(
            Diagnostic(
                f"{export.path}: {error.signature or signature}",
                f"cannot be converted to {format}: {error}",
                hint="The export itself is intact, and `load_export` runs it.",
                code="export-conversion",
            )
        ) from error


@contextlib.contextmanager
def _new_directory(final: Path) -> Iterator[Path]:
    """A temporary directory, renamed once the block succeeds and removed otherwise."""
    try:
        with new_directory(final) as temporary:
            yield temporary
    except FileExistsError as error:
        unfinished = final.with_name(PREFIX + final.name)
        problem, hint = "exists already", "Remove it"
        if not final.exists():
            problem = f"is being written as {unfinished.name} by another process"
            hint = "Wait for that, remove what was left if there is none"
        raise OutputError(
            Diagnostic(
                str(final),
                problem,
                hint=f"{hint}, or convert to another directory.",
                code="output-taken",
            )
        ) from error
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            Diagnostic(
                str(final),
                f"cannot be written: {error.strerror or error}",
                hint="Free disk space or fix the permissions, or convert to another "
                "directory.",
                code="output-unwritable",
            )
        ) from error
