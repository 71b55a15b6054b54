"""Plan of a warm start, from names and shapes of a checkpoint."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from specflow.diagnostics.errors import Diagnostic, did_you_mean, nearest
from specflow.lifecycle.warm_settings import WarmStartSettings
from specflow.runtime.formatting import columns, short
from specflow.runtime.typing import describe

__all__ = ["WarmPlan", "WarmRow", "plan"]

_PARTS = {"state": "model state", "opt_state": "optimizer state"}
_STATISTICS = "batch_stats."
"""Collection in the path of a Linen module's batch statistics."""
_MOST_SHOWN = 6


@dataclasses.dataclass(frozen=True, slots=True)
class WarmRow:
    """A parameter in the table of a warm start."""

    array: str
    """Its path in this model; empty if the checkpoint alone has it."""
    source: str
    """Its path in the checkpoint; empty if it is not restored."""
    shape: str
    result: Literal["taken", "initialized", "left out"]
    """`left out`: of the checkpoint, it has no use here."""
    reason: str = ""
    """Why it is not taken, or how its rows are."""

    def cells(self) -> tuple[str, ...]:
        """The row of a table."""
        separator = ", " if self.result == "taken" else ": "
        result = separator.join(filter(None, (self.result, self.reason)))
        return (self.array or "-", self.source or "-", self.shape, result)

    def to_plain(self) -> dict[str, str | None]:
        """Returns plain values."""
        return {
            "array": self.array or None,
            "from": self.source or None,
            "shape": self.shape,
            "result": self.result,
            "reason": self.reason or None,
        }


@dataclasses.dataclass(frozen=True)
class WarmPlan:
    """Arrays that a warm start restores, and why it does not restore the others."""

    source: str
    """The checkpoint or export."""
    taken: dict[str, dict[str, str]]
    """Part of the state -> name -> name in the checkpoint, its part included."""
    rows: list[WarmRow]
    """Each parameter of the model, then those that only the checkpoint has."""
    others: dict[str, list[str]]
    """Heading -> names of arrays, for everything but parameters."""
    diagnostics: list[Diagnostic]
    """Selected arrays that cannot be restored."""
    warnings: list[Diagnostic]
    """Patterns and globs that match nothing."""
    digest: str = ""
    """Digest of the restored arrays."""

    def __str__(self) -> str:
        """Returns a table of parameters, and a line for each group of other arrays."""
        head = ("array", "from", "shape", "result")
        table = columns([head, *(row.cells() for row in self.rows)])
        lines = [f"warm start from {self.source}", table]
        for group, names in self.others.items():
            more = len(names) - _MOST_SHOWN
            listed = ", ".join(names[:_MOST_SHOWN])
            lines.append(f"{group}: {listed}{f', {more} more' if more > 0 else ''}")
        return "\n".join(lines)

    def to_plain(self) -> dict[str, Any]:
        """Returns plain values, for tools and for the manifest of a run."""
        return {
            "path": self.source,
            "digest": self.digest,
            "arrays": [row.to_plain() for row in self.rows],
            "others": self.others,
        }


def plan(
    settings: WarmStartSettings,
    tree: Mapping[str, Any],
    forms: Mapping[str, Any],
    *,
    source: str,
    known_rows: Callable[[str], int],
) -> WarmPlan:
    """Plans which arrays of a checkpoint a warm start restores.

    Args:
        settings: the checkpoint, and the arrays to restore.
        tree: the initial state as nested dicts; arrays may be abstract.
        forms: part/name -> shape and dtype of each array of the checkpoint.
        source: the checkpoint, for messages.
        known_rows: path of a parameter with a vocabulary -> number of its tokens that
            the old vocabulary has.
    """
    params = tree["params"]
    wanted = [path for path in params if not settings.refused(path)]
    diagnostics = [
        Diagnostic(
            f"{settings.key}.renames[{name!r}]",
            "is no parameter that is warm started",
            expected=f"one of {', '.join(wanted[:8])}",
            code="warm-start",
        )
        for name in settings.idle_renames(wanted)
    ]
    saved_names = [
        name.removeprefix("params/") for name in forms if name.startswith("params/")
    ]
    free = [name for name in saved_names if name not in params]
    taken: dict[str, dict[str, str]] = {"params": {}}
    rows: list[WarmRow] = []
    for path, array in params.items():
        if reason := settings.refused(path):
            rows.append(WarmRow(path, "", short(array), "initialized", reason))
            continue
        name = settings.source(path)
        saved, by_token = forms.get(f"params/{name}"), path in settings.vocabularies
        if not _fits(saved, array, by_token=by_token):
            problem, hints = describe(saved), [_skipped(settings, path)]
            if saved is None:
                problem = "absent" if name == path else f"absent, as {name},"
                fitting = [key for key in free if _fits(forms[f"params/{key}"], array)]
                hints.insert(0, _others(settings, path, fitting or free or saved_names))
            diagnostics.append(
                Diagnostic(
                    path,
                    f"is {problem} in the checkpoint",
                    code="warm-start",
                    expected=describe(array),
                    hint=" ".join(filter(None, hints)),
                )
            )
            continue
        taken["params"][path] = f"params/{name}"
        reason = ""
        if by_token:
            reason = f"{known_rows(path)} of {array.shape[0]} rows by token"
        rows.append(WarmRow(path, name, short(array), "taken", reason))
    others: dict[str, list[str]] = {}
    for part in _PARTS:
        restored, skipped = _state(settings, part, tree, forms)
        taken |= {part: restored} if settings.state != "params" else {}
        for reason, names in skipped.items():
            others[f"{_PARTS[part]} {reason}"] = names
        if restored:
            others[f"{_PARTS[part]} taken"] = [*restored]
    # An excluded parameter has its row already.
    used = {settings.source(path) for path in params}
    rows += [
        WarmRow("", name, short(forms[f"params/{name}"]), "left out", "not used here")
        for name in saved_names
        if name not in used
    ]
    warnings = [
        Diagnostic(
            "warm start",
            f"{pattern!r} matches no parameter",
            expected=f"one over {', '.join([*params][:8])}",
            code="warm-start",
        )
        for pattern in settings.idle(params)
    ]
    return WarmPlan(source, taken, rows, others, diagnostics, warnings)


