"""Names of the layer in which a model failed, for messages about shapes."""

from collections.abc import Iterator
from typing import Any

from specflow.diagnostics.user_code import LAYER
from specflow.runtime.typing import describe, is_array

__all__ = ["add_layer", "failed_layer"]

_DEEPEST = 20
"""Depth to which the layers of a model are searched."""


def failed_layer(error: BaseException) -> str:
    """Returns the layer of Flax that raised an error, its kernel and its input.

    Args:
        error: raised while a model was called. The outermost module is the model, whose
            attributes lead to the layer; a Linen module names its own path.

    Returns:
        Such as `out (Linear): its kernel is float32[100,10], its input
        float32[128,512]`; empty if no layer of Flax raised it.
    """
    frames, trace = [], error.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    for frame in reversed(frames):
        layer = frame.f_locals.get("self")
        module = type(layer).__module__
        if frame.f_code.co_name != "__call__" or not module.startswith("flax."):
            continue
        given = frame.f_locals.get("inputs", frame.f_locals.get("x"))
        if not is_array(given):
            continue
        kernel = _kernel(layer, frame.f_locals)
        parts = [f"its kernel is {describe(kernel)}"] if is_array(kernel) else []
        parts.append(f"its input {'' if parts else 'is '}{describe(given)}")
        model = next(filter(_is_module, (it.f_locals.get("self") for it in frames)))
        name = _path(layer, model)
        shown = f"{name} ({type(layer).__name__})" if name else type(layer).__name__
        return f"{shown}: {', '.join(parts)}"
    return ""


def add_layer(error: BaseException) -> None:
    """Adds a note with the layer that raised an error, unless there is one already."""
    notes = getattr(error, "__notes__", ())
    if any(note.startswith(LAYER) for note in notes):
        return
    if layer := failed_layer(error):
        error.add_note(f"{LAYER}{layer}.")


def _is_module(value: Any) -> bool:
    kinds = type(value).__mro__
    return any(
        it.__name__ == "Module" and it.__module__.startswith("flax") for it in kinds
    )


def _kernel(layer: Any, names: dict[str, Any]) -> Any:
    """Returns the kernel of a layer: of NNX an attribute, of Linen a local name."""
    if is_array(kernel := names.get("kernel")):
        return kernel
    own = vars(layer).get("kernel") if hasattr(layer, "__dict__") else None
    return own if own is None or is_array(own) else getattr(own, "value", None)


def _path(layer: Any, model: Any) -> str:
    path = getattr(layer, "path", None)
    if isinstance(path, tuple):  # Linen.
        return ".".join(map(str, path))
    return next((path for path, found in _layers(model) if found is layer), "")


def _layers(model: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yields dotted path and object of each layer of an NNX module."""
    if depth > _DEEPEST:
        return
    if isinstance(model, dict):
        items = list(model.items())
    elif isinstance(model, list | tuple):
        items = list(enumerate(model))
    elif hasattr(model, "__dict__") and not is_array(model):
        items = list(vars(model).items())
    else:
        return
    for name, inner in items:
        if str(name).startswith("_") and not str(name)[1:].isdecimal():
            continue
        at = f"{path}.{name}" if path else str(name)
        yield at, inner
        yield from _layers(inner, at, depth + 1)
