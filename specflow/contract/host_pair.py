"""The (function, tensors) pair of `eval_metrics` and `host_call`, and its call."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from specflow.diagnostics.errors import Diagnostic, SpecError, spec_error
from specflow.runtime.typing import describe

__all__ = ["HostPair"]


class HostPair(NamedTuple):
    """A function of the host and the batch-major tensors that it is called with.

    >>> import numpy as np
    >>> pair = HostPair(lambda x: {"sum": x.sum()}, [np.arange(3)])
    >>> int(pair()["sum"])
    3
    """

    function: Callable[..., Any]
    tensors: Sequence[Any] | Mapping[str, Any]

    def named(self) -> Iterator[tuple[str, Any]]:
        """Each tensor with its name: the dict's key or the place in the list."""
        if isinstance(self.tensors, Mapping):
            yield from ((str(name), value) for name, value in self.tensors.items())
        else:
            yield from ((str(place), value) for place, value in enumerate(self.tensors))

    def has_values(self) -> bool:
        """Whether the tensors are more than shapes, as they are while tracing."""
        try:
            for _, tensor in self.named():
                _to_numpy(tensor)
        except SpecError:
            return False
        return True

    def __call__(self, rows: Any = None) -> Any:
        """Calls the function on NumPy rows, by place for a list and by name for a dict.

        Args:
            rows: what stands in for the tensors, in the same form; the tensors
                themselves if left out.

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
