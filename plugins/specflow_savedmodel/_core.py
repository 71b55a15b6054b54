"""Writing and loading of SavedModels: StableHLO inside, weights as variables."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jax.extend.mlir.dialects import stablehlo

from specflow.serving import BATCH, LoadedExport, Signature, TensorForm
from specflow.serving.convert import NotConvertibleError, Predict, SignatureProgram

__all__ = ["load_saved_model", "write_saved_model"]


def write_saved_model(
    directory: Path, export: LoadedExport, programs: Sequence[SignatureProgram]
) -> None:
    """Writes a SavedModel with all signatures; each calls its program through XLA.

    Args:
        directory: an empty directory.
        export: the export.
        programs: the program of each signature.

    Raises:
        NotConvertibleError: the installed TensorFlow cannot run such programs.
    """
    tf: Any = import_module("tensorflow")

    module = tf.Module()
    # A dict by path: a variable's own name may not have every character of a path.
    module.weights = {
        name: tf.Variable(array, trainable=False)
        for name, array in export.weights.items()
    }
    signatures = {
        program.signature.name: _function(tf, program, module.weights)
        for program in programs
    }
    tf.saved_model.save(module, str(directory), signatures=signatures)
    extra = directory / "assets.extra"
    if (export.path / "assets.extra").is_dir():
        shutil.copytree(export.path / "assets.extra", extra)
    extra.mkdir(exist_ok=True)
    metadata = {
        "step": export.step,
        "signatures": {
            program.signature.name: {
                "method": program.signature.method,
                "class_names": program.signature.class_names,
            }
            for program in programs
        },
    }
    (extra / "specflow.json").write_text(json.dumps(metadata, indent=1) + "\n")


def load_saved_model(directory: Path, programs: Sequence[SignatureProgram]) -> Predict:
    """Returns `(signature, inputs) -> outputs`, computed by TensorFlow alone.

    Args:
        directory: a SavedModel.
        programs: the program of each signature.
    """
    tf: Any = import_module("tensorflow")

    keywords = {
        program.signature.name: _keywords(program.signature) for program in programs
    }
    # The module must outlive its signatures: it owns the variables.
    module = tf.saved_model.load(str(directory))

    def predict(name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = {keywords[name][key]: tf.constant(x) for key, x in inputs.items()}
        try:
            outputs = module.signatures[name](**tensors)
        except tf.errors.OpError as error:
            raise NotConvertibleError(
                f"TensorFlow {tf.__version__} cannot run it: "
                f"{_first_line(error.message)}"
            ) from error
        return {path: tensor.numpy() for path, tensor in outputs.items()}

    return predict


def _function(tf: Any, program: SignatureProgram, weights: Mapping[str, Any]) -> Any:
    """The concrete `tf.function` of a signature."""
    tf_stablehlo: Any = import_module("tensorflow.compiler.mlir.stablehlo.stablehlo")
    xla: Any = import_module("tensorflow.compiler.tf2xla.python.xla")

    exported = program.exported
    newest = xla.call_module_maximum_supported_version()
    if exported.calling_convention_version > newest:
        raise NotConvertibleError(
            f"TensorFlow {tf.__version__} supports calling conventions of jax.export "
            f"up to {newest}, and this is {exported.calling_convention_version}"
        )
    module = program.module(inline=True)
    # TensorFlow may bundle an older StableHLO: the older of both versions is written.
    version = stablehlo.get_smaller_version(
        tf_stablehlo.get_current_version(), stablehlo.get_current_version()
    )
    with module.context:
        try:
            content = stablehlo.serialize_portable_artifact(module, version)
        except Exception as error:
            raise NotConvertibleError(
                f"StableHLO {version}, that of TensorFlow {tf.__version__}, has no "
                f"equivalent: {_first_line(str(error))}"
            ) from error
    signature = program.signature
    keywords = _keywords(signature)

    def serve(**inputs: Any) -> dict[str, Any]:
        by_path = {name: inputs[keyword] for name, keyword in keywords.items()}
        arguments = {"weights": weights, "inputs": by_path}
        outputs = xla.call_module(
            [arguments[kind][name] for kind, name in program.arguments],
            version=exported.calling_convention_version,
            module=content,
            Tout=[tf.as_dtype(aval.dtype) for aval in exported.out_avals],
            Sout=[
                [size if isinstance(size, int) else None for size in aval.shape]
                for aval in exported.out_avals
            ],
            platforms=[platform.upper() for platform in exported.platforms],
            disabled_checks=[str(check) for check in exported.disabled_safety_checks],
        )
        return {
            name: tf.ensure_shape(tensor, _shape(signature.outputs[name], program))
            for name, tensor in zip(program.outputs, outputs, strict=True)
        }

    return tf.function(serve, autograph=False).get_concrete_function(
        **{
            keywords[name]: tf.TensorSpec(
                _shape(form, program), tf.as_dtype(form.dtype), keywords[name]
            )
            for name, form in signature.inputs.items()
        }
    )


def _keywords(signature: Signature) -> dict[str, str]:
    """Input -> its keyword argument in TensorFlow, which allows no dots in names.

    Raises:
        NotConvertibleError: two inputs would have the same keyword.
    """
    keywords = {name: re.sub(r"\W", "_", name) for name in signature.inputs}
    for name, keyword in keywords.items():
        if list(keywords.values()).count(keyword) > 1:
            raise NotConvertibleError(f"two inputs would be called {keyword}: {name}")
    return keywords


def _shape(form: TensorForm, program: SignatureProgram) -> list[int | None]:
    """The shape of a tensor; None is any number of rows."""
    rows = program.function.rows
    return [rows if size == BATCH else size for size in form.shape]  # type: ignore[misc]


def _first_line(text: str) -> str:
    """The line of a long message that names the error, or else its first."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "rror" in line or "Cannot" in line] or lines
    return errors[0][:300] if errors else "no reason given"
