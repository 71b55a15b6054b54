"""The (function, tensors) pair of `eval_metrics` and `host_call`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from specflow.diagnostics.errors import Diagnostic, SpecError, spec_error
from specflow.runtime.typing import describe

__all__ = ["HostPair"]


class HostPair(NamedTuple):
    """A function that runs on the host, and the batch-major tensors it is called with.

    >>> import numpy as np
    >>> pair = HostPair(lambda x: {"sum": x.sum()}, [np.arange(3)])
    >>> int(pair()["sum"])
    3
    """

    function: Callable[..., Any]
    tensors: Sequence[Any] | Mapping[str, Any]

    def named(self) -> Iterator[tuple[str, Any]]:
        """Name and value of each tensor; a name is a key of the dict or an index."""
        if isinstance(self.tensors, Mapping):
            yield from ((str(name), value) for name, value in self.tensors.items())
        else:
            yield from ((str(index), value) for index, value in enumerate(self.tensors))

    def has_values(self) -> bool:
        """Returns whether the tensors have values; while tracing they are abstract."""
        try:
            for _, tensor in self.named():
                _to_numpy(tensor)
        except SpecError:
            return False
        return True

    def __call__(self, rows: Any = None) -> Any:
        """Calls the function with NumPy rows: of a list by position, of a dict by name.

        Args:
            rows: arrays to pass in place of the tensors, in the same structure; by
                default the tensors themselves.

        Raises:
            SpecError: the tensors are abstract, as while tracing.
        """
        rows = self.tensors if rows is None else rows
        if isinstance(rows, Mapping):
            return self.function(**{name: _to_numpy(rows[name]) for name in rows})
        return self.function(*map(_to_numpy, rows))


def _to_numpy(value: Any) -> Any:
    try:
        return value.__array__()
    except (AttributeError, TypeError) as error:
        # JAX's TracerArrayConversionError is a TypeError; a ShapeDtypeStruct has none.
        raise spec_error(
            Diagnostic(
                "eval_metrics",
                f"{describe(value)} has no values yet",
                expected="arrays with values: metric functions run on the host",
                hint="Call as_estimator_spec() outside jit and eval_shape.",
                kind=RuntimeError,
                code="spec",
            )
        ) from error
