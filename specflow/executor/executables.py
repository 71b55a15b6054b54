"""Executables that are shared by all programs of a process."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import Any

import jax
from jax.interpreters.partial_eval import dce_jaxpr

from specflow.executor.jaxprs import walk
from specflow.runtime.malloc_trim import give_back

__all__ = ["EXECUTABLES", "Executables", "digest", "program_key"]


class Executables:
    """Executables by the text of their program, the last used ones.

    Trials that run one after another in a process, and differ only in inputs of the
    program, compile once.

    Args:
        size: number of executables that are kept.
    """

    def __init__(self, size: int = 32):
        self._size = size
        self._lock = threading.Lock()
        self._compiled: OrderedDict[Hashable, jax.stages.Compiled] = OrderedDict()
        self.hits = 0
        """Number of programs that were compiled already."""

    def compile(
        self,
        traced: jax.stages.Traced,
        stage: jax.stages.Lowered,
        *,
        text: str | None = None,
        devices: tuple[Any, ...] = (),
        options: Mapping[str, Any] | None = None,
    ) -> jax.stages.Compiled:
        """Compiles a program, or returns the executable of an equal one.

        Args:
            traced: the program.
            stage: the program, lowered.
            text: `stage.as_text()`, if it is known.
            devices: the devices of its mesh.
            options: XLA's options.
        """
        same = program_key(traced, stage, text)
        if same is None:
            return stage.compile(compiler_options=_given(options))
        key = (
            same,
            tuple(sorted((options or {}).items())),
            tuple((device.platform, device.id) for device in devices),
        )
        with self._lock:
            if (compiled := self._compiled.get(key)) is not None:
                self._compiled.move_to_end(key)
                self.hits += 1
                return compiled
        compiled = stage.compile(compiler_options=_given(options))
        give_back()
        with self._lock:
            self._compiled[key] = compiled
            while len(self._compiled) > self._size:
                self._compiled.popitem(last=False)
        return compiled

    def clear(self) -> None:
        """Forgets all executables."""
        with self._lock:
            self._compiled.clear()

    def __len__(self) -> int:
        return len(self._compiled)


EXECUTABLES = Executables()
"""Executables of this process."""


def program_key(
    traced: jax.stages.Traced, stage: jax.stages.Lowered, text: str | None = None
) -> Hashable | None:
    """Returns what programs that compute the same have in common.

    Args:
        traced: the program.
        stage: the program, lowered.
        text: `stage.as_text()`, if it is known.

    Returns:
        None if no other program is known to compute the same.
    """
    jaxpr = traced.jaxpr
    if jaxpr.consts or _calls_host(jaxpr):
        # Values of constants may be arguments, which the text does not show, nor
        # does it show which Python function a callback is.
        return None
    return (
        digest(stage.as_text() if text is None else text),
        # Equal texts may have left out other arguments.
        _used(jaxpr),
        str(stage.in_tree),
        str(stage.out_tree),
    )


def digest(text: str) -> str:
    """Returns a digest of a text that no other text has.

    >>> digest("a") == digest("a"), digest("a") == digest("b")
    (True, False)
    """
    return hashlib.sha256(text.encode()).hexdigest()


def _given(options: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return dict(options) if options else None


def _used(jaxpr: Any) -> tuple[bool, ...]:
    """Returns which inputs of a jaxpr are used."""
    inner = getattr(jaxpr, "jaxpr", jaxpr)
    _, used = dce_jaxpr(inner, [True] * len(inner.outvars), instantiate=False)
    return tuple(used)


def _calls_host(jaxpr: Any) -> bool:
    """Returns whether a program calls a Python function while it runs."""
    # What is printed has an effect; a callback that is pure has none.
    return bool(jaxpr.effects) or any(
        "callback" in equation.primitive.name for equation in walk(jaxpr)
    )
