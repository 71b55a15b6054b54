"""An ONNX graph under construction, and the values that operations hand on."""

import dataclasses
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import ml_dtypes  # noqa: F401 - teaches NumPy the names of bfloat16 and its like
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
    """Sizes; None is known when the model is asked."""
    dtype: np.dtype[Any]
    known: np.ndarray | None = None
    """The value, where it is known now; it is put into the graph when it is used."""
    narrow: "Value | None" = None
    """What this was broadcast from, of the same rank: enough for whoever broadcasts."""
    counts: int | None = None
    """The axis along which it is 0, 1, 2, ..., if it is that."""

    @property
    def rank(self) -> int:
        return len(self.shape)


class Graph:
    """Collects nodes; equal ones are made once.

    Args:
        parent: the graph that this one is inside of, whose values it may read.
    """

    def __init__(self, parent: "Graph | None" = None):
        self.nodes: list[Any] = []
        self.parent = parent
        self.root: Graph = parent.root if parent else self
        self.constants: dict[str, np.ndarray] = {}
        self._made: dict[Any, list[str]] = {}
        self._count = 0

    def fresh(self, hint: str) -> str:
        """A name that no value has."""
        self.root._count += 1
        # No input or output of a signature has such a name: users write dotted ones.
        return f"/{hint}_{self.root._count}"

    def add(
        self,
        kind: str,
        *inputs: "Value | str | np.ndarray",
        outputs: int = 1,
        **attributes: Any,
    ) -> list[str]:
        """Names of what an ONNX operator gives.

        Args:
            kind: the operator.
            *inputs: values, their names, or constants; `""` leaves one out.
            outputs: how many results it has.
            **attributes: as ONNX names them.
        """
        onnx: Any = import_module("onnx")

        names = [one if isinstance(one, str) else self.name(one) for one in inputs]
        key = (kind, tuple(names), outputs, repr(sorted(attributes.items())))
        # What holds a graph is no key: its text is long, and no two are the same.
        pure = not any(isinstance(x, onnx.GraphProto) for x in attributes.values())
        if pure and (made := self._find(key)):
            return made
        made = [self.fresh(kind.lower()) for _ in range(outputs)]
        self.nodes.append(onnx.helper.make_node(kind, names, made, **attributes))
        if pure:
            self._made[key] = made
        return made

    def one(self, kind: str, *inputs: "Value | str | np.ndarray", **more: Any) -> str:
        """`add`, for operators of one result."""
        return self.add(kind, *inputs, **more)[0]

    def name(self, value: "Value | np.ndarray") -> str:
        """How nodes call a value; a known one becomes a constant of the graph."""
        if isinstance(value, Value):
            if value.known is None:
                return value.name
            value = value.known
        array = np.asarray(value)
        content = (array.dtype.name, array.shape, array.tobytes())
        if not (made := self.root._made.get(content)):
            made = self.root._made[content] = [self.fresh("constant")]
            self.root.constants[made[0]] = np.ascontiguousarray(array).reshape(
                array.shape
            )
        return made[0]

    def cast(self, value: "Value | str", dtype: Any) -> str:
        """The value in another dtype."""
        onnx: Any = import_module("onnx")

        to = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.one("Cast", value, to=to)

    def shape(self, value: Value) -> "Value | np.ndarray | str":
        """A shape that is held in a value, as ONNX wants one: int64."""
        if value.known is not None:
            return value.known.astype(np.int64)
        return value.name if value.dtype == np.int64 else self.cast(value, np.int64)

    def transposed(self, value: "Value | str", order: Sequence[int]) -> str:
        """The value with its axes in another order."""
        if list(order) == sorted(order):
            return value if isinstance(value, str) else self.name(value)
        return self.one("Transpose", value, perm=list(order))

    def _find(self, key: Any) -> list[str] | None:
        graph: Graph | None = self
        while graph is not None:
            if key in graph._made:
                return graph._made[key]
            graph = graph.parent
        return None


Handler = Callable[[Graph, Any, list[Value]], Sequence[str | Value]]
"""(graph, StableHLO operation, operands) -> its results: names, or values."""


def described(type: Any) -> tuple[Shape, np.dtype[Any]]:
    """Shape and dtype of an MLIR tensor type.

    Raises:
        NotConvertibleError: its elements are none of NumPy's.
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
    """The integers of an attribute, or the default where it is absent."""
    if name not in operation.attributes:
        return list(default)
    attribute = operation.attributes[name]
    return [int(number) for number in attribute]
