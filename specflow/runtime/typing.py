"""Duck types for arrays and trees, without importing JAX."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

__all__ = ["ArrayLike", "Tree", "describe", "is_array", "is_floating", "leaves"]


@runtime_checkable
class ArrayLike(Protocol):
    """A NumPy or JAX array, a tracer, or a ShapeDtypeStruct: a shape and a dtype."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...


Tree: TypeAlias = Any
"""An array, or nested dicts, lists and tuples of arrays."""


def is_array(value: object) -> bool:
    """Returns True for an array: anything with a shape and a dtype.

    >>> import numpy as np
    >>> is_array(np.zeros(3)), is_array(3.0)
    (True, False)
    """
    return isinstance(getattr(value, "shape", None), tuple) and hasattr(value, "dtype")


def is_floating(dtype: Any) -> bool:
    """Returns True for floating dtypes, including bfloat16 and float8.

    >>> import numpy as np
    >>> is_floating(np.dtype("float32")), is_floating(np.dtype("int32"))
    (True, False)
    """
    return "float" in str(dtype)


def describe(value: object) -> str:
    """Formats a value for messages: dtype and shape of an array, else the type.

    >>> import numpy as np
    >>> describe(np.zeros((2, 3), np.float32)), describe([1])
    ('float32[2,3]', 'list')
    """
    if is_array(value):
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"  # type: ignore[attr-defined]
    return type(value).__name__


def leaves(
    tree: Tree, path: str = "", *, join: Callable[[str, str], str] | None = None
) -> Iterator[tuple[str, Any]]:
    """Yields every leaf of nested dicts, lists and tuples with its path, in order.

    >>> list(leaves({"a": [1, 2], "b": 3}))
    [('a.0', 1), ('a.1', 2), ('b', 3)]
    """
    if isinstance(tree, Mapping):
        items = [(str(key), value) for key, value in tree.items()]
    elif isinstance(tree, list | tuple) and not hasattr(tree, "init"):
        items = [(str(index), value) for index, value in enumerate(tree)]
    else:
        yield path, tree
        return
    for key, value in items:
        yield from leaves(value, f"{path}.{key}" if path else key)
