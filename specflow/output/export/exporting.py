"""Writes an exported model: `jax.export` programs, weights and an example."""

import base64
import functools
import hashlib
import json
import re
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import jax
import jax.export
import numpy as np

from specflow.columns import FittedColumns
from specflow.contract import (
    DEFAULT_SERVING,
    ClassificationOutput,
    ExportOutput,
    RegressionOutput,
)
from specflow.diagnostics import user_code
from specflow.diagnostics.errors import (
    Diagnostic,
    ExportError,
    SpecflowError,
    did_you_mean,
    nearest,
)
from specflow.output.export.exported_program import ExportedProgram, Servable, named
from specflow.output.run.timestamped import timestamped
from specflow.runtime.distribution import version_of
from specflow.runtime.file_digests import folder_digests, signed
from specflow.runtime.filesystem import expanded
from specflow.serving import Function, Signature, load_export
from specflow.serving.array_file import write_arrays
from specflow.serving.load_export import MANIFEST, RAW_SERVING
from specflow.serving.round_trip import EXAMPLE_ROWS, exact_here

__all__ = ["PLATFORMS", "write_export"]

PLATFORMS = ("cpu", "cuda", "tpu")
"""Default platforms of an export."""

_KNOWN = ("cpu", "cuda", "rocm", "tpu")


def write_export(
    directory: str | Path,
    model: Servable,
    example: Any,
    *,
    step: int,
    platforms: Sequence[str] = PLATFORMS,
    batch: int | Sequence[int] | None = None,
    usual_batch: int = 128,
    assets_extra: Mapping[str, str | Path] | None = None,
    exact: bool = False,
    columns: FittedColumns | None = None,
    raw: Mapping[str, Sequence[Any]] | None = None,
) -> Path:
    """Writes `directory/<seconds since 1970>`, which `specflow.load_export` reads.

    The files are loaded and run before the directory gets its name: an export whose
    outputs differ from the model's is never published.

    Args:
        directory: parent directory of exports.
        model: the model.
        example: a batch of a client; its first rows are stored with the outputs for
            them.
        step: training steps of the weights.
        platforms: to export for: `cpu`, `cuda`, `rocm`, `tpu`.
        batch: fixed batch sizes to export for; other requests are padded or divided.
            None: any batch size; if the model cannot be traced for that,
            `usual_batch`, with a warning.
        usual_batch: see `batch`.
        assets_extra: path below `assets.extra/` -> file to copy there.
        exact: the model runs on one CPU device of this process, so that the loaded
            export has to return the same bits here.
        columns: make the features of raw rows, for the signature `serving_raw`.
        raw: raw rows whose features `example` has, to be stored with them.

    Returns:
        The new directory.

    Raises:
        ExportError: the model cannot be exported, or its outputs differ afterwards.
        OutputError: the files cannot be written.
        SpecError: the model function fails.
    """
    _check_platforms(platforms)
    _check_assets(assets_extra or {})
    weights = model.weights()
    export = functools.partial(
        ExportedProgram, model, weights, example, platforms=tuple(platforms)
    )
    programs, note = _programs(export, batch=batch, usual_batch=usual_batch)
    rows = programs[0].rows or min(EXAMPLE_ROWS, _rows(example))
    request = _with_rows(example, rows)
    answers = model.answers(request)
    with timestamped(expanded(directory, "directory")) as (temporary, final):
        stored = {f"inputs/{path}": array for path, array in named(request)}
        for name, tensors in answers.items():
            stored |= {f"outputs/{name}/{path}": x for path, x in named(tensors)}
        signatures = {
            name: _signature(name, programs, temporary).to_json()
            for name in programs[0].outputs
        }
        for target, source in (assets_extra or {}).items():
            copy = temporary / "assets.extra" / target
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(expanded(source), copy)
        raw_rows = {name: list(values)[:rows] for name, values in (raw or {}).items()}
        if columns is not None:
            _check_raw_name(signatures)
            _write_json(temporary / "columns.json", columns.to_json())
            _write_json(temporary / "raw_rows.json", raw_rows)
        about = {
            "format": 1,
            "versions": {
                name: version_of(name) or ""
                for name in ("specflow", "jax", "jaxlib", "numpy")
            },
            "step": step,
            "platforms": list(platforms),
            "default": DEFAULT_SERVING if DEFAULT_SERVING in signatures else None,
            "note": note,
            "signatures": signatures,
            "weights": {
                "file": "weights.bin",
                "arrays": write_arrays(temporary / "weights.bin", weights),
            },
            "example": {
                "file": "example.bin",
                "arrays": write_arrays(temporary / "example.bin", stored),
                "narrow": model.is_narrow(request),
                "exact_on": exact_here() if exact else "",
            },
            # Absent without columns, as in exports before there were any.
            **({} if columns is None else {"columns": "columns.json"}),
            **_packages(columns),
            "sha256": folder_digests(temporary),
        }
        text = json.dumps(signed(about), indent=1) + "\n"
        (temporary / MANIFEST).write_text(text, encoding="utf-8")
        if jax.export.default_export_platform() in platforms:
            load_export(temporary)
    return final


