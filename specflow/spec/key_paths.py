"""Key paths: how a declared spec names the tensors of a batch and of a model."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from specflow.diagnostics.errors import Diagnostic, did_you_mean, nearest, spec_error
from specflow.runtime.typing import ArrayLike, Tree, describe, is_array, leaves

__all__ = ["Scope", "resolve", "resolve_all"]

Scope: TypeAlias = Mapping[str, Tree]
"""Root -> tensors: `features`, `labels`, `outputs`, `predictions`, `losses`."""


def resolve(path: str, scope: Scope, *, where: str) -> Any:
    """The tensor that a key path names.

    Args:
        path: such as `features.image`, `labels` or `outputs.0`; a name in it may have
            dots, as `features.Sepal.Length`.
        scope: what there is.
        where: the key of the spec in which the path stands, for the message.

    Raises:
        SpecError: the path leads nowhere, or to several tensors.

    >>> import numpy as np
    >>> scope = {"outputs": {"logits": np.zeros((2, 3))}}
    >>> resolve("outputs.logits", scope, where="spec.loss.ce.logits").shape
    (2, 3)
    >>> resolve("outputs.logit", scope, where="spec.loss.ce.logits")
    Traceback (most recent call last):
    specflow.SpecError: spec.loss.ce.logits: outputs.logit leads
    nowhere. Expected one of outputs.logits. Did you mean outputs.logits?
    """
    root, _, field = where.rpartition(".")
    return resolve_all({field: path}, scope, where=root)[field]


def resolve_all(
    paths: Mapping[str, str], scope: Scope, *, where: str
) -> dict[str, Any]:
    """The tensors that the fields of a declared part name.

    Args:
        paths: field -> key path.
        scope: what there is.
        where: the key of the part.

    Raises:
        SpecError: paths lead nowhere; all of this part's together.
    """
    found = {field: _find(path, scope) for field, path in paths.items()}
    diagnostics = [
        _diagnostic(paths[field], value, scope, where=f"{where}.{field}")
        for field, value in found.items()
        if not is_array(value)
    ]
    if diagnostics:
        raise spec_error(*diagnostics)
    return found


def _find(path: str, scope: Scope) -> Any:
    """What stands at the end of a path; None if it leads nowhere."""
    return _below(scope, path.split("."))


def _below(value: Any, names: list[str]) -> Any:
    """What these names lead to: a tensor, if there is one.

    A name may have dots itself: the longest one is tried first, and a shorter one where
    that leads to no tensor, so that every path that a message lists can be written.
    """
    if not names:
        return value
    other = None
    if isinstance(value, Mapping):
        named = {str(key): inner for key, inner in value.items()}
        for count in range(len(names), 0, -1):
            inner = named.get(".".join(names[:count]))
            found = None if inner is None else _below(inner, names[count:])
            if is_array(found):
                return found
            other = found if other is None else other
    elif isinstance(value, list | tuple) and names[0].isdecimal():
        place = int(names[0])
        return _below(value[place], names[1:]) if place < len(value) else None
    return other


def _diagnostic(path: str, found: Any, scope: Scope, *, where: str) -> Diagnostic:
    root = path.partition(".")[0]
    if scope.get(root) is None:
        return Diagnostic(
            where, f"{path} leads nowhere: there are no {root} here", code="key-path"
        )
    choices = [
        name for name, leaf in leaves(scope[root], root) if isinstance(leaf, ArrayLike)
    ]
    listed = ", ".join(choices)
    if found is None:
        problem = f"{path} leads nowhere"
        if choices == [root]:
            problem += f": {root} is one tensor, {describe(scope[root])}"
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
        f"{path} is no tensor but a {describe(found)}",
        expected=f"one of {', '.join(below)}" if below else "a tensor",
        code="key-path",
    )


def _hint(root: str, path: str, choices: list[str]) -> str:
    if choices == [root]:
        return did_you_mean(root)
    # Without the root, which they share: it would make any two names look alike.
    names = [choice.removeprefix(f"{root}.") for choice in choices]
    prefix = f"{root}."
    return did_you_mean(nearest(path.removeprefix(prefix), names), prefix=prefix)
