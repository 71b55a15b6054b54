"""Frames of a traceback that are the user's own code, and their rendering."""

import sys
import sysconfig
import traceback
from collections.abc import Iterator
from types import FrameType

from specflow.diagnostics.errors import SpecflowError

__all__ = [
    "LAYER",
    "claim",
    "functions",
    "is_noise",
    "is_users",
    "packages",
    "traceback_of",
]

_CLAIMED: set[str] = set()
_OWN = ("specflow", "specflow_onnx", "specflow_savedmodel")
"""Packages of specflow's wheel."""
_MACHINERY = ("flax", "jax", "jaxlib", *_OWN)
LAYER = "The layer was "
"""Beginning of the note that names the layer of Flax in which an error was raised."""
_INSTALLED = ("/site-packages/", "/dist-packages/")
_JAX_NOTE = "--------------------\nFor simplicity, JAX has removed"
_IN_CALLBACK = "error calling callback: Traceback"
"""Text of a computation's error when its Python callback failed."""


def claim(module: str) -> None:
    """Registers a package as the user's, wherever it is installed.

    Args:
        module: dotted name of the package, or of a module in it.
    """
    _CLAIMED.add(module.partition(".")[0])


def is_noise(note: str) -> bool:
    """Returns True for a note that carries no information on the error."""
    return note.startswith(_JAX_NOTE)


def is_users(error: BaseException) -> bool:
    """Returns True if the user's code raised an error, or called what raised it.

    >>> is_users(ValueError("never raised"))
    False
    """
    return (
        any(True for _ in _frames(error))
        or _is_unreadable(error)
        or _IN_CALLBACK in str(error)
    )


def functions(error: BaseException) -> list[str]:
    """Returns dotted names of the user's functions in a traceback, outermost first."""
    frames = list(_frames(error))
    if not frames and error.__cause__ is not None:
        frames = list(_frames(error.__cause__))
    return [
        f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_qualname}"
        for frame in frames
    ]


def packages(error: BaseException) -> set[str]:
    """Returns the top-level packages of the functions in a traceback."""
    return {_root(frame) for frame in _walk(error)}


def traceback_of(error: BaseException, *, seen: frozenset[int] = frozenset()) -> str:
    """Formats the traceback of an error of the user's code, from that code on.

    Frames of specflow, JAX and Flax are left out, and those above the user's first one;
    so are earlier exceptions outside the user's code. For specflow's own errors the
    message is left out, since it is reported separately.

    Args:
        error: the error.
        seen: ids of errors that it caused, which may be its own causes.

    Returns:
        Lines as Python writes them; empty if the user's code is not involved.
    """
    if not any(True for _ in _frames(error)) and not _is_unreadable(error):
        if isinstance(error, SpecflowError):
            # Targets of one module fail with equal exceptions.
            causes = [
                error.__cause__,
                *(diagnostic.cause for diagnostic in error.diagnostics),
            ]
            seen |= {id(error)}
            texts = [
                traceback_of(cause, seen=seen)
                for cause in causes
                if cause is not None and id(cause) not in seen
            ]
            return "".join(dict.fromkeys(texts))
        _, marker, text = str(error).partition(_IN_CALLBACK)
        return f"Traceback{text.rstrip()}\n" if marker else ""
    if isinstance(error, SpecflowError) and _is_users([*_walk(error)][-1]):
        return ""  # The user's code wrote the message itself.
    shown = traceback.TracebackException.from_exception(error)
    _prune(shown, error)
    if isinstance(error, SpecflowError):
        return "".join(["Traceback (most recent call last):\n", *shown.stack.format()])
    return "".join(shown.format())


def _prune(shown: traceback.TracebackException, error: BaseException) -> None:
    own, all_frames = set(_frames(error)), list(_walk(error))
    first = next((i for i, frame in enumerate(all_frames) if frame in own), None)
    if first is None:
        shown.stack = None  # type: ignore[assignment]
    else:
        last = len(all_frames)
        if isinstance(error, SpecflowError):
            last = max(i for i, frame in enumerate(all_frames) if frame in own) + 1
        shown.stack[:] = [
            line
            for line, frame in list(zip(shown.stack, all_frames, strict=False))[
                first:last
            ]
            if _root(frame) not in _MACHINERY
        ]
    notes = getattr(shown, "__notes__", None) or ()
    shown.__notes__ = [note for note in notes if not is_noise(note)]  # type: ignore[attr-defined]
    for name in ("__cause__", "__context__"):
        inner, before = getattr(shown, name), getattr(error, name)
        if inner is None or before is None:
            continue
        if any(True for _ in _frames(before)) or _is_unreadable(before):
            _prune(inner, before)
        else:
            setattr(shown, name, None)


def _is_unreadable(error: BaseException) -> bool:
    """Returns True for a module that Python could not parse: no frame of it ran."""
    return isinstance(error, SyntaxError) and not str(error.filename).startswith("<")


def _walk(error: BaseException) -> Iterator[FrameType]:
    return (frame for frame, _ in traceback.walk_tb(error.__traceback__))


def _frames(error: BaseException) -> Iterator[FrameType]:
    """The user's frames below the call of specflow."""
    frames = list(_walk(error))
    ours = [i for i, frame in enumerate(frames) if _root(frame) in _OWN]
    return (frame for frame in frames[ours[0] if ours else 0 :] if _is_users(frame))


def _root(frame: FrameType) -> str:
    name = str(frame.f_globals.get("__name__", ""))
    if name == "__main__":  # A module of specflow's that Python runs, or the user's.
        ran = str(getattr(frame.f_globals.get("__spec__"), "name", ""))
        name = ran if ran.partition(".")[0] in _OWN else name
    # Hydra's namespace has plugins of specflow and of others.
    own = name.startswith("hydra_plugins.specflow_")
    return "specflow" if own else name.partition(".")[0]


def _is_users(frame: FrameType) -> bool:
    root, file = _root(frame), frame.f_code.co_filename
    if root in _CLAIMED:
        return True
    if root in _OWN or root in sys.stdlib_module_names - {"__main__"}:
        return False
    if root != "__main__" and file.startswith("<"):
        return False  # Made by a library, as dataclasses make methods.
    installed = any(part in file for part in _INSTALLED)
    return not installed and not file.startswith(sysconfig.get_path("stdlib"))
