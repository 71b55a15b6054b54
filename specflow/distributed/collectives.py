"""Collective communication on the host: gather, broadcast, equality checks.

Every process has to make the same calls in the same order; each call waits for all of
them. With one process every call returns at once. An error that all processes raise has
an attribute `shared`: process 0 alone reports it.
"""

import contextlib
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

from specflow.diagnostics import errors, user_code
from specflow.diagnostics.errors import ConfigError, Diagnostic, SpecflowError

__all__ = [
    "Reply",
    "any_process",
    "check_equal",
    "coordination_service",
    "error_from_json",
    "error_to_json",
    "gather",
    "is_process_zero",
    "on_process_zero",
    "process_count",
    "process_index",
    "raise_on_all",
]

Reply: TypeAlias = dict[str, Any]
"""`{"result": value}`, or an error from `error_to_json`; plain JSON values."""

_Error = TypeVar("_Error", bound=BaseException)
_MAX_DIFFERENCES = 5
"""Differences that `check_equal` reports for each process."""
_POLL_MS = 1_000
"""Time-out of one request to the service; requests are repeated."""
_CALLS = itertools.count()
"""Numbers the calls of `gather`, which all processes make in the same order."""


def process_count() -> int:
    """Number of processes; 1 in one that has not loaded JAX, such as a supervisor."""
    if "jax" not in sys.modules:
        return 1
    import jax

    service = coordination_service()
    return jax.process_count() if service.client is None else service.num_processes


def process_index() -> int:
    """Number of this process, from 0; 0 in one that has not loaded JAX."""
    if "jax" not in sys.modules:
        return 0
    import jax

    service = coordination_service()
    return jax.process_index() if service.client is None else service.process_id


def is_process_zero() -> bool:
    """Returns whether this is process 0, which writes what exists once."""
    return process_index() == 0


def coordination_service() -> Any:
    """JAX's coordination service: `client`, `process_id` and `num_processes`.

    It is available before the devices are. `client` is None with one process.
    """
    from jax._src.distributed import global_state

    return global_state


def gather(value: Any) -> list[Any]:
    """Gathers a value from every process, in every process.

    Args:
        value: plain JSON values.

    Returns:
        The values by process index.

    >>> gather({"rows": 3})
    [{'rows': 3}]
    """
    if process_count() == 1:
        return [value]
    call = next(_CALLS)
    path = f"specflow/gather/{call}"
    text, client = json.dumps(value), coordination_service().client
    # Not on the devices: collectives fail where processes differ, and are slower.
    if is_process_zero():
        others = [_receive(f"{path}/{other}") for other in range(1, process_count())]
        gathered = f"[{', '.join([text, *others])}]"
        client.key_value_set(f"{path}/all", gathered)
        if call:
            # A process that has sent this value has read the previous result.
            client.key_value_delete(f"specflow/gather/{call - 1}")
    else:
        client.key_value_set(f"{path}/{process_index()}", text)
        gathered = _receive(f"{path}/all")
    return json.loads(gathered)


def _receive(key: str) -> str:
    """Waits for the message of another process."""
    while True:
        try:
            return coordination_service().client.blocking_key_value_get(key, _POLL_MS)
        except RuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise


def any_process(condition: bool) -> bool:
    """Returns whether a condition holds in any process.

    >>> any_process(False)
    False
    """
    return any(gather(condition))


def on_process_zero(function: Callable[[], Any]) -> Any:
    """Calls a function on process 0 and broadcasts its result.

    Returns:
        The result, plain JSON values.

    Raises:
        SpecflowError: the function failed; raised in every process.

    >>> on_process_zero(lambda: "runs/try1")
    'runs/try1'
    """
    if process_count() == 1:
        return function()
    reply: Reply = {}
    if is_process_zero():
        try:
            reply["result"] = function()
        except BaseException as error:
            gather(error_to_json(error))
            _shared(error)
            raise
    reply = gather(reply)[0]
    if "error" in reply:
        raise error_from_json(reply)
    return reply["result"]


@contextlib.contextmanager
def raise_on_all() -> Iterator[None]:
    """A block that fails in every process if it fails in one.

    All processes leave it at the same point, so later collective calls match. Each
    raises its own error or, without one, that of another process.

    Raises:
        SpecflowError: the block failed in another process.

    >>> with raise_on_all():
    ...     rows = 3
    """
    own: Exception | None = None
    try:
        yield
    except Exception as error:
        if process_count() == 1:
            raise
        own = error
    if process_count() == 1:
        return
    replies = gather(None if own is None else error_to_json(own))
    if own is not None:
        raise own
    for reply in replies:
        if reply is not None:
            raise _decode_error(reply)


def error_to_json(error: BaseException) -> Reply:
    """Encodes an error as plain JSON values, for the other processes.

    >>> error_to_json(ValueError("got -1"))["diagnostics"]
    [{'where': 'process 0', 'problem': 'got -1'}]
    """
    diagnostics = getattr(error, "diagnostics", None) or (str(error),)
    if not isinstance(error, SpecflowError) and user_code.is_users(error):
        text = f"{type(error).__name__}: {error}".rstrip(": ")
        diagnostic = Diagnostic(f"process {process_index()}", text, code="user-code")
        return {
            "error": "UserCodeError",
            "diagnostics": [_diagnostic_to_json(diagnostic)],
        }
    return {
        "error": type(error).__name__,
        "diagnostics": [_diagnostic_to_json(diagnostic) for diagnostic in diagnostics],
    }


def error_from_json(reply: Mapping[str, Any]) -> SpecflowError:
    """Decodes an error from `error_to_json`, to be raised by every process.

    >>> error_from_json(error_to_json(ValueError("got -1")))
    SpecflowError('process 0: got -1.')
    """
    return _shared(_decode_error(reply))


def _decode_error(reply: Mapping[str, Any]) -> SpecflowError:
    error_type = getattr(errors, reply["error"], SpecflowError)
    return error_type(*(Diagnostic.of(fields) for fields in reply["diagnostics"]))


def check_equal(what: str, values: Mapping[str, Any]) -> None:
    """Checks that every process passes the same values.

    Args:
        what: describes the values in the message.
        values: name -> plain JSON value.

    Raises:
        ConfigError: a process has another value than process 0; both are named.

    >>> check_equal("config", {"seed": 1})
    """
    if process_count() == 1:
        return
    first, *others = gather({name: json.dumps(values[name]) for name in sorted(values)})
    diagnostics = []
    for number, other in enumerate(others, 1):
        differing = [
            name for name in first | other if first.get(name) != other.get(name)
        ]
        diagnostics += [
            Diagnostic(
                name,
                f"is {other.get(name, 'missing')} in process {number}, and "
                f"{first.get(name, 'missing')} in process 0",
                expected=f"the same {what} in every process",
                code="processes-differ",
            )
            for name in differing[:_MAX_DIFFERENCES]
        ]
        if len(differing) > _MAX_DIFFERENCES:
            more = f"and {len(differing) - _MAX_DIFFERENCES} more in process {number}"
            diagnostics.append(Diagnostic("", more, code="processes-differ"))
    if diagnostics:
        raise _shared(ConfigError(*diagnostics))


def _shared(error: _Error) -> _Error:
    vars(error)["shared"] = True
    return error


def _diagnostic_to_json(diagnostic: Diagnostic | str) -> dict[str, str]:
    if isinstance(diagnostic, str):
        return {"where": f"process {process_index()}", "problem": diagnostic}
    names = ("where", "problem", "expected", "hint", "origin", "code")
    return {name: getattr(diagnostic, name) for name in names}
