"""State of a run on the host: every part that a checkpoint has beside the arrays."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.loop import decoded, encoded, state_methods

__all__ = ["RunState", "Stateful", "UserPart"]

_LOG = logging.getLogger("specflow")

_OF_SPEC = "spec's evaluation hook"
"""Kind of the hooks in `TPUEstimatorSpec.evaluation_hooks`."""

Made = TypeVar("Made", bound="HasState")


class HasState(Protocol):
    """Part of a run whose state can be saved."""

    def state(self, step: int) -> Any:
        """Returns the state after `step` as JSON values; None: as at the start."""
        ...


class Stateful(HasState, Protocol):
    """Part of a run whose state can be saved and restored."""

    def restore(self, value: Any) -> None:
        """Continues from the result of `state`, in an earlier process or attempt."""
        ...


class RunState:
    """Registry of the parts of a run that have a state on the host.

    Whatever counts, averages, waits or remembers during training registers here: each
    checkpoint stores the state of each part by its name, and a part gets it back when
    it registers in a run that resumes. A part that the checkpoint does not have, as it
    is new or was turned off then, starts as in a new run; the state of a part that is
    gone is dropped. One log line names both.

    Args:
        saved: result of `state` in the checkpoint; None: the run begins.

    >>> class Counter:
    ...     count = 0
    ...     def state(self, step):
    ...         return self.count
    ...     def restore(self, count):
    ...         self.count = count
    >>> run, counter = RunState(), Counter()
    >>> run.add("counter", counter)
    >>> counter.count += 7
    >>> run.state(100)
    {'counter': 7}
    >>> resumed = Counter()
    >>> RunState(run.state(100)).add("counter", resumed)
    >>> resumed.count
    7
    """

    def __init__(self, saved: Mapping[str, Any] | None = None):
        self._saved = None if saved is None else dict(saved)
        """States that no part has taken yet; None: the run begins, or all are taken."""
        self._new: list[str] = []
        """Parts that the checkpoint does not have."""
        self._parts: dict[str, HasState] = {}
        self._later: dict[str, Any] = {}
        """States of hooks that only the first evaluation makes known."""

    def add(self, name: str, part: Stateful) -> None:
        """Registers a part, and restores its state.

        Args:
            name: its name in the checkpoint, unique within the run.
            part: the part.
        """
        self._register(name, part)
        if (value := self._take(name)) is not None:
            part.restore(value)

    def make(self, name: str, build: Callable[[Any], Made]) -> Made:
        """Builds and registers a part whose constructor takes its state.

        Args:
            name: its name in the checkpoint.
            build: takes the saved state, or None.
        """
        part = build(self._take(name))
        self._register(name, part)
        return part

    def add_user_parts(self, kind: str, objects: Iterable[Any]) -> None:
        """Registers the objects of the user that have `state_methods`.

        They are named by their class, and numbered from the second of a class on.

        Args:
            kind: what they are, such as `hook`: the first word of their names.
            objects: the objects; one that is registered already is passed over.
        """
        for part in objects:
            known = [
                each for each in self._parts.values() if isinstance(each, UserPart)
            ]
            if state_methods(part) is None or any(each.of is part for each in known):
                continue
            first = name = f"{kind} {type(part).__name__}"
            number = 1
            while name in self._parts:
                number += 1
                name = f"{first} {number}"
            self.add(name, UserPart(name, part))

    def add_hooks_of_evaluations(self, hooks: Iterable[Any]) -> None:
        """Registers the evaluation hooks of the spec, which the first evaluation makes.

        Args:
            hooks: the hooks, before they are called.

        Raises:
            DataError: a state of the user cannot be read or saved.
        """
        self.add_user_parts(_OF_SPEC, hooks)
        self._later = {}

    def state(self, step: int, *, after_error: bool = False) -> dict[str, Any]:
        """Returns the state of every part after a step, as JSON values by name.

        Args:
            step: step of the checkpoint.
            after_error: whether a part of the user that fails is left out, so that the
                checkpoint is written nevertheless.
        """
        states = {}
        for name, part in self._parts.items():
            try:
                states[name] = part.state(step)
            except Exception as error:
                if not (after_error and isinstance(part, UserPart)):
                    raise
                _LOG.warning("the state of %s is not saved: %s", name, error)
        return {**self._later, **states}

    def check(self, step: int) -> None:
        """Logs which parts do not resume, and reads the user's states once.

        Args:
            step: step at which training starts, after all parts have registered.

        Raises:
            DataError: A state of the user cannot be saved: training would fail at the
                first checkpoint.
        """
        for part in self._parts.values():
            if isinstance(part, UserPart):
                part.state(step)
        saved, self._saved = self._saved or {}, None
        self._later = {
            name: saved.pop(name) for name in [*saved] if name.startswith(_OF_SPEC)
        }
        new, unused = self._new, list(saved)
        self._new = []
        if not new:
            return
        is_users = any(isinstance(self._parts[name], UserPart) for name in new)
        _LOG.log(
            logging.WARNING if is_users else logging.INFO,
            "the checkpoint of step %d has no state of %s: it starts anew%s",
            step,
            ", ".join(new),
            f" (unused: {', '.join(unused)})" if unused else "",
        )

    def _take(self, name: str) -> Any:
        """Returns the saved state of a part, or None."""
        if self._saved is None:
            return self._later.pop(name, None)
        if name not in self._saved:
            self._new.append(name)
        return self._saved.pop(name, None)

    def _register(self, name: str, part: HasState) -> None:
        assert name not in self._parts, f"two parts of a run are named {name!r}"
        self._parts[name] = part


class UserPart:
    """State of an object of the user, with the methods that iterators have.

    Args:
        name: name for messages.
        of: the object.

    Raises:
        TypeError: it has no such methods.
    """

    def __init__(self, name: str, of: Any):
        methods = state_methods(of)
        if methods is None:
            raise TypeError(f"{name} has no state")
        self._name, self.of = name, of
        self._read, self._write = methods

    def state(self, step: int) -> Any:
        """Returns the object's state as JSON values.

        Raises:
            DataError: it holds something else than numbers, texts, arrays and the like.
        """
        # In a list, as None is a state too.
        return [encoded(self._read(), where=f"the state of {self._name}")]

    def restore(self, value: Any) -> None:
        """Sets the object's state.

        Raises:
            DataError: the checkpoint's was not written by this version.
        """
        try:
            (state,) = decoded(value)
        except (LookupError, TypeError, ValueError) as error:
            raise DataError(
                Diagnostic(
                    f"the state of {self._name}",
                    f"cannot be read from the checkpoint: {error}",
                    expected="one that this version of specflow wrote",
                    code="hook-state",
                )
            ) from error
        self._write(state)
