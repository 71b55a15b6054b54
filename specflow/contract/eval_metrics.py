"""Validation of (function, tensors) pairs: form, signature, batch-major tensors."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from specflow.contract.checked import Flaw, refuse
from specflow.contract.host_pair import HostPair
from specflow.diagnostics.errors import Diagnostic, spec_error
from specflow.runtime.typing import describe, is_array

__all__ = ["check_batch_major", "check_pair"]


class WrongRowsError(ValueError, RuntimeError):
    """Rows or arguments do not fit; TensorFlow raises RuntimeError for both."""


def check_pair(value: Any) -> HostPair | None:
    """Returns the pair as a `HostPair`, or raises its flaws.

    The function's signature is checked against the tensors: their number for a list,
    their names for a dict. Parameters with a default may be left out.
    """
    if value is None or isinstance(value, HostPair):
        return value
    if not isinstance(value, tuple | list) or len(value) != 2:
        refuse(
            Flaw(
                f"got {_form(value)}",
                expected="a pair (function, tensors)",
                hint="For example (metric_fn, {'labels': labels, 'logits': logits}).",
            )
        )
    function, tensors = value
    if not callable(function):
        refuse(
            Flaw(
                f"got {function!r:.60}", kind=TypeError, at="[0]", expected="a function"
            )
        )
    if not isinstance(tensors, tuple | list | Mapping):
        refuse(
            Flaw(
                f"got {describe(tensors)}",
                at="[1]",
                expected="a list of tensors (passed by position) or a dict (by name)",
            )
        )
    pair = HostPair(function, tensors)
    flaws = [
        Flaw(f"got {describe(tensor)}", kind=TypeError, at=f"[1][{name!r}]",
             expected="an array")
        for name, tensor in pair.named()
        if not is_array(tensor)
    ]  # fmt: skip
    flaws.extend(_signature_flaws(pair))
    if not flaws:
        flaws.extend(_batch_flaws(pair))
    if flaws:
        refuse(*flaws)
    return pair


def _form(value: Any) -> str:
    """The type of a value, with the length of a list or tuple."""
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return describe(value)


def _signature_flaws(pair: HostPair) -> Iterator[Flaw]:
    """Tensors that the function's signature does not accept."""
    try:
        signature = inspect.signature(pair.function)
    except (TypeError, ValueError):
        return  # A builtin without a signature fails when it is called.
    name = getattr(pair.function, "__name__", repr(pair.function))
    if isinstance(pair.tensors, Mapping):
        provided, kind = (
            f"names {', '.join(map(str, pair.tensors)) or 'none'}",
            TypeError,
        )
        arguments: tuple[tuple, dict] = ((), dict(pair.tensors))
    else:
        provided, kind = f"{len(pair.tensors)} tensors", WrongRowsError
        arguments = (tuple(pair.tensors), {})
    try:
        signature.bind(*arguments[0], **arguments[1])
    except TypeError as error:
        yield Flaw(
            f"got {provided}, but {name}{signature} does not accept them: {error}",
            kind=kind,
            at="[1]",
            expected="one tensor for each parameter without a default",
        )


def _batch_flaws(pair: HostPair, batch: int | None = None) -> Iterator[Flaw]:
    """Tensors whose first axis is not the batch, by default the most frequent size."""
    sizes = [tensor.shape[0] for _, tensor in pair.named() if tensor.shape]
    if batch is None:
        batch = max(sizes, key=sizes.count) if sizes else None
    other = next(
        (
            f"'{name}' is {describe(tensor)}"
            for name, tensor in pair.named()
            if tensor.shape and tensor.shape[0] == batch
        ),
        "",
    )
    for name, tensor in pair.named():
        if not tensor.shape or tensor.shape[0] != batch:
            yield Flaw(
                f"is {describe(tensor)}, and "
                + (
                    other
                    or (
                        "has no rows" if batch is None else f"the batch is {batch} rows"
                    )
                ),
                kind=WrongRowsError,
                at=f"[1][{name!r}]",
                expected="a batch-major tensor: its first axis is the batch",
                hint="Give one value for each example; reduce in the function.",
            )


def check_batch_major(pair: HostPair, batch: int, *, field: str) -> None:
    """Checks that the first axis of every tensor is the batch.

    Args:
        pair: function and tensors.
        batch: rows of the global batch.
        field: the spec's field, such as `eval_metrics`.

    Raises:
        SpecError: a tensor's first axis is not the batch; both shapes are named.
    """
    diagnostics = [
        Diagnostic(
            f"{field}{flaw.at}",
            flaw.problem if flaw.problem.endswith("rows") else f"{flaw.problem}",
            expected=flaw.expected,
            hint=flaw.hint,
            kind=flaw.kind,
            code="batch-major",
        )
        for flaw in _batch_flaws(pair, batch)
    ]
    if diagnostics:
        raise spec_error(*diagnostics)
