"""`load_export`: loads an exported model, checks its files, and runs it."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np

from specflow.columns import FittedColumns
from specflow.diagnostics.errors import Diagnostic, ExportError, did_you_mean, nearest
from specflow.runtime.file_digests import EXPORT_MANIFEST, file_digest, is_intact
from specflow.runtime.filesystem import expanded
from specflow.serving.array_file import read_arrays
from specflow.serving.export_signature import Function, Signature
from specflow.serving.raw_features import check_packages, differences
from specflow.serving.round_trip import difference, exact_here, tolerance

__all__ = ["MANIFEST", "RAW_SERVING", "LoadedExport", "load_export"]

MANIFEST = EXPORT_MANIFEST
"""Name of the manifest: signatures, versions, and a digest of every other file."""

RAW_SERVING = "serving_raw"
"""Signature of raw rows of a table: the default one, after NumPy made the features."""


def load_export(directory: str | Path, *, check: bool = True) -> "LoadedExport":
    """Loads an exported model.

    Needs JAX and NumPy, and nothing that trained the model. Every file is checked
    against its digest; then the stored example is run, and its outputs must equal the
    stored ones: bitwise on the same kind of CPU with the same version of XLA, elsewhere
    within `specflow.serving.round_trip.TOLERANCE`.

    Args:
        directory: directory written by `Estimator.export` or `specflow export`.
        check: False skips the example, which compiles every signature; an export for
            other platforms can be inspected this way.

    Raises:
        ExportError: the directory holds no export, a file is missing or damaged, it was
            exported for other platforms, or the example's outputs differ.
    """
    loaded = LoadedExport(expanded(directory, "directory"))
    if check:
        loaded.check()
    return loaded


class LoadedExport:
    """An exported model: `loaded("serving_default", image=...)` runs a signature.

    Args:
        path: directory of the export.

    Raises:
        ExportError: as `load_export`, without the check of the example.
    """

    signatures: dict[str, Signature]
    """Signatures by name; `print(loaded)` shows them."""
    default: str | None
    """Name of the signature that is run when a call names none; None without one."""
    step: int
    """Training step of the weights."""
    columns: FittedColumns | None
    """Make the features of raw rows; None: the export takes features alone."""
    note: str
    """Note for the user who exports, such as a restriction; mostly empty."""

    def __init__(self, path: Path):
        self.path = path
        self._manifest = manifest = _read_manifest(path)
        self._platform = jax.export.default_export_platform()
        self._check_files()
        self.default = manifest["default"]
        self.step = manifest["step"]
        self.note = manifest["note"]
        self.signatures = {
            name: Signature.from_json(name, plain)
            for name, plain in manifest["signatures"].items()
        }
        self.columns = (
            FittedColumns.read(path / manifest["columns"])
            if "columns" in manifest
            else None
        )
        self._check_width()
        self._packages: dict[str, str] = manifest.get("packages", {})
        self._weights = {
            name: jax.device_put(array)
            for name, array in self._arrays(manifest["weights"]).items()
        }
        self._exported: dict[str, jax.export.Exported] = {}
        self._compiled: dict[tuple[str, int], jax.stages.Compiled] = {}

    def __str__(self) -> str:
        lines = [str(signature) for signature in self.signatures.values()]
        if self.columns is not None:
            lines.append(f"{RAW_SERVING}({self.columns.kinds()})  [raw rows]")
        return "\n".join(lines)

    def __call__(
        self, signature: str | None = None, /, **inputs: Any
    ) -> dict[str, np.ndarray]:
        """Runs a signature and returns its outputs as NumPy arrays by name.

        Args:
            signature: name of the signature; by default `default`. `serving_raw` takes
                the columns of a table by name, as `FittedColumns` does, and returns
                the outputs of the default one.
            **inputs: arrays, rows first. A nested input is a dict, or named by its
                dotted path: `**{"a.b": ...}`.

        Raises:
            ExportError: no such signature, or names, shapes or dtypes of the inputs are
                wrong.
            DataError: a raw value is wrong.
        """
        if signature == RAW_SERVING and self.columns is not None:
            check_packages(self.path, self._packages)
            return self(**self.columns(inputs))
        called = self._signature(signature)
        arrays = called.accept(dict(_flat(inputs)))
        rows = len(next(iter(arrays.values())))
        chunks = [
            self._run(called, {name: array[chunk] for name, array in arrays.items()})
            for chunk in _chunks(rows, called.functions)
        ]
        if len(chunks) == 1:
            return chunks[0]
        return {
            name: np.concatenate([outputs[name] for outputs in chunks])
            if _is_batch_major(called, name)
            else chunks[0][name]
            for name in called.outputs
        }

    def check(self) -> None:
        """Runs the stored example and compares its outputs with the stored ones.

        Raises:
            ExportError: the outputs differ.
        """
        example, versions = self._manifest["example"], self._manifest["versions"]
        exact = self._platform == "cpu" and example["exact_on"] == exact_here()
        within = tolerance(self._platform, narrow=example["narrow"])
        diagnostics = []
        for name, signature in self.signatures.items():
            inputs, stored = self.example(signature)
            outputs = self(name, **inputs)
            problem = difference(stored, outputs, within=None if exact else within)
            if problem:
                diagnostics.append(
                    Diagnostic(
                        f"{self.path}: {name}",
                        f"the stored example is answered differently: {problem}",
                        expected="the same bits"
                        if exact
                        else f"at most {within:g} of the largest magnitude",
                        hint="Export it again with this version of JAX, "
                        f"{jax.__version__}; it was {versions['jax']}.",
                        code="export-round-trip",
                    )
                )
        diagnostics += self._raw_differences()
        if diagnostics:
            raise ExportError(*diagnostics)

    def _raw_differences(self) -> list[Diagnostic]:
        """Compares the features of the stored raw rows with the stored features."""
        if self.columns is None:
            return []
        check_packages(self.path, self._packages)
        raw = json.loads(self._read("raw_rows.json"))
        if not raw:
            return []
        features = dict(_flat(self.columns(raw)))
        arrays = self._arrays(self._manifest["example"])
        stored = {name: arrays[f"inputs/{name}"] for name in features}
        where = f"{self.path}: {RAW_SERVING}"
        return differences(where, features, stored, self.columns, self._packages)

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """Weights that the programs read beside their inputs: host arrays by path."""
        return {name: np.asarray(array) for name, array in self._weights.items()}

    @property
    def narrow(self) -> bool:
        """True if any operation computes with floats of 16 bits or less."""
        return self._manifest["example"]["narrow"]

    def example(
        self, signature: Signature
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The stored example: inputs by name, and outputs by name.

        Args:
            signature: one of `signatures`.
        """
        arrays = self._arrays(self._manifest["example"])
        outputs = f"outputs/{signature.name}"
        return (
            {name: arrays[f"inputs/{name}"] for name in signature.inputs},
            {name: arrays[f"{outputs}/{name}"] for name in signature.outputs},
        )

    def exported(self, function: Function) -> jax.export.Exported:
        """Deserializes a program of a signature.

        Raises:
            ExportError: this version of JAX cannot read it.
        """
        if function.file not in self._exported:
            self._exported[function.file] = self._deserialized(function.file)
        return self._exported[function.file]

    def _signature(self, name: str | None) -> Signature:
        """The signature of this name, or the default one for None."""
        called = self.default if name is None else name
        if called is None or called not in self.signatures:
            known = ", ".join(
                [*self.signatures, *([RAW_SERVING] if self.columns else [])]
            )
            raise ExportError(
                Diagnostic(
                    str(self.path),
                    f"has no signature {called!r}" if called else "has no default",
                    expected=f"one of {known}",
                    hint=did_you_mean(nearest(called or "", self.signatures)),
                    code="export-signature",
                )
            )
        return self.signatures[called]

    def _run(
        self, signature: Signature, arrays: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Runs one chunk of rows, padded if the function's number of rows is fixed."""
        rows = len(next(iter(arrays.values())))
        function = _function(rows, signature.functions)
        padding = (function.rows or rows) - rows
        if padding:
            # The last row repeated, as in evaluation: zeros may be no valid input.
            arrays = {
                name: np.concatenate([array, np.repeat(array[-1:], padding, axis=0)])
                for name, array in arrays.items()
            }
        compiled = self._compiled_for(function, arrays, rows + padding)
        outputs = jax.device_get(compiled(self._weights, arrays))
        return {
            name: outputs[name][:rows]
            if _is_batch_major(signature, name)
            else outputs[name]
            for name in signature.outputs
        }

    def _compiled_for(
        self, function: Function, arrays: dict[str, np.ndarray], rows: int
    ) -> jax.stages.Compiled:
        """The program compiled for this number of rows, from the cache if possible."""
        key = (function.file, rows)
        if key not in self._compiled:
            self._check_platform()
            call = self.exported(function).call
            lowered = jax.jit(call).lower(self._weights, arrays)
            self._compiled[key] = self._compile(lowered)
        return self._compiled[key]

    def _compile(self, lowered: jax.stages.Lowered) -> jax.stages.Compiled:
        """Compiles a program, with the options that earlier versions exported."""
        options = self._manifest.get("compiler_options", {}).get(self._platform)
        if options:
            with contextlib.suppress(jax.errors.JaxRuntimeError):
                return lowered.compile(compiler_options=options)
        return lowered.compile()  # No options, or an XLA without them.

    def _deserialized(self, file: str) -> jax.export.Exported:
        content = self._read(file)
        try:
            return jax.export.deserialize(bytearray(content))
        except Exception as error:
            diagnostic = Diagnostic(
                str(self.path / file),
                f"cannot be read by JAX {jax.__version__}: {error}",
                hint=f"It was written by JAX {self._manifest['versions']['jax']}.",
                code="export-version",
            )
            raise ExportError(diagnostic) from error

    def _check_platform(self) -> None:
        platforms = self._manifest["platforms"]
        if self._platform not in platforms:
            raise ExportError(
                Diagnostic(
                    str(self.path),
                    f"was exported for {', '.join(platforms)}, "
                    f"and this is {self._platform}",
                    hint=f"Export it again with platforms=(..., '{self._platform}').",
                    code="export-platform",
                )
            )

    def _check_width(self) -> None:
        forms = [
            form.dtype
            for signature in self.signatures.values()
            for form in (*signature.inputs.values(), *signature.outputs.values())
        ]
        wide = [
            dtype for dtype in forms if jax.dtypes.canonicalize_dtype(dtype) != dtype
        ]
        if wide:
            raise ExportError(
                Diagnostic(
                    str(self.path),
                    f"computes in {wide[0]}, which JAX narrows by default",
                    hint="Set JAX_ENABLE_X64=1.",
                    code="export-x64",
                )
            )

    def _arrays(self, part: Mapping[str, Any]) -> dict[str, np.ndarray]:
        content = self._read(part["file"])
        try:
            return read_arrays(content, part["arrays"])
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(self.path / part["file"], str(error)) from error

    def _read(self, file: str) -> bytes:
        try:
            return (self.path / file).read_bytes()
        except OSError as error:
            raise _damaged(self.path / file, error.strerror or str(error)) from error

    def _check_files(self) -> None:
        for file, digest in self._manifest["sha256"].items():
            try:
                current = file_digest(self.path / file)
            except OSError as error:
                why = error.strerror or str(error)
                raise _damaged(self.path / file, why) from error
            if current != digest:
                raise _damaged(self.path / file, "its digest differs")


def _read_manifest(path: Path) -> dict[str, Any]:
    """Reads and checks the manifest of an export."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ExportError(
            Diagnostic(
                str(path),
                f"is no export: it has no {MANIFEST}",
                expected="a directory that `specflow export` wrote",
                hint=_inside(path),
                code="export-missing",
            )
        ) from error
    except (OSError, ValueError) as error:
        raise _damaged(path / MANIFEST, str(error)) from error
    if not isinstance(manifest, dict) or not is_intact(manifest):
        raise _damaged(path / MANIFEST, "its digest differs")
    if manifest["format"] != 1:
        raise ExportError(
            Diagnostic(
                str(path),
                f"has format {manifest['format']}, from specflow "
                f"{manifest['versions']['specflow']}",
                expected="format 1",
                hint="Load it with that version.",
                code="export-version",
            )
        )
    return manifest


def _inside(path: Path) -> str:
    """Hint that names the newest export in a directory of exports."""
    manifests = sorted(path.glob(f"{'[0-9]' * 10}/{MANIFEST}"))
    return f"There is {manifests[-1].parent}." if manifests else ""


def _damaged(path: Path, why: str) -> ExportError:
    return ExportError(
        Diagnostic(
            str(path),
            f"is damaged: {why}",
            hint="Export the model again, or copy the directory again.",
            code="export-damaged",
        )
    )


def _flat(inputs: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of each input."""
    for name, value in inputs.items():
        dotted = f"{path}.{name}" if path else name
        if isinstance(value, Mapping):
            yield from _flat(value, dotted)
        else:
            yield dotted, value


def _chunks(rows: int, functions: tuple[Function, ...]) -> Iterator[slice]:
    """Splits rows into chunks of at most the largest fixed number of rows."""
    most = functions[-1].rows or rows
    for start in range(0, rows, most):
        yield slice(start, min(start + most, rows))


def _function(rows: int, functions: tuple[Function, ...]) -> Function:
    """The function that needs the least padding."""
    return next(f for f in functions if f.rows is None or f.rows >= rows)


def _is_batch_major(signature: Signature, name: str) -> bool:
    """Returns whether the first axis of an output is the batch."""
    return signature.outputs[name].shape[:1] == ("b",)
