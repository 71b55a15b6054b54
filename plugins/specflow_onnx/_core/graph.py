"""Builder of an ONNX graph, and the values that operations pass on."""

import dataclasses
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import ml_dtypes  # noqa: F401 - registers bfloat16 and the float8s with NumPy
import numpy as np

from specflow.serving.convert import NotConvertibleError

__all__ = ["Graph", "Handler", "Shape", "Value", "axes", "described"]

Shape = tuple[int | None, ...]

_DTYPES = {
    "f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64",
    "i1": "bool", "i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64",
    "ui8": "uint8", "ui16": "uint16", "ui32": "uint32", "ui64": "uint64",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A tensor of the graph."""

    name: str
    shape: Shape
    """Sizes of the axes; None if known only at run time."""
    dtype: np.dtype[Any]
    known: np.ndarray | None = None
    """The value, if known at conversion time; it becomes a constant when it is used."""
    narrow: "Value | None" = None
    """The value before its broadcast, of equal rank, for operators that broadcast."""
    counts: int | None = None
    """Axis along which the value is 0, 1, 2, ...; None if it is no iota."""

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)


class Graph:
    """Collects nodes; equal nodes are created once.

    Args:
        parent: graph around this subgraph, whose values it may read.
    """

    def __init__(self, parent: "Graph | None" = None):
        self.nodes: list[Any] = []
        self.parent = parent
        self.root: Graph = parent.root if parent else self
        self.constants: dict[str, np.ndarray] = {}
        self._results: dict[Any, list[str]] = {}
        self._count = 0

    def fresh(self, hint: str) -> str:
        """Returns an unused name."""
        self.root._count += 1
        # Names of a signature's inputs and outputs are dotted, without slashes.
        return f"/{hint}_{self.root._count}"

    def add(
        self,
        kind: str,
        *inputs: "Value | str | np.ndarray",
        outputs: int = 1,
        **attributes: Any,
    ) -> list[str]:
        """Adds a node and returns the names of its results.

        Args:
            kind: operator, such as `MatMul`.
            *inputs: values, their names, or constants; `""` omits an optional one.
            outputs: number of results.
            **attributes: attributes of the operator.
        """
        onnx: Any = import_module("onnx")

        names = [each if isinstance(each, str) else self.name(each) for each in inputs]
        key = (kind, tuple(names), outputs, repr(sorted(attributes.items())))
        # Nodes with subgraphs are never equal, and their text is long.
        pure = not any(isinstance(x, onnx.GraphProto) for x in attributes.values())
        if pure and (results := self._find(key)):
            return results
        results = [self.fresh(kind.lower()) for _ in range(outputs)]
        self.nodes.append(onnx.helper.make_node(kind, names, results, **attributes))
        if pure:
            self._results[key] = results
        return results

    def op(self, kind: str, *inputs: "Value | str | np.ndarray", **more: Any) -> str:
        """Adds a node with a single result and returns its name."""
        return self.add(kind, *inputs, **more)[0]

    def name(self, value: "Value | np.ndarray") -> str:
        """Name of a value; a known one becomes a constant of the graph."""
        if isinstance(value, Value):
            if value.known is None:
                return value.name
            value = value.known
        array = np.asarray(value)
        content = (array.dtype.name, array.shape, array.tobytes())
        if not (names := self.root._results.get(content)):
            names = self.root._results[content] = [self.fresh("constant")]
            self.root.constants[names[0]] = np.ascontiguousarray(array).reshape(
                array.shape
            )
        return names[0]

    def cast(self, value: "Value | str", dtype: Any) -> str:
        """Casts a value to another dtype."""
        onnx: Any = import_module("onnx")

        to = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.op("Cast", value, to=to)

    def shape(self, value: Value) -> "Value | np.ndarray | str":
        """Casts a value that holds a shape to int64, as ONNX requires."""
        if value.known is not None:
            return value.known.astype(np.int64)
        return value.name if value.dtype == np.int64 else self.cast(value, np.int64)

    def transposed(self, value: "Value | str", order: Sequence[int]) -> str:
        """Transposes a value; returns it unchanged if the order is ascending."""
        if list(order) == sorted(order):
            return value if isinstance(value, str) else self.name(value)
        return self.op("Transpose", value, perm=list(order))

    def _find(self, key: Any) -> list[str] | None:
        """Results of an equal node in this graph or one around it."""
        graph: Graph | None = self
        while graph is not None:
            if key in graph._results:
                return graph._results[key]
            graph = graph.parent
        return None


Handler = Callable[[Graph, Any, list[Value]], Sequence[str | Value]]
"""(graph, StableHLO operation, operands) -> results, as names or values."""


def described(type: Any) -> tuple[Shape, np.dtype[Any]]:
    """Shape and dtype of an MLIR tensor type.

    Raises:
        NotConvertibleError: NumPy has no such element type.
    """
    element = str(type.element_type)
    if element not in _DTYPES:
        raise NotConvertibleError(f"numbers of type {element}")
    shape = tuple(
        None if type.is_dynamic_dim(axis) else type.get_dim_size(axis)
        for axis in range(type.rank)
    )
    return shape, np.dtype(_DTYPES[element])


def axes(operation: Any, name: str, default: Sequence[int] = ()) -> list[int]:
    """The integers of an attribute, or the default if it is absent."""
    if name not in operation.attributes:
        return list(default)
    attribute = operation.attributes[name]
    return [int(number) for number in attribute]