def _fits(saved: Any, array: Any, *, by_token: bool = False) -> bool:
    """Returns whether a saved array fits an initial one."""
    if saved is None or len(saved.shape) != len(array.shape):
        return False
    first = 1 if by_token else 0
    same = tuple(saved.shape[first:]) == tuple(array.shape[first:])
    return same and _kind(saved) == _kind(array)


def _kind(array: Any) -> str:
    """Returns the kind of an array; arrays of one kind are cast to each other."""
    name = np.dtype(array.dtype).name
    return "float" if "float" in name else name


def _state(
    settings: WarmStartSettings,
    part: str,
    tree: Mapping[str, Any],
    forms: Mapping[str, Any],
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Returns the restored arrays of a part, and reason -> names of the others.

    Args:
        settings: the arrays to restore.
        part: model state or optimizer state.
        tree: the initial state as nested dicts.
        forms: part/name -> shape and dtype of each array of the checkpoint.
    """
    restored: dict[str, str] = {}
    skipped: dict[str, list[str]] = {}
    for name, array in tree[part].items():
        # An optimizer's arrays end in the path of the parameter that they are for.
        path = name.removeprefix(_STATISTICS).rpartition("/")[2]
        has_path = part == "state" or path in tree["params"]
        source = f"{part}/{_renamed(settings, name)}"
        saved = forms.get(source)
        of_model = part == "state" and _kind(array) == "float"
        if settings.state == "params" or (settings.state == "model" and not of_model):
            reason = f"not taken, as state is {settings.state}"
        elif has_path and (globs := settings.left_out(path)):
            reason = globs
        elif saved is None:
            reason = "absent in the checkpoint"
        elif tuple(saved.shape) != tuple(array.shape) or _kind(saved) != _kind(array):
            reason = "of another form in the checkpoint"
        else:
            restored[name] = source
            continue
        skipped.setdefault(reason, []).append(name)
    return restored, skipped


def _renamed(settings: WarmStartSettings, name: str) -> str:
    """Returns the name in the checkpoint of an array that is not a parameter."""
    before, slash, path = name.rpartition("/")
    collection = _STATISTICS if path.startswith(_STATISTICS) else ""
    source = settings.source(path.removeprefix(collection))
    return f"{before}{slash}{collection}{source}"


def _others(settings: WarmStartSettings, path: str, names: list[str]) -> str:
    """Returns a hint: the nearest parameter of the checkpoint, or the first few."""
    near = nearest(path, names)
    if near is None:
        more = len(names) - _MOST_SHOWN
        listed = ", ".join(names[:_MOST_SHOWN]) or "no parameters"
        return f"It has {listed}{f' and {more} more' if more > 0 else ''}."
    renames = f"renames={{{path!r}: {near!r}}}"
    if settings.include is not None:
        renames = f"warm_start.renames={{{path}: {near}}}"
    return f"{did_you_mean(near)} {renames} takes it."


def _skipped(settings: WarmStartSettings, path: str) -> str:
    """Returns the hint that excludes a parameter in a config."""
    return "" if settings.include is None else f"warm_start.exclude=[{path}] skips it."
