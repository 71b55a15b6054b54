"""`convert_export`: an export in another format, verified against what it answered."""

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path

import numpy as np

from specflow.diagnostics.errors import (
    Diagnostic,
    ExportError,
    OutputError,
    did_you_mean,
    nearest,
)
from specflow.runtime.filesystem import check_output_folder, expanded
from specflow.serving.convert.program import (
    NotConvertibleError,
    Program,
    program_of,
)
from specflow.serving.export_signature import Signature
from specflow.serving.load_export import LoadedExport, load_export
from specflow.serving.round_trip import difference, furthest, tolerance

__all__ = ["FORMATS", "Conversion", "convert_export", "require_packages"]

FORMATS = {"savedmodel": ("tensorflow",), "onnx": ("onnx", "onnxruntime")}
"""What an export can be converted to -> the packages that it takes; an extra each."""

_OTHER_ROWS = 3
"""A number of rows that no example was stored with, where it is free."""

_Ask = Callable[[str, Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


@dataclasses.dataclass(frozen=True, slots=True)
class Conversion:
    """An export in another format, and how it was verified; `print` says it."""

    path: Path
    """The new directory."""
    format: str
    """A key of `FORMATS`."""
    rows: dict[str, tuple[int, ...]]
    """Signature -> the numbers of rows that it was asked with."""
    furthest: dict[str, float]
    """Signature -> the largest difference, as a share of the largest magnitude."""
    allowed: float
    """What the difference may be."""
    notes: dict[str, str]
    """Signature -> what its users should know; mostly nothing."""

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
    """Writes an export in another format, and has that answer the stored example.

    `savedmodel` needs the extra `specflow-jax[savedmodel]`; the directory is what
    `tf.saved_model.load` takes. `onnx` needs `specflow-jax[onnx]`; there is a file
    `<signature>.onnx` for each signature, beside the weights of all of them. The number
    of rows stays free; of programs for fixed numbers, the one of the most is converted.

    Names are kept, where the formats have them: SavedModel calls an input `user.age`
    `user_age`; ONNX calls an output `x_output` if an input is called `x`.

    Args:
        directory: an export.
        format: `savedmodel` or `onnx`.
        output: the new directory; by default `<format>/<name of the export>` beside it.

    Returns:
        Where it is, and how far its answers are from the export's.

    Raises:
        ExportError: a package is missing, the export is none or is damaged, an
            operation cannot be converted, or the answers differ by more than
            `specflow.serving.round_trip.TOLERANCE`.
        ConfigError: the directory is a file, or lies in one.
        OutputError: the directory exists, or cannot be written.
    """
    require_packages(format)
    loaded = load_export(directory)
    path = loaded.path.absolute()
    final = path.parent / format / path.name if output is None else expanded(output)
    check_output_folder(final, "output")
    programs = [program_of(loaded, one) for one in loaded.signatures.values()]
    with _new_directory(final) as temporary:
        ask = _write(format, temporary, loaded, programs)
        conversion = _verified(final, format, loaded, programs, ask)
    return conversion


def require_packages(format: str) -> None:
    """Imports what a format takes.

    Raises:
        ExportError: there is no such format, or a package is not installed.
    """
    if format not in FORMATS:
        raise ExportError(
            Diagnostic(
                "format",
                f"got {format!r}",
                expected=f"one of {', '.join(FORMATS)}",
                hint=did_you_mean(nearest(format, FORMATS)),
                code="export-format",
            )
        )
    for package in FORMATS[format]:
        try:
            import_module(package)
        except ImportError as error:
            raise ExportError(
                Diagnostic(
                    f"format={format}",
                    f"needs the package {package}, which cannot be imported ({error})",
                    hint=f"Install it: pip install 'specflow-jax[{format}]'.",
                    code="package-missing",
                )
            ) from error


def _write(
    format: str, folder: Path, loaded: LoadedExport, programs: list[Program]
) -> _Ask:
    """Writes the format, and loads what was written."""
    if format == "savedmodel":
        from specflow.serving.convert.saved_model import (
            ask_saved_model,
            write_saved_model,
        )

        with _refused(loaded, format, " or ".join(loaded.signatures)):
            write_saved_model(folder, loaded, programs)
            return ask_saved_model(folder, programs)
    from specflow.serving.convert.onnx import ask_onnx, write_onnx, write_weights

    index = write_weights(folder, loaded)
    for program in programs:
        with _refused(loaded, format, program.signature.name):
            write_onnx(folder, loaded, program, index)
    return ask_onnx(folder, programs)


def _verified(
    final: Path,
    format: str,
    loaded: LoadedExport,
    programs: list[Program],
    ask: _Ask,
) -> Conversion:
    allowed = tolerance("cpu", narrow=loaded.narrow)
    rows: dict[str, tuple[int, ...]] = {}
    far: dict[str, float] = {}
    notes: dict[str, str] = {}
    diagnostics = []
    for program in programs:
        signature, gaps, counts = program.signature, [0.0], []
        for inputs, expected in _questions(loaded, signature):
            counts.append(len(next(iter(inputs.values()))))
            with _refused(loaded, format, signature.name):
                found = ask(signature.name, inputs)
            unlike = difference(expected, found, within=allowed)
            if not unlike:
                gaps.append(furthest(expected, found))
            else:
                diagnostics.append(
                    Diagnostic(
                        f"{loaded.path}: {signature.name}",
                        f"{format} answers {counts[-1]} rows differently: {unlike}",
                        expected=f"at most {allowed:g} of the largest magnitude",
                        hint="Nothing was written.",
                        code="export-conversion",
                    )
                )
        rows[signature.name], far[signature.name] = tuple(counts), max(gaps)
        fixed = program.function.rows
        notes[signature.name] = "" if fixed is None else f"; it takes {fixed} rows only"
    if diagnostics:
        raise ExportError(*diagnostics)
    return Conversion(final, format, rows, far, allowed, notes)


def _questions(
    loaded: LoadedExport, signature: Signature
) -> Iterator[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """What is asked, and what the export answers: the stored example, and others."""
    inputs, outputs = loaded.example(signature)
    stored = len(next(iter(inputs.values())))
    fixed = signature.functions[-1].rows
    if fixed in (None, stored):
        yield inputs, outputs
    if fixed == stored:
        return
    count = fixed or (_OTHER_ROWS if stored != _OTHER_ROWS else _OTHER_ROWS + 1)
    take = np.arange(count) % stored
    others = {name: array[take] for name, array in inputs.items()}
    yield others, loaded(signature.name, **others)


@contextlib.contextmanager
def _refused(loaded: LoadedExport, format: str, signature: str) -> Iterator[None]:
    """Says where it was that something cannot be converted."""
    try:
        yield
    except NotConvertibleError as error:
        raise ExportError(
            Diagnostic(
                f"{loaded.path}: {signature}",
                f"cannot be converted to {format}: {error}",
                hint="The export itself is whole, and `load_export` runs it.",
                code="export-conversion",
            )
        ) from error


@contextlib.contextmanager
def _new_directory(final: Path) -> Iterator[Path]:
    """A directory that has its name once the block has succeeded, or is not there."""
    if final.exists():
        raise OutputError(
            Diagnostic(
                str(final),
                "is there already",
                hint="Remove it, or convert to another directory.",
                code="output-taken",
            )
        )
    temporary: Path | None = None
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix="temp-", dir=final.parent))
        temporary.chmod(0o755)
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb") as written:
                    os.fsync(written.fileno())
        temporary.rename(final)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            Diagnostic(
                str(final),
                f"cannot be written: {error.strerror or error}",
                hint="Make room or mend the permissions, or convert to elsewhere.",
                code="output-unwritable",
            )
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
