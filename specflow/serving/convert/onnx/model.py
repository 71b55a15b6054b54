"""An ONNX model for each signature, its weights in a file beside it, its answers."""

import json
import shutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from specflow.serving.array_file import write_arrays
from specflow.serving.convert.onnx.graph import Graph, Value
from specflow.serving.convert.onnx.interpreter import Interpreter
from specflow.serving.convert.program import NotConvertibleError, Program
from specflow.serving.export_signature import BATCH, TensorForm
from specflow.serving.load_export import LoadedExport

__all__ = ["ask_onnx", "file_of", "write_onnx", "write_weights"]

WEIGHTS = "weights.bin"
"""The file of the weights, which the models of all signatures read."""

_OPSET, _IR = 20, 9
"""Versions of ONNX 1.15: everything is said in them, and older runtimes know them."""


def write_weights(folder: Path, loaded: LoadedExport) -> dict[str, dict[str, Any]]:
    """Writes what is beside the models: weights, and the assets of the export.

    Returns:
        Name of each weight -> its `offset` in the file, in bytes, and more.
    """
    if (loaded.path / "assets.extra").is_dir():
        shutil.copytree(loaded.path / "assets.extra", folder / "assets.extra")
    return write_arrays(folder / WEIGHTS, loaded.weights)


def file_of(signature: str) -> str:
    """The file name of a signature's model.

    >>> file_of("serving_default"), file_of("a/b")
    ('serving_default.onnx', 'a_b.onnx')
    """
    return "".join(c if c.isalnum() or c in "_-." else "_" for c in signature) + ".onnx"


def write_onnx(
    folder: Path,
    loaded: LoadedExport,
    program: Program,
    index: Mapping[str, Mapping[str, Any]],
) -> None:
    """Writes the model of a signature; `write_weights` was there before.

    Args:
        folder: where.
        loaded: the export.
        program: of the signature.
        index: what `write_weights` returned.

    Raises:
        NotConvertibleError: an operation or a dtype has no words in ONNX.
    """
    onnx: Any = import_module("onnx")

    weights = loaded.weights
    graph = Graph()
    module = program.module()
    arguments = []
    for kind, name in program.arguments:
        if kind == "weights":
            array = weights[name]
            arguments.append(Value(_weight(name), array.shape, array.dtype))
        else:
            form = program.signature.inputs[name]
            dtype = np.dtype(form.dtype)
            arguments.append(Value(name, _shape(form, program), dtype))
    if len(program.exported.platforms) > 1:
        # Programs for many platforms begin with the number of theirs.
        number = program.exported.platforms.index("cpu")
        arguments.insert(
            0, Value("", (), np.dtype(np.int32), np.array(number, np.int32))
        )
    with module.context:
        results = Interpreter(module).call(graph, "main", arguments)
    signature = program.signature
    names = _output_names(program)
    nodes = _alive(graph.nodes, [graph.name(value) for value in results])
    nodes += [
        onnx.helper.make_node("Identity", [graph.name(value)], [name])
        for name, value in zip(names, results, strict=True)
    ]
    outputs = zip(names, program.outputs, strict=True)
    read = _read(nodes)
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            nodes,
            signature.name,
            [_info(name, form, program) for name, form in signature.inputs.items()],
            [_info(name, signature.outputs[key], program) for name, key in outputs],
            [
                *_constants(graph, read),
                *_weights(loaded, index, read),
            ],
        ),
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
        producer_name="specflow",
    )
    about = {
        "method": signature.method,
        "class_names": signature.class_names,
        "step": loaded.step,
    }
    onnx.helper.set_model_props(
        model, {f"specflow.{key}": json.dumps(value) for key, value in about.items()}
    )
    file = folder / file_of(signature.name)
    if file.exists():
        raise NotConvertibleError(f"another signature has its file, {file.name}")
    try:
        file.write_bytes(model.SerializeToString())
        onnx.checker.check_model(str(file))
    except (ValueError, onnx.checker.ValidationError) as error:
        raise NotConvertibleError(f"ONNX refuses it: {_first(error)}") from error


def ask_onnx(folder: Path, programs: Sequence[Program]) -> Any:
    """A function (signature, inputs) -> outputs, that ONNX Runtime alone answers.

    Args:
        folder: where the models are.
        programs: of their signatures.
    """
    onnxruntime: Any = import_module("onnxruntime")

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # Errors; its warnings are of its own rewriting.
    called = {program.signature.name: program.outputs for program in programs}
    sessions: dict[str, Any] = {}

    def ask(name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            if name not in sessions:
                sessions[name] = onnxruntime.InferenceSession(
                    folder / file_of(name), options, ["CPUExecutionProvider"]
                )
            found = sessions[name].run(None, dict(inputs))
        except Exception as error:
            # Its errors have no common parent of their own.
            raise NotConvertibleError(
                f"ONNX Runtime {onnxruntime.__version__} cannot run it: {_first(error)}"
            ) from error
        return dict(zip(called[name], found, strict=True))

    return ask


def _output_names(program: Program) -> list[str]:
    """Names of the outputs; one that an input has gets `_output` behind it."""
    taken = program.signature.inputs
    return [f"{name}_output" if name in taken else name for name in program.outputs]


def _weight(name: str) -> str:
    return f"weights/{name}"


def _shape(form: TensorForm, program: Program) -> tuple[int | None, ...]:
    rows = program.function.rows
    return tuple(rows if size == BATCH else size for size in form.shape)  # type: ignore[misc]


def _info(name: str, form: TensorForm, program: Program) -> Any:
    onnx: Any = import_module("onnx")

    shape = [BATCH if size is None else size for size in _shape(form, program)]
    return onnx.helper.make_tensor_value_info(
        name, _element(np.dtype(form.dtype)), shape
    )


def _element(dtype: np.dtype[Any]) -> int:
    onnx: Any = import_module("onnx")

    return onnx.helper.np_dtype_to_tensor_dtype(dtype)


def _constants(graph: Graph, read: set[str]) -> list[Any]:
    onnx: Any = import_module("onnx")

    return [
        onnx.numpy_helper.from_array(array, name)
        for name, array in graph.constants.items()
        if name in read
    ]


def _weights(
    loaded: LoadedExport, index: Mapping[str, Mapping[str, Any]], read: set[str]
) -> list[Any]:
    """Where each weight that is read lies in the file of all of them."""
    onnx: Any = import_module("onnx")

    tensors = []
    for name, array in loaded.weights.items():
        if _weight(name) not in read:
            continue
        tensor = onnx.TensorProto(
            name=_weight(name),
            data_type=_element(array.dtype),
            dims=array.shape,
            data_location=onnx.TensorProto.EXTERNAL,
        )
        place = {
            "location": WEIGHTS,
            "offset": index[name]["offset"],
            "length": array.nbytes,
        }
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        tensors.append(tensor)
    return tensors


def _read(nodes: Sequence[Any]) -> set[str]:
    """Every name that nodes read, and the nodes inside of them."""
    names: set[str] = set()
    for node in nodes:
        names.update(node.input)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                names |= _read(attribute.g.node)
                names.update(one.name for one in attribute.g.output)
    return names


def _alive(nodes: Sequence[Any], results: Sequence[str]) -> list[Any]:
    """The nodes that something comes of."""
    wanted, alive = set(results), []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            alive.append(node)
            wanted |= _read([node])
    return alive[::-1]


def _first(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:300]
