"""An export as a TensorFlow SavedModel: StableHLO inside, weights as variables."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jax.extend.mlir.dialects import stablehlo

from specflow.serving.convert.program import NotConvertibleError, Program
from specflow.serving.export_signature import BATCH, Signature, TensorForm
from specflow.serving.load_export import LoadedExport

__all__ = ["ask_saved_model", "write_saved_model"]


def write_saved_model(
    folder: Path, loaded: LoadedExport, programs: Sequence[Program]
) -> None:
    """Writes a SavedModel with all signatures; each calls its program through XLA.

    Args:
        folder: where; it is made.
        loaded: the export.
        programs: one for each signature.

    Raises:
        NotConvertibleError: this TensorFlow cannot run such programs.
    """
    tf: Any = import_module("tensorflow")

    module = tf.Module()
    # A dict of their paths: names of variables may not have every character of a path.
    module.weights = {
        name: tf.Variable(array, trainable=False)
        for name, array in loaded.weights.items()
    }
    signatures = {
        program.signature.name: _function(tf, program, module.weights)
        for program in programs
    }
    tf.saved_model.save(module, str(folder), signatures=signatures)
    extra = folder / "assets.extra"
    if (loaded.path / "assets.extra").is_dir():
        shutil.copytree(loaded.path / "assets.extra", extra)
    extra.mkdir(exist_ok=True)
    about = {
        "step": loaded.step,
        "signatures": {
            program.signature.name: {
                "method": program.signature.method,
                "class_names": program.signature.class_names,
            }
            for program in programs
        },
    }
    (extra / "specflow.json").write_text(json.dumps(about, indent=1) + "\n")


def ask_saved_model(folder: Path, programs: Sequence[Program]) -> Any:
    """A function (signature, inputs) -> outputs, that TensorFlow alone answers.

    Args:
        folder: a SavedModel.
        programs: of its signatures.
    """
    tf: Any = import_module("tensorflow")

    words = {one.signature.name: _keywords(one.signature) for one in programs}
    # The module must outlive its signatures: it owns the variables.
    module = tf.saved_model.load(str(folder))

    def ask(name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = {words[name][key]: tf.constant(x) for key, x in inputs.items()}
        try:
            found = module.signatures[name](**tensors)
        except tf.errors.OpError as error:
            raise NotConvertibleError(
                f"TensorFlow {tf.__version__} cannot run it: {_first(error.message)}"
            ) from error
        return {path: tensor.numpy() for path, tensor in found.items()}

    return ask


def _function(tf: Any, program: Program, weights: Mapping[str, Any]) -> Any:
    theirs: Any = import_module("tensorflow.compiler.mlir.stablehlo.stablehlo")
    xla: Any = import_module("tensorflow.compiler.tf2xla.python.xla")

    exported = program.exported
    newest = xla.call_module_maximum_supported_version()
    if exported.calling_convention_version > newest:
        raise NotConvertibleError(
            f"TensorFlow {tf.__version__} knows calling convention {newest} of "
            f"jax.export, and this is {exported.calling_convention_version}"
        )
    module = program.module(inline=True)
    # What TensorFlow's StableHLO is too old for is said in its words, if it has them.
    version = stablehlo.get_smaller_version(
        theirs.get_current_version(), stablehlo.get_current_version()
    )
    with module.context:
        try:
            content = stablehlo.serialize_portable_artifact(module, version)
        except Exception as error:
            raise NotConvertibleError(
                f"StableHLO {version}, that of TensorFlow {tf.__version__}, has no "
                f"words for it: {_first(str(error))}"
            ) from error
    signature = program.signature
    words = _keywords(signature)

    def serve(**inputs: Any) -> dict[str, Any]:
        named = {name: inputs[word] for name, word in words.items()}
        given = {"weights": weights, "inputs": named}
        found = xla.call_module(
            [given[kind][name] for kind, name in program.arguments],
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
            for name, tensor in zip(program.outputs, found, strict=True)
        }

    return tf.function(serve, autograph=False).get_concrete_function(
        **{
            words[name]: tf.TensorSpec(
                _shape(form, program), tf.as_dtype(form.dtype), words[name]
            )
            for name, form in signature.inputs.items()
        }
    )


def _keywords(signature: Signature) -> dict[str, str]:
    """Input -> how TensorFlow calls it: `user.age` is no name of an argument there.

    Raises:
        NotConvertibleError: two would have the same name.
    """
    words = {name: re.sub(r"\W", "_", name) for name in signature.inputs}
    for name, word in words.items():
        if list(words.values()).count(word) > 1:
            raise NotConvertibleError(f"two inputs would be called {word}: {name}")
    return words


def _shape(form: TensorForm, program: Program) -> list[int | None]:
    rows = program.function.rows
    return [rows if size == BATCH else size for size in form.shape]  # type: ignore[misc]


def _first(text: str) -> str:
    """The first line of a message that runs over pages."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if "rror" in line or "Cannot" in line] or lines
    return told[0][:300] if told else "no reason given"