def _packages(columns: FittedColumns | None) -> dict[str, dict[str, str]]:
    """Packages that make features of raw rows, with their versions."""
    packages = [] if columns is None else columns.packages
    if not packages:
        return {}
    return {"packages": {name: version_of(name) or "" for name in packages}}


def _write_json(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False, default=_plain) + "\n"
    path.write_text(text, encoding="utf-8")


def _plain(value: Any) -> Any:
    """A raw value that JSON lacks: bytes as TensorFlow Serving has them, else text."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return str(value)


def _check_raw_name(signatures: Mapping[str, Any]) -> None:
    """Refuses a declared signature with the name of that of raw rows."""
    if RAW_SERVING in signatures:
        raise ExportError(
            Diagnostic(
                f"export_outputs[{RAW_SERVING!r}]",
                "is the signature of raw rows of a table",
                expected="another name",
                code="export-names",
            )
        )


def _programs(
    export: Callable[..., ExportedProgram],
    *,
    batch: int | Sequence[int] | None,
    usual_batch: int,
) -> tuple[list[ExportedProgram], str]:
    """Exports for any batch size, or for fixed ones; returns programs and a note."""
    if batch is not None:
        sizes = sorted({batch} if isinstance(batch, int) else {*batch})
        if not sizes or sizes[0] < 1:
            raise ExportError(
                Diagnostic(
                    "batch",
                    f"got {batch!r}",
                    code="export-batch",
                    expected="batch sizes, each at least 1",
                )
            )
        return [_exported(export, rows) for rows in sizes], ""
    try:
        return [export(rows=None)], ""
    except Exception as error:
        why = str(error.__cause__ or error).strip().split("\n")[0]
    # An error of another kind is raised here again.
    programs = [_exported(export, usual_batch)]
    note = (
        f"Exported for batches of {usual_batch} rows; others are padded or divided: "
        f"the model cannot be traced for any batch size ({why})."
    )
    warnings.warn(note, stacklevel=4)
    return programs, note


def _exported(export: Callable[..., ExportedProgram], rows: int) -> ExportedProgram:
    try:
        return export(rows=rows)
    except SpecflowError:
        raise
    except Exception as error:
        if user_code.is_users(error):
            raise
        text = str(error).strip().split("\n")[0]
        raise ExportError(
            Diagnostic(
                "export",
                f"failed: {type(error).__name__}: {text}",
                # A primitive has no lowering rule for one of the platforms.
                hint="Leave that platform out: platforms=('cpu',), for example."
                if isinstance(error, NotImplementedError)
                else "",
                code="export-failed",
            )
        ) from error


def _signature(
    name: str, programs: Sequence[ExportedProgram], folder: Path
) -> Signature:
    """Writes the programs of a signature, unless an equal one exists already."""
    functions = []
    for program in programs:
        content = program.content[name]
        rows = "" if program.rows is None else f".{program.rows}"
        stem = re.sub(r"[^A-Za-z0-9_-]", "_", name)
        digest = hashlib.sha256(content).hexdigest()[:8]
        same = sorted(folder.glob(f"*{rows}.{digest}.jax_export"))
        file = same[0] if same else folder / f"{stem}{rows}.{digest}.jax_export"
        file.write_bytes(content)
        functions.append(Function(file.name, program.rows))
    first, output = programs[0], programs[0].outputs[name]
    return Signature(
        name,
        _method(output),
        first.inputs,
        first.forms[name],
        tuple(functions),
        getattr(output, "class_names", None),
    )


def _method(output: ExportOutput) -> str:
    if isinstance(output, ClassificationOutput):
        return "classification"
    return "regression" if isinstance(output, RegressionOutput) else "predict"


def _rows(example: Any) -> int:
    return jax.tree.leaves(example)[0].shape[0]


def _with_rows(example: Any, rows: int) -> Any:
    """Takes the first rows; repeats the last one if there are too few."""
    take = np.minimum(np.arange(rows), _rows(example) - 1)
    return jax.tree.map(
        lambda array: np.asarray(array)[take].astype(
            jax.dtypes.canonicalize_dtype(array.dtype), copy=False
        ),
        example,
    )


def _check_platforms(platforms: Sequence[str]) -> None:
    diagnostics = [
        Diagnostic(
            "platforms",
            f"got {name!r}",
            expected=f"some of {', '.join(_KNOWN)}",
            hint=did_you_mean(nearest(name, _KNOWN)),
            code="export-platform",
        )
        for name in platforms or ("",)
        if name not in _KNOWN
    ]
    if diagnostics:
        raise ExportError(*diagnostics)


def _check_assets(assets: Mapping[str, str | Path]) -> None:
    diagnostics = []
    for target, source in assets.items():
        parts = PurePosixPath(target).parts
        if not parts or ".." in parts or target.startswith("/"):
            diagnostics.append(
                Diagnostic(
                    f"assets_extra[{target!r}]",
                    "is outside of the export",
                    expected="a path below assets.extra",
                    code="export-assets",
                )
            )
        if not expanded(source).is_file():
            diagnostics.append(
                Diagnostic(
                    f"assets_extra[{target!r}]",
                    f"there is no file {source}",
                    code="export-assets",
                )
            )
    if diagnostics:
        raise ExportError(*diagnostics)
