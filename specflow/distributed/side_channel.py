"""Communication between threads of several processes, concurrent with training.

Messages go over JAX's coordination service. A collective on the devices would mix with
those of the training steps, and all processes have to run the same computations in the
same order.
"""

import json
import math
import time
from collections.abc import Callable
from typing import Any

from specflow.distributed import collectives
from specflow.distributed.collectives import Reply

__all__ = ["SideChannel"]

_POLL_MS = 1_000
"""Time-out of one request to the service; requests are repeated."""
_EXPIRY_S = 10.0
"""Seconds that calls wait after `expire_soon`."""


class SideChannel:
    """Collective calls of threads, one in each process, all in the same order.

    A call waits until the message arrives or the process ends: JAX ends it when another
    process is lost, `failure` when another process reports that it fails.

    Args:
        name: of the channel, the same in every process and unique within the run.
    """

    def __init__(self, name: str):
        self._client = collectives.coordination_service().client
        self._path = f"specflow/side_channel/{name}"
        self._call = self._deleted = 0
        self._deadline = math.inf

    def expire_soon(self) -> None:
        """Sets a deadline for all calls, since other processes may be lost.

        Safe to call from any thread.
        """
        self._deadline = time.monotonic() + _EXPIRY_S

    def on_process_zero(self, function: Callable[[], Any]) -> Any:
        """Calls a function on process 0 and broadcasts its result.

        Returns:
            The result, plain JSON values.

        Raises:
            SpecflowError: the function failed; raised in every process.
        """
        self._call += 1
        own: Exception | None = None
        if collectives.is_process_zero():
            reply, own = _reply(function)
            self._send("all", reply)
        else:
            reply = self._receive("all")
        return _result(reply, own)

    def on_every_process(self, function: Callable[[], None]) -> None:
        """Calls a function in every process; returns when all have finished.

        Raises:
            SpecflowError: the function failed in a process; raised in every process.
        """
        self._call += 1
        reply, own = _reply(function)
        self._send(str(collectives.process_index()), reply)
        if collectives.is_process_zero():
            replies = [
                self._receive(str(index))
                for index in range(collectives.process_count())
            ]
            for call in range(self._deleted, self._call):
                # A process that has sent this reply has read all earlier ones.
                self._client.key_value_delete(f"{self._path}/{call}")
            self._deleted = self._call
            failed = (other for other in replies if "error" in other)
            self._send("all", next(failed, reply))
        _result(self._receive("all"), own)

    def retract(self) -> None:
        """Deletes this process's last message, after no other process answered.

        A process that arrives later must not find it.
        """
        self._client.key_value_delete(
            f"{self._path}/{self._call}/{collectives.process_index()}"
        )

    def _send(self, recipient: str, reply: Reply) -> None:
        self._client.key_value_set(
            f"{self._path}/{self._call}/{recipient}", json.dumps(reply)
        )

    def _receive(self, sender: str) -> Reply:
        while time.monotonic() < self._deadline:
            try:
                message = self._client.blocking_key_value_get(
                    f"{self._path}/{self._call}/{sender}", _POLL_MS
                )
            except RuntimeError as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise
                continue
            return json.loads(message)
        raise TimeoutError("the other processes no longer respond")


def _reply(function: Callable[[], Any]) -> tuple[Reply, Exception | None]:
    try:
        return {"result": function()}, None
    except Exception as error:
        return collectives.error_to_json(error), error


def _result(reply: Reply, own: Exception | None) -> Any:
    if "error" in reply:
        raise collectives.error_from_json(reply) from own
    return reply["result"]
