"""`load_export`: an exported model, checked and ready to answer."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np

from specflow.diagnostics.errors import Diagnostic, ExportError, did_you_mean, nearest
from specflow.runtime.filesystem import expanded
from specflow.serving.array_file import read_arrays
from specflow.serving.export_signature import Function, Signature
from specflow.serving.round_trip import difference, exact_here, tolerance

__all__ = ["MANIFEST", "LoadedExport", "content_digest", "load_export"]

MANIFEST = "export.json"
"""The signature file: what there is, and a digest of every other file."""


def load_export(directory: str | Path, *, check: bool = True) -> "LoadedExport":
    """An exported model, from its directory.

    It needs JAX and NumPy, and nothing of what trained the model. Every file is checked
    against its digest; then the stored example is asked again, and must be answered as
    it was: to the bit on the CPU that it was made on with the same version of XLA, and
    elsewhere within `specflow.serving.round_trip.TOLERANCE`.

    Args:
        directory: what `TPUEstimator.export` or `specflow export` wrote.
        check: False: do not ask the example, which compiles every signature. What was
            exported for other platforms can so be looked at.

    Raises:
        ExportError: it is no export, a file is missing or damaged, it was not made for
            this platform, or the example is answered differently.
    """
    loaded = LoadedExport(expanded(directory, "directory"))
    if check:
        loaded.check()
    return loaded


class LoadedExport:
    """A model that answers: `loaded("serving_default", image=...)`.

    Args:
        path: the directory.

    Raises:
        ExportError: as `load_export`, but for the example.
    """

    signatures: dict[str, Signature]
    """What can be asked, by name; `print(loaded)` shows it."""
    default: str | None
    """The signature that is asked when none is named."""
    step: int
    """Training steps of the weights."""
    note: str
    """What the one who exported should know; mostly nothing."""

    def __init__(self, path: Path):
        self.path = path
        self._about = about = _manifest(path)
        self._platform = jax.export.default_export_platform()
        self._check_files()
        self.default = about["default"]
        self.step = about["step"]
        self.note = about["note"]
        self.signatures = {
            name: Signature.from_json(name, plain)
            for name, plain in about["signatures"].items()
        }
        self._check_width()
        self._weights = {
            name: jax.device_put(array)
            for name, array in self._arrays(about["weights"]).items()
        }
        self._exported: dict[str, Any] = {}
        self._compiled: dict[tuple[str, int], Any] = {}

    def __str__(self) -> str:
        return "\n".join(map(str, self.signatures.values()))

    def __call__(
        self, signature: str | None = None, /, **inputs: Any
    ) -> dict[str, np.ndarray]:
        """The answer of a signature, as NumPy arrays by name.

        Args:
            signature: which to ask; by default `serving_default`.
            **inputs: arrays, rows first. A nested one is a dict, or goes by its dotted
                path: `**{"a.b": ...}`.

        Raises:
            ExportError: there is no such signature; names, shapes or dtypes of the
                inputs are wrong.
        """
        asked = self._signature(signature)
        arrays = asked.accept(dict(_flat(inputs)))
        rows = len(next(iter(arrays.values())))
        answers = [
            self._answer(asked, {name: array[part] for name, array in arrays.items()})
            for part in _parts(rows, asked.functions)
        ]
        if len(answers) == 1:
            return answers[0]
        return {
            name: np.concatenate([answer[name] for answer in answers])
            if _is_batch_major(asked, name)
            else answers[0][name]
            for name in asked.outputs
        }

    def check(self) -> None:
        """Asks the stored example again.

        Raises:
            ExportError: the answer is another one.
        """
        about = self._about["example"]
        exact = self._platform == "cpu" and about["exact_on"] == exact_here()
        within = tolerance(self._platform, narrow=about["narrow"])
        diagnostics = []
        for name, signature in self.signatures.items():
            inputs, stored = self.example(signature)
            found = self(name, **inputs)
            unlike = difference(stored, found, within=None if exact else within)
            if unlike:
                diagnostics.append(
                    Diagnostic(
                        f"{self.path}: {name}",
                        f"the stored example is answered differently: {unlike}",
                        expected="the same bits"
                        if exact
                        else f"at most {within:g} of the largest magnitude",
                        hint="Export it again with this version of JAX, "
                        f"{jax.__version__}; it was {self._about['versions']['jax']}.",
                        code="export-round-trip",
                    )
                )
        if diagnostics:
            raise ExportError(*diagnostics)

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """What the programs read beside their inputs: host arrays by path."""
        return {name: np.asarray(array) for name, array in self._weights.items()}

    @property
    def narrow(self) -> bool:
        """Whether anything is computed with floats of 16 bits or less."""
        return self._about["example"]["narrow"]

    def example(
        self, signature: Signature
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The stored example: inputs by name, and what was answered.

        Args:
            signature: one of `signatures`.
        """
        arrays = self._arrays(self._about["example"])
        answers = f"outputs/{signature.name}"
        return (
            {name: arrays[f"inputs/{name}"] for name in signature.inputs},
            {name: arrays[f"{answers}/{name}"] for name in signature.outputs},
        )

    def exported(self, function: Function) -> Any:
        """A program of a signature as it was stored: a `jax.export.Exported`.

        Raises:
            ExportError: this version of JAX cannot read it.
        """
        if function.file not in self._exported:
            self._exported[function.file] = self._deserialized(function.file)
        return self._exported[function.file]

    def _signature(self, name: str | None) -> Signature:
        wanted = self.default if name is None else name
        if wanted is None or wanted not in self.signatures:
            there = ", ".join(self.signatures)
            raise ExportError(
                Diagnostic(
                    str(self.path),
                    f"has no signature {wanted!r}" if wanted else "has no default",
                    expected=f"one of {there}",
                    hint=did_you_mean(nearest(wanted or "", self.signatures)),
                    code="export-signature",
                )
            )
        return self.signatures[wanted]

    def _answer(
        self, signature: Signature, arrays: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """The answer to rows that one function takes, padded for it if need be."""
        rows = len(next(iter(arrays.values())))
        function = _function(rows, signature.functions)
        padding = (function.rows or rows) - rows
        if padding:
            # The last row again, as in evaluation: zeros may be no possible input.
            arrays = {
                name: np.concatenate([array, np.repeat(array[-1:], padding, axis=0)])
                for name, array in arrays.items()
            }
        compiled = self._program(function, arrays, rows + padding)
        found = jax.device_get(compiled(self._weights, arrays))
        return {
            name: found[name][:rows]
            if _is_batch_major(signature, name)
            else found[name]
            for name in signature.outputs
        }

    def _program(
        self, function: Function, arrays: dict[str, np.ndarray], rows: int
    ) -> Any:
        key = (function.file, rows)
        if key not in self._compiled:
            self._check_platform()
            call = self.exported(function).call
            lowered = jax.jit(call).lower(self._weights, arrays)
            self._compiled[key] = self._compile(lowered)
        return self._compiled[key]

    def _compile(self, lowered: Any) -> Any:
        """Compiles as the trainer did: what is faster there is also other bits."""
        options = self._about["compiler_options"].get(self._platform)
        if options:
            with contextlib.suppress(jax.errors.JaxRuntimeError):
                return lowered.compile(compiler_options=options)
        return lowered.compile()  # No options, or an XLA that does not know them.

    def _deserialized(self, file: str) -> Any:
        content = self._read(file)
        try:
            return jax.export.deserialize(bytearray(content))
        except Exception as error:
            diagnostic = Diagnostic(
                str(self.path / file),
                f"cannot be read by JAX {jax.__version__}: {error}",
                hint=f"It was written by JAX {self._about['versions']['jax']}.",
                code="export-version",
            )
            raise ExportError(diagnostic) from error

    def _check_platform(self) -> None:
        platforms = self._about["platforms"]
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
                    f"computes in {wide[0]}, which JAX does not unless it is told to",
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
        for file, digest in self._about["sha256"].items():
            try:
                with (self.path / file).open("rb") as content:
                    found = hashlib.file_digest(content, "sha256").hexdigest()
            except OSError as error:
                why = error.strerror or str(error)
                raise _damaged(self.path / file, why) from error
            if found != digest:
                raise _damaged(self.path / file, "its digest is another one")


def content_digest(about: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest's content, but for the digest itself."""
    content = {key: value for key, value in about.items() if key != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _manifest(path: Path) -> dict[str, Any]:
    try:
        about = json.loads((path / MANIFEST).read_text(encoding="utf-8-sig"))
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
    if not isinstance(about, dict) or about.get("digest") != content_digest(about):
        raise _damaged(path / MANIFEST, "its digest is another one")
    if about["format"] != 1:
        raise ExportError(
            Diagnostic(
                str(path),
                f"has format {about['format']}, from specflow "
                f"{about['versions']['specflow']}",
                expected="format 1",
                hint="Load it with that version.",
                code="export-version",
            )
        )
    return about


def _inside(path: Path) -> str:
    """The newest export in a directory of exports, as advice."""
    found = sorted(path.glob(f"{'[0-9]' * 10}/{MANIFEST}"))
    return f"There is {found[-1].parent}." if found else ""


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
    for name, value in inputs.items():
        at = f"{path}.{name}" if path else name
        if isinstance(value, Mapping):
            yield from _flat(value, at)
        else:
            yield at, value


def _parts(rows: int, functions: tuple[Function, ...]) -> Iterator[slice]:
    """Cuts rows into parts that one function each can take."""
    most = functions[-1].rows or rows
    for start in range(0, rows, most):
        yield slice(start, min(start + most, rows))


def _function(rows: int, functions: tuple[Function, ...]) -> Function:
    """The function with the least padding."""
    return next(f for f in functions if f.rows is None or f.rows >= rows)


def _is_batch_major(signature: Signature, name: str) -> bool:
    return signature.outputs[name].shape[:1] == ("b",)
