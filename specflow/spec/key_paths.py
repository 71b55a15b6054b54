"""Key paths: the names of tensors of the batch and the model in a `spec` section."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from specflow.diagnostics.errors import Diagnostic, did_you_mean, nearest, spec_error
from specflow.runtime.typing import ArrayLike, Tree, describe, is_array, leaves

__all__ = ["Scope", "resolve", "resolve_all"]

Scope: TypeAlias = Mapping[str, Tree]
"""Tensors by root: `features`, `labels`, `outputs`, `predictions`, `losses`."""


def resolve(path: str, scope: Scope, *, where: str) -> Any:
    """Returns the tensor that a key path names.

    Args:
        path: such as `features.image`, `labels` or `outputs.0`; a name may contain
            dots, as in `features.Sepal.Length`.
        scope: tensors by root.
        where: config key that has the path, for the message.

    Raises:
        SpecError: the path names no tensor, or several.

    >>> import numpy as np
    >>> scope = {"outputs": {"logits": np.zeros((2, 3))}}
    >>> resolve("outputs.logits", scope, where="spec.loss.ce.logits").shape
    (2, 3)
    >>> resolve("outputs.logit", scope, where="spec.loss.ce.logits")
    Traceback (most recent call last):
    specflow.SpecError: spec.loss.ce.logits: outputs.logit names no
    tensor. Expected one of outputs.logits. Did you mean outputs.logits?
    """
    root, _, field = where.rpartition(".")
    return resolve_all({field: path}, scope, where=root)[field]


def resolve_all(
    paths: Mapping[str, str], scope: Scope, *, where: str, trees: bool = False
) -> dict[str, Any]:
    """Returns the tensors that the fields of a loss, metric or other component name.

    Args:
        paths: field -> key path.
        scope: tensors by root.
        where: config key of the component.
        trees: a path may also name a dict of tensors, such as `features.categories`.

    Raises:
        SpecError: paths name no tensors; all of the component's are reported.
    """
    tensors = {field: _find(path, scope) for field, path in paths.items()}
    diagnostics = [
        _diagnostic(paths[field], value, scope, where=f"{where}.{field}")
        for field, value in tensors.items()
        if not is_array(value) and not (trees and isinstance(value, Mapping) and value)
    ]
    if diagnostics:
        raise spec_error(*diagnostics)
    return tensors


def _find(path: str, scope: Scope) -> Any:
    """The value at a path, which may be no tensor; None if there is none."""
    return _below(scope, path.split("."))


def _below(value: Any, names: list[str]) -> Any:
    """The value below `value` at these names, a tensor if there is one.

    A name may contain dots: the longest name is tried first, and shorter ones if it
    yields no tensor, so that every path listed by a message can be used.
    """
    if not names:
        return value
    fallback = None
    if isinstance(value, Mapping):
        named = {str(key): inner for key, inner in value.items()}
        for count in range(len(names), 0, -1):
            inner = named.get(".".join(names[:count]))
            below = None if inner is None else _below(inner, names[count:])
            if is_array(below):
                return below
            fallback = below if fallback is None else fallback
    elif isinstance(value, list | tuple) and names[0].isdecimal():
        index = int(names[0])
        return _below(value[index], names[1:]) if index < len(value) else None
    return fallback


def _diagnostic(path: str, value: Any, scope: Scope, *, where: str) -> Diagnostic:
    """Reports a path whose value is no tensor; `value` is None if there is none."""
    root = path.partition(".")[0]
    if scope.get(root) is None:
        return Diagnostic(
            where, f"{path} names no tensor: there are no {root}", code="key-path"
        )
    choices = [
        name for name, leaf in leaves(scope[root], root) if isinstance(leaf, ArrayLike)
    ]
    listed = ", ".join(choices)
    if value is None:
        problem = f"{path} names no tensor"
        if choices == [root]:
            problem += f": {root} is a single tensor, {describe(scope[root])}"
        return Diagnostic(
            where,
            problem,
            expected=f"one of {listed}" if listed else f"a tensor in {root}",
            hint=_hint(root, path, choices),
            code="key-path",
        )
    below = [name for name in choices if name.startswith(f"{path}.")]
    return Diagnostic(
        where,
        f"{path} is a {describe(value)}, not a tensor",
        expected=f"one of {', '.join(below)}" if below else "a tensor",
        code="key-path",
    )


def _hint(root: str, path: str, choices: list[str]) -> str:
    """Suggests the nearest path of the root."""
    if choices == [root]:
        return did_you_mean(root)
    # Compared without the shared root, which would make any two names similar.
    names = [choice.removeprefix(f"{root}.") for choice in choices]
    prefix = f"{root}."
    return did_you_mean(nearest(path.removeprefix(prefix), names), prefix=prefix)
