"""Which frames of a traceback are the user's own code, and how they are shown."""

import sys
import sysconfig
import traceback
from collections.abc import Iterator
from types import FrameType

from specflow.diagnostics.errors import SpecflowError

__all__ = ["claim", "is_noise", "is_users", "places", "traceback_of"]

_CLAIMED: set[str] = set()
_MACHINERY = ("flax", "jax", "jaxlib", "specflow")
_INSTALLED = ("/site-packages/", "/dist-packages/")
_JAX_NOTE = "--------------------\nFor simplicity, JAX has removed"
_IN_CALLBACK = "error calling callback: Traceback"
"""What an error of a computation says when Python, called by it, has failed."""


def claim(module: str) -> None:
    """Notes that a package is the user's, wherever it is installed.

    Args:
        module: dotted name of it, or of anything in it.
    """
    _CLAIMED.add(module.partition(".")[0])


def is_noise(note: str) -> bool:
    """Whether a note of an error says nothing of it."""
    return note.startswith(_JAX_NOTE)


def is_users(error: BaseException) -> bool:
    """Whether code of the user's raised an error, or called what raised it.

    >>> is_users(ValueError("never raised"))
    False
    """
    return (
        any(True for _ in _frames(error))
        or _is_unreadable(error)
        or _IN_CALLBACK in str(error)
    )


def places(error: BaseException) -> list[str]:
    """Dotted names of the user's functions that an error came through, in order."""
    found = list(_frames(error))
    if not found and error.__cause__ is not None:
        found = list(_frames(error.__cause__))
    return [
        f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_qualname}"
        for frame in found
    ]


def traceback_of(error: BaseException) -> str:
    """The traceback of an error of the user's code, from that code on.

    Frames of specflow, JAX and Flax are left out, and those above the user's first one;
    so are earlier exceptions that are none of the user's. Of specflow's own errors the
    message is left out, which is shown otherwise.

    Returns:
        Lines as Python writes them; empty if no code of the user's is concerned.
    """
    if not any(True for _ in _frames(error)) and not _is_unreadable(error):
        if isinstance(error, SpecflowError):
            # Targets of one module fail alike, each with an exception of its own.
            causes = [
                error.__cause__,
                *(diagnostic.cause for diagnostic in error.diagnostics),
            ]
            texts = [traceback_of(cause) for cause in causes if cause is not None]
            return "".join(dict.fromkeys(texts))
        _, found, text = str(error).partition(_IN_CALLBACK)
        return f"Traceback{text.rstrip()}\n" if found else ""
    if isinstance(error, SpecflowError) and _is_users([*_walk(error)][-1]):
        return ""  # Who raises it has written the message.
    shown = traceback.TracebackException.from_exception(error)
    _prune(shown, error)
    if isinstance(error, SpecflowError):
        return "".join(["Traceback (most recent call last):\n", *shown.stack.format()])
    return "".join(shown.format())


def _prune(shown: traceback.TracebackException, error: BaseException) -> None:
    own, all_frames = set(_frames(error)), list(_walk(error))
    first = next((i for i, one in enumerate(all_frames) if one in own), None)
    if first is None:
        shown.stack = None  # type: ignore[assignment]
    else:
        last = len(all_frames)
        if isinstance(error, SpecflowError):
            last = max(i for i, one in enumerate(all_frames) if one in own) + 1
        shown.stack[:] = [
            line
            for line, frame in list(zip(shown.stack, all_frames, strict=False))[
                first:last
            ]
            if _root(frame) not in _MACHINERY
        ]
    notes = getattr(shown, "__notes__", None) or ()
    shown.__notes__ = [one for one in notes if not is_noise(one)]  # type: ignore[attr-defined]
    for name in ("__cause__", "__context__"):
        inner, before = getattr(shown, name), getattr(error, name)
        if inner is None or before is None:
            continue
        if any(True for _ in _frames(before)) or _is_unreadable(before):
            _prune(inner, before)
        else:
            setattr(shown, name, None)


def _is_unreadable(error: BaseException) -> bool:
    """Whether Python could not read a module: it names the file, and ran no frame."""
    return isinstance(error, SyntaxError) and not str(error.filename).startswith("<")


def _walk(error: BaseException) -> Iterator[FrameType]:
    return (frame for frame, _ in traceback.walk_tb(error.__traceback__))


def _frames(error: BaseException) -> Iterator[FrameType]:
    """The user's frames; what called specflow is none of an error's causes."""
    frames = list(_walk(error))
    ours = [i for i, frame in enumerate(frames) if _root(frame) == "specflow"]
    return (frame for frame in frames[ours[0] if ours else 0 :] if _is_users(frame))


def _root(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _is_users(frame: FrameType) -> bool:
    root, file = _root(frame), frame.f_code.co_filename
    if root in _CLAIMED:
        return True
    if root == "specflow" or root in sys.stdlib_module_names - {"__main__"}:
        return False
    if root != "__main__" and file.startswith("<"):
        return False  # Made by a library, as dataclasses make methods.
    installed = any(part in file for part in _INSTALLED)
    return not installed and not file.startswith(sysconfig.get_path("stdlib"))
