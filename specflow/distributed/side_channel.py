"""What threads of processes that train together tell one another, beside the training.

They make no computation of it, as `peers` do: a thread would mix it with the steps, and
processes have to compute the same in the same order. Words go over JAX's coordination
service instead.
"""

import json
import math
import time
from collections.abc import Callable
from typing import Any

from specflow.distributed import collectives

__all__ = ["Aside"]

_AT_ONCE_MS = 1_000
"""How long the service is asked at a time; then the question is asked again."""
_PATIENCE_S = 10.0
"""How long a word is waited for when the others may be lost."""


class Aside:
    """A line between threads, one of each process; each makes the same calls in order.

    A wait ends when the word comes, or with the process: JAX ends that when another one
    is lost, and `alarm` when another one says that it fails.

    Args:
        name: of the line, the same in every process and of no other line.
    """

    def __init__(self, name: str):
        self._client = collectives.service().client
        self._path = f"specflow/aside/{name}"
        self._turn = self._kept = 0
        self._until = math.inf

    def hurry(self) -> None:
        """Says that the others may be lost: from now on, waits end after a while.

        Any thread may say so.
        """
        self._until = time.monotonic() + _PATIENCE_S

    def alone(self, function: Callable[[], Any]) -> Any:
        """What a function gives that process 0 alone calls; plain JSON values.

        Raises:
            SpecflowError: it failed in process 0; every process says so.
        """
        self._turn += 1
        own: Exception | None = None
        if collectives.is_first():
            said, own = _outcome(function)
            self._say("all", said)
        else:
            said = self._hear("all")
        return _result(said, own)

    def each(self, function: Callable[[], None]) -> None:
        """Calls a function in every process; returns when it is done in all.

        Raises:
            SpecflowError: it failed in one process; every process says so.
        """
        self._turn += 1
        said, own = _outcome(function)
        self._say(str(collectives.index()), said)
        if collectives.is_first():
            everyone = [self._hear(str(index)) for index in range(collectives.count())]
            for turn in range(self._kept, self._turn):
                # Who spoke now has heard everything that was said before.
                self._client.key_value_delete(f"{self._path}/{turn}")
            self._kept = self._turn
            said = next((one for one in everyone if "error" in one), said)
            self._say("all", said)
        _result(self._hear("all"), own)

    def withdraw(self) -> None:
        """Takes back what this process said last, as nobody answered.

        One that comes later must not take it for there.
        """
        self._client.key_value_delete(
            f"{self._path}/{self._turn}/{collectives.index()}"
        )

    def _say(self, who: str, said: dict[str, Any]) -> None:
        self._client.key_value_set(f"{self._path}/{self._turn}/{who}", json.dumps(said))

    def _hear(self, who: str) -> dict[str, Any]:
        while time.monotonic() < self._until:
            try:
                said = self._client.blocking_key_value_get(
                    f"{self._path}/{self._turn}/{who}", _AT_ONCE_MS
                )
            except RuntimeError as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise
                continue
            return json.loads(said)
        raise TimeoutError("the other processes say nothing any more")


def _outcome(
    function: Callable[[], Any],
) -> tuple[dict[str, Any], Exception | None]:
    try:
        return {"result": function()}, None
    except Exception as error:
        return collectives.in_words(error), error


def _result(said: dict[str, Any], own: Exception | None) -> Any:
    if "error" in said:
        raise collectives.from_words(said) from own
    return said["result"]
