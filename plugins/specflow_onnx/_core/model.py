"""ONNX model files: one for each signature, one of weights; and their sessions."""

import json
import shutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from specflow.serving import BATCH, LoadedExport, TensorForm, write_arrays
from specflow.serving.convert import NotConvertibleError, Predict, SignatureProgram
from specflow_onnx._core.graph import Graph, Value
from specflow_onnx._core.interpreter import Interpreter

__all__ = ["file_of", "load_models", "write_models"]

WEIGHTS = "weights.bin"
"""File of the weights, which the models of all signatures read."""

_OPSET, _IR = 20, 9
"""Versions of ONNX 1.15, so that runtimes older than the `onnx` package read it."""


def write_models(
    directory: Path, export: LoadedExport, programs: Sequence[SignatureProgram]
) -> None:
    """Writes the weights, the assets, and a model for each signature.

    Args:
        directory: an empty directory.
        export: the export.
        programs: the program of each signature.

    Raises:
        NotConvertibleError: ONNX has no equivalent of an operation or a dtype.
    """
    if (export.path / "assets.extra").is_dir():
        shutil.copytree(export.path / "assets.extra", directory / "assets.extra")
    index = write_arrays(directory / WEIGHTS, export.weights)
    for program in programs:
        try:
            _write_model(directory, export, program, index)
        except NotConvertibleError as error:
            name = program.signature.name
            raise NotConvertibleError(str(error), signature=name) from error


def load_models(directory: Path, programs: Sequence[SignatureProgram]) -> Predict:
    """Returns `(signature, inputs) -> outputs`, computed by ONNX Runtime on the CPU.

    Sessions are created when a signature is first asked.

    Args:
        directory: of the models.
        programs: the program of each signature.
    """
    onnxruntime: Any = import_module("onnxruntime")

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # Errors; its warnings are of its own rewriting.
    outputs = {program.signature.name: program.outputs for program in programs}
    sessions: dict[str, Any] = {}

    def predict(name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            if name not in sessions:
                sessions[name] = onnxruntime.InferenceSession(
                    directory / file_of(name), options, ["CPUExecutionProvider"]
                )
            arrays = sessions[name].run(None, dict(inputs))
        except Exception as error:
            # Its errors have no common base class of their own.
            raise NotConvertibleError(
                f"ONNX Runtime {onnxruntime.__version__} cannot run it: "
                f"{_first_line(error)}"
            ) from error
        return dict(zip(outputs[name], arrays, strict=True))

    return predict


def file_of(signature: str) -> str:
    """The file name of a signature's model.

    >>> file_of("serving_default"), file_of("a/b")
    ('serving_default.onnx', 'a_b.onnx')
    """
    return "".join(c if c.isalnum() or c in "_-." else "_" for c in signature) + ".onnx"


def _write_model(
    directory: Path,
    export: LoadedExport,
    program: SignatureProgram,
    index: Mapping[str, Mapping[str, Any]],
) -> None:
    """Writes the model of one signature; `index` is that of `write_arrays`."""
    onnx: Any = import_module("onnx")

    weights = export.weights
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
    nodes = _live_nodes(graph.nodes, [graph.name(value) for value in results])
    nodes += [
        onnx.helper.make_node("Identity", [graph.name(value)], [name])
        for name, value in zip(names, results, strict=True)
    ]
    outputs = zip(names, program.outputs, strict=True)
    read = _names_read(nodes)
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            nodes,
            signature.name,
            [_info(name, form, program) for name, form in signature.inputs.items()],
            [_info(name, signature.outputs[key], program) for name, key in outputs],
            [
                *_constants(graph, read),
                *_weights(export, index, read),
            ],
        ),
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
        producer_name="specflow",
    )
    metadata = {
        "method": signature.method,
        "class_names": signature.class_names,
        "step": export.step,
    }
    onnx.helper.set_model_props(
        model, {f"specflow.{key}": json.dumps(value) for key, value in metadata.items()}
    )
    file = directory / file_of(signature.name)
    if file.exists():
        raise NotConvertibleError(f"two signatures would have the file {file.name}")
    try:
        file.write_bytes(model.SerializeToString())
        onnx.checker.check_model(str(file))
    except (ValueError, onnx.checker.ValidationError) as error:
        raise NotConvertibleError(f"ONNX refuses it: {_first_line(error)}") from error


def _output_names(program: SignatureProgram) -> list[str]:
    """Names of the outputs; the suffix `_output` keeps one apart from an input."""
    taken = program.signature.inputs
    return [f"{name}_output" if name in taken else name for name in program.outputs]


def _weight(name: str) -> str:
    return f"weights/{name}"


def _shape(form: TensorForm, program: SignatureProgram) -> tuple[int | None, ...]:
    rows = program.function.rows
    return tuple(rows if size == BATCH else size for size in form.shape)  # type: ignore[misc]


def _info(name: str, form: TensorForm, program: SignatureProgram) -> Any:
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
    export: LoadedExport, index: Mapping[str, Mapping[str, Any]], read: set[str]
) -> list[Any]:
    """References to the file of weights, for each weight that a node reads."""
    onnx: Any = import_module("onnx")

    tensors = []
    for name, array in export.weights.items():
        if _weight(name) not in read:
            continue
        tensor = onnx.TensorProto(
            name=_weight(name),
            data_type=_element(array.dtype),
            dims=array.shape,
            data_location=onnx.TensorProto.EXTERNAL,
        )
        reference = {
            "location": WEIGHTS,
            "offset": index[name]["offset"],
            "length": array.nbytes,
        }
        for key, value in reference.items():
            tensor.external_data.add(key=key, value=str(value))
        tensors.append(tensor)
    return tensors


def _names_read(nodes: Sequence[Any]) -> set[str]:
    """Names that nodes read, subgraphs included."""
    names: set[str] = set()
    for node in nodes:
        names.update(node.input)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                names |= _names_read(attribute.g.node)
                names.update(output.name for output in attribute.g.output)
    return names


def _live_nodes(nodes: Sequence[Any], results: Sequence[str]) -> list[Any]:
    """The nodes that contribute to the results, in order."""
    wanted, live = set(results), []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            live.append(node)
            wanted |= _names_read([node])
    return live[::-1]


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:300]
