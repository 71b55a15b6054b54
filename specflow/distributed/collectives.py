"""What processes that train together tell one another; one process alone says nothing.

Every process has to make the same calls in the same order: each waits for the others.
An error that all of them raise has an attribute `shared`: the first one tells it.
"""

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from specflow.diagnostics import errors, user_code
from specflow.diagnostics.errors import ConfigError, Diagnostic, SpecflowError

__all__ = [
    "agree",
    "alone",
    "any_of",
    "count",
    "from_words",
    "gather",
    "in_words",
    "index",
    "is_first",
    "service",
    "together",
]

_Error = TypeVar("_Error", bound=BaseException)
_MOST_TOLD = 5
_AT_ONCE_MS = 1_000
"""How long the service is asked at a time; then the question is asked again."""
_TURNS = itertools.count()
"""Numbers of the calls of `gather`: all processes make the same ones in order."""


def count() -> int:
    """How many processes there are."""
    import jax

    own = service()
    return jax.process_count() if own.client is None else own.num_processes


def index() -> int:
    """Which one this is."""
    import jax

    own = service()
    return jax.process_index() if own.client is None else own.process_id


def is_first() -> bool:
    """Whether this process is the one that writes what is one: process 0."""
    return index() == 0


def service() -> Any:
    """JAX's coordination service: `client`, `process_id` and `num_processes` as it has
    them; one process alone has no client.

    It is there before the devices are.
    """
    from jax._src.distributed import global_state

    return global_state


def gather(said: Any) -> list[Any]:
    """What each process says, in their order.

    Args:
        said: plain JSON values.

    >>> gather({"rows": 3})
    [{'rows': 3}]
    """
    if count() == 1:
        return [said]
    turn = next(_TURNS)
    path = f"specflow/gather/{turn}"
    text, client = json.dumps(said), service().client
    # Not by the devices: collectives of processes that differ fail, and are slower.
    if is_first():
        others = [_heard(f"{path}/{other}") for other in range(1, count())]
        gathered = f"[{', '.join([text, *others])}]"
        client.key_value_set(f"{path}/all", gathered)
        if turn:
            # Who spoke now has heard everything that was said before.
            client.key_value_delete(f"specflow/gather/{turn - 1}")
    else:
        client.key_value_set(f"{path}/{index()}", text)
        gathered = _heard(f"{path}/all")
    return json.loads(gathered)


def _heard(key: str) -> str:
    """What another process says, as soon as it does."""
    while True:
        try:
            return service().client.blocking_key_value_get(key, _AT_ONCE_MS)
        except RuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise


def any_of(wish: bool) -> bool:
    """Whether any process wishes it.

    >>> any_of(False)
    False
    """
    return any(gather(wish))


def alone(function: Callable[[], Any]) -> Any:
    """What a function gives that process 0 alone calls; plain JSON values.

    Raises:
        SpecflowError: it failed in process 0; every process says so.

    >>> alone(lambda: "runs/try1")
    'runs/try1'
    """
    if count() == 1:
        return function()
    said: dict[str, Any] = {}
    if is_first():
        try:
            said["result"] = function()
        except BaseException as error:
            gather(in_words(error))
            _shared(error)
            raise
    said = gather(said)[0]
    if "error" in said:
        raise from_words(said)
    return said["result"]


@contextlib.contextmanager
def together() -> Iterator[None]:
    """A block in every process; where it fails in one, it fails in all.

    Each process then is at the same place, and can do with the others what is left to
    do. Each raises its own error, or that of another one.

    Raises:
        SpecflowError: it failed in another process.

    >>> with together():
    ...     rows = 3
    """
    own: Exception | None = None
    try:
        yield
    except Exception as error:
        if count() == 1:
            raise
        own = error
    if count() == 1:
        return
    said = gather(None if own is None else in_words(own))
    if own is not None:
        raise own
    for other in said:
        if other is not None:
            raise _of_words(other)


def in_words(error: BaseException) -> dict[str, Any]:
    """An error as plain JSON values, for the other processes.

    >>> in_words(ValueError("got -1"))["diagnostics"]
    [{'where': 'process 0', 'problem': 'got -1'}]
    """
    diagnostics = getattr(error, "diagnostics", None) or (str(error),)
    if not isinstance(error, SpecflowError) and user_code.is_users(error):
        text = f"{type(error).__name__}: {error}".rstrip(": ")
        told = _told(Diagnostic(f"process {index()}", text, code="user-code"))
        return {"error": "UserCodeError", "diagnostics": [told]}
    return {
        "error": type(error).__name__,
        "diagnostics": [_told(diagnostic) for diagnostic in diagnostics],
    }


def from_words(said: Mapping[str, Any]) -> SpecflowError:
    """The error that `in_words` told, to be raised by every process.

    >>> from_words(in_words(ValueError("got -1")))
    SpecflowError('process 0: got -1.')
    """
    return _shared(_of_words(said))


def _of_words(said: Mapping[str, Any]) -> SpecflowError:
    kind = getattr(errors, said["error"], SpecflowError)
    return kind(*(Diagnostic.of(diagnostic) for diagnostic in said["diagnostics"]))


def agree(what: str, facts: Mapping[str, Any]) -> None:
    """Checks that all processes say the same.

    Args:
        what: that the facts are of, for the message.
        facts: name -> plain JSON value.

    Raises:
        ConfigError: one says something else than process 0; both are named.

    >>> agree("config", {"seed": 1})
    """
    if count() == 1:
        return
    first, *others = gather({name: json.dumps(facts[name]) for name in sorted(facts)})
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
            for name in differing[:_MOST_TOLD]
        ]
        if len(differing) > _MOST_TOLD:
            more = f"and {len(differing) - _MOST_TOLD} more in process {number}"
            diagnostics.append(Diagnostic("", more, code="processes-differ"))
    if diagnostics:
        raise _shared(ConfigError(*diagnostics))


def _shared(error: _Error) -> _Error:
    vars(error)["shared"] = True
    return error


def _told(diagnostic: Diagnostic | str) -> dict[str, str]:
    if isinstance(diagnostic, str):
        return {"where": f"process {index()}", "problem": diagnostic}
    names = ("where", "problem", "expected", "hint", "origin", "code")
    return {name: getattr(diagnostic, name) for name in names}
