"""Resolution of `_target_` and `model_fn` to callables of trusted packages.

A config is data; only this module decides which code it may run. A name resolves only
below a trusted package; every module and class in its path must belong to that package,
and the callable must be defined in a trusted package as well. So `import os` in a
trusted module neither makes `os.system` a target nor imports anything by such a name.
"""

import dataclasses
import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, get_origin

from pydantic import BaseModel

from specflow.compose.check.target_arguments import argument_diagnostics
from specflow.compose.moved_names import new_names
from specflow.compose.provenance import Origins
from specflow.compose.section_types import follow
from specflow.config.base import TARGET, Bound, Target
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics import user_code
from specflow.diagnostics.errors import Diagnostic, did_you_mean, nearest
from specflow.runtime.plain_tree import mappings

__all__ = ["bind", "claim", "resolve", "resolve_targets"]

Path = tuple[str, ...]

NAMES = ("flax.linen", "flax.nnx", "jax.nn", "jax.numpy", "optax", "specflow")
"""Packages below which a name may resolve; `trust=` adds the user's own."""

HOMES = (
    "flax.linen",
    "flax.nnx",
    "jax._src.nn",
    "jax._src.numpy",
    "jax.nn",
    "jax.numpy",
    "optax",
    "specflow.data",
    "specflow.spec",
    "specflow.metrics",
    "specflow.model",
    "specflow.optimizer",
    "specflow.tf.metrics",
    "specflow.tf.optimizers",
)
"""Packages in which a callable may be defined: only parts of an experiment."""

REFUSED = frozenset({"jax.numpy.load"})
"""Callables that can execute code in files, under any alias: `load` can unpickle."""

_OWN_CALLABLE = "a callable defined in the trusted packages"


def resolve_targets(
    tree: Mapping[str, Any],
    origins: Origins,
    *,
    trust: Iterable[str] = (),
    supplied: Mapping[str, Mapping[str, bool]] | None = None,
    trusted_by: str = "",
) -> tuple[dict[Path, Callable[..., Any]], list[Diagnostic]]:
    """Resolves every target of a tree and checks its arguments; calls none.

    Args:
        tree: plain values, as composed.
        origins: origins of its values.
        trust: the user's own packages, trusted as the built-in ones are.
        supplied: section, `*` being any last key -> argument that the framework passes
            itself, so that it may be missing -> whether the callable must take it.
        trusted_by: origin of `trust`.

    Returns:
        Path of each section with a target -> its callable; all diagnostics.
    """
    trusted = tuple(trust)
    diagnostics = claim(trusted, trusted_by)
    found: dict[Path, Callable[..., Any]] = {}
    if diagnostics:
        return found, diagnostics
    targets = list(_targets(tree))
    inside = {(*outer, *inner) for outer, inner in _nested({one[0] for one in targets})}
    for path, key, name, arguments in targets:
        spot = (*path, key)
        origin = origins.nearest(spot)
        where = origin.exact if origin else ""
        function = resolve(".".join(spot), name, trust=trusted, origin=where)
        if isinstance(function, Diagnostic):
            diagnostics.append(function)
            continue
        found[path] = function
        if arguments is not None:
            sections = (".".join(path), ".".join((*path[:-1], "*")))
            known = [key for key in sections if key in (supplied or {})]
            given = (supplied or {})[known[0]] if known else {}
            diagnostics += argument_diagnostics(
                path,
                name,
                function,
                arguments,
                given,
                origins,
                is_inside=path in inside,
            )
    return found, diagnostics


def claim(trust: Iterable[str], origin: str = "") -> list[Diagnostic]:
    """Registers packages as the user's own; reports names that cannot be packages.

    Args:
        trust: names of the packages.
        origin: where they are named.
    """
    trusted = tuple(trust)
    for name in trusted:
        user_code.claim(name)
    return [_no_package(name, origin) for name in trusted if not _is_own(name)]


def resolve(
    where: str, name: Any, *, trust: Iterable[str] = (), origin: str = ""
) -> Callable[..., Any] | Diagnostic:
    """Returns the callable of a dotted name, or the reason why it is refused.

    >>> print(resolve("model._target_", "mine.Net"))
    model._target_: 'mine.Net' is outside the trusted packages. Expected a name below
    flax.linen, flax.nnx, jax.nn, jax.numpy, optax or specflow. If mine is your own
    package, trust it on the command line: trust=mine.
    """
    trusted = tuple(trust)

    def refuse(
        problem: str, expected: str = "", hint: str = "", code: str = ""
    ) -> Diagnostic:
        return Diagnostic(where, f"{name!r} {problem}", expected, hint, origin, code)

    if not isinstance(name, str) or not all(
        part.isidentifier() for part in name.split(".")
    ):
        return refuse("is not a dotted name", "package.module.name", code="target-name")
    names = (*NAMES, *trusted)
    if not any(name.startswith(f"{package}.") for package in names):
        root = name.split(".")[0]
        said = f"If {root} is your own package, trust it on the command line: trust="
        return refuse(
            "is outside the trusted packages",
            f"a name below {', '.join(names[:-1])} or {names[-1]}",
            f"{said}{root}." if _is_own(root) else "",
            "target-untrusted",
        )
    if any(part.startswith("_") for part in name.split(".")):
        return refuse("names something private", "a public name", code="target-private")
    package = max((own for own in names if name.startswith(f"{own}.")), key=len)
    homes = (*HOMES, *trusted)
    try:
        value = _reach(name, package, homes)
    except (_NotFoundError, _OutsideError) as error:
        if (moved := _moved(name)) is not None:
            hint = f"On the command line: {where}={moved}." if "." in where else ""
            return refuse("has moved", moved, hint, "target-missing")
        if isinstance(error, _OutsideError):
            return refuse(str(error), _OWN_CALLABLE, code="target-untrusted")
        return refuse(str(error), hint=error.near, code="target-missing")
    except (Exception, SystemExit) as error:
        # Importing runs the user's code, which may raise anything.
        reason = f"{type(error).__name__}: {error}"
        refused = refuse(f"cannot be imported: {reason}", code="target-import")
        return dataclasses.replace(refused, cause=error)
    if not callable(value) or inspect.ismodule(value) or get_origin(value) is not None:
        return refuse("is not callable", code="target-callable")
    defined = _definitions(value)
    if any(
        not _is_below(home, homes) or f"{home}.{known_as}" in REFUSED
        for home, known_as in defined
    ):
        elsewhere = sorted({home for home, _ in defined})
        problem = (
            f"is defined outside the trusted packages, in {' and '.join(elsewhere)}"
        )
        if all(_is_below(home, homes) for home in elsewhere):
            problem = "can execute code that a file contains"
        return refuse(problem, _OWN_CALLABLE, code="target-untrusted")
    return value


def bind(config: ExperimentConfig, targets: Mapping[Path, Callable[..., Any]]) -> None:
    """Binds each resolved callable to its section of the config."""
    for path, function in targets.items():
        if isinstance(section := _section_at(config, path), Bound):
            section.bind(function)
    # A target among the arguments of another one has no section.
    for outer, inner in _nested(targets):
        section = _section_at(config, outer)
        if isinstance(section, Target):
            section.bind_inside(inner, targets[(*outer, *inner)])


def _nested(paths: Collection[Path]) -> Iterator[tuple[Path, Path]]:
    """Yields (path of the outermost target around a target, path from there)."""
    for path in paths:
        for length in range(1, len(path)):
            if path[:length] in paths:
                yield path[:length], path[length:]
                break


class _NotFoundError(LookupError):
    def __init__(self, problem: str, near: str = ""):
        super().__init__(problem)
        self.near = near


class _OutsideError(LookupError):
    """A name that leads out of its package."""


def _reach(name: str, package: str, homes: Iterable[str]) -> Any:
    """Resolves a dotted name from its package, importing modules on the way.

    No attribute is read, and no module imported, outside the package: both may run
    code.
    """
    reached = package
    try:
        value: Any = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name and package.startswith(error.name):
            raise _NotFoundError(f"does not exist: no module {error.name}") from None
        raise
    for part in name[len(package) + 1 :].split("."):
        inner = f"{reached}.{part}"
        if inspect.ismodule(value):
            _refuse_module(value.__name__, reached, package, homes)
            below = f"{value.__name__}.{part}"
            if not hasattr(value, part) and _exists(value, below):
                _refuse_module(below, inner, package, homes)
                try:
                    importlib.import_module(below)
                except ModuleNotFoundError as error:
                    if error.name != below:
                        raise
        elif not (inspect.isclass(value) and _is_below(value.__module__, homes)):
            raise _OutsideError(
                f"leads into {reached}, which is neither a module nor a trusted class"
            )
        if not hasattr(value, part):
            public = [near for near in dir(value) if not near.startswith("_")]
            near = did_you_mean(nearest(part, public), prefix=f"{reached}.")
            raise _NotFoundError(f"does not exist: {reached} has no {part}", near)
        value, reached = getattr(value, part), inner
    return value


def _exists(parent: ModuleType, module: str) -> bool:
    """Returns True if a module exists below an imported one, without importing it."""
    return hasattr(parent, "__path__") and importlib.util.find_spec(module) is not None


def _moved(name: str) -> str | None:
    """Returns the new dotted path of a name that moved inside specflow, or None."""
    for candidate in new_names(name):
        try:
            _reach(candidate, "specflow", ["specflow"])
        except (_NotFoundError, _OutsideError):
            continue
        return candidate
    return None


def _refuse_module(
    module: str, reached: str, package: str, homes: Iterable[str]
) -> None:
    """Refuses a module outside the package, or one with no path to `homes`."""
    leads = any(
        _is_below(module, [home]) or _is_below(home, [module]) for home in homes
    )
    if not (leads and _is_below(module, [package])):
        raise _OutsideError(f"leads outside its package: {reached} is {module}")


def _definitions(value: Any) -> list[tuple[str, str]]:
    """Returns (module, name) of a callable, and of all that it wraps or is bound to."""
    found: list[tuple[str, str]] = []
    rest, seen = [value], set()
    while rest:
        part = rest.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        home, name = getattr(part, "__module__", None), getattr(part, "__name__", "")
        found.append((str(home), str(name)))
        if isinstance(part, functools.partial):
            rest.append(part.func)
        if isinstance(owner := getattr(part, "__self__", None), type):
            rest.append(owner)
        if not isinstance(part, type) and (inner := getattr(part, "__wrapped__", None)):
            rest.append(inner)
    return found


def _is_below(module: str, packages: Iterable[str]) -> bool:
    return any(module == own or module.startswith(f"{own}.") for own in packages)


def _is_own(name: str) -> bool:
    root = name.split(".")[0]
    return name.isidentifier() and root not in sys.stdlib_module_names


def _no_package(name: str, origin: str) -> Diagnostic:
    return Diagnostic(
        "trust",
        f"got {name!r}",
        "the name of a package of your own, not of the standard library",
        origin=origin or f"trust={name}",
        code="target-untrusted",
    )


def _targets(tree: Any) -> Iterator[tuple[Path, str, Any, dict[str, Any] | None]]:
    """Yields (section, key that names it, name, arguments) of each target.

    Arguments are None for a `model_fn`, which is called with those of the contract.
    """
    for keys, section in mappings(tree):
        path = tuple(map(str, keys))
        if TARGET in section:
            others = {TARGET, *_fields_beside(path, tree)}
            arguments = {
                key: value for key, value in section.items() if key not in others
            }
            yield path, TARGET, section[TARGET], arguments
        elif path == ("spec",) and "model_fn" in section:
            yield path, "model_fn", section["model_fn"], None


def _fields_beside(path: Path, tree: Any) -> set[str]:
    """Keys beside a target that are no arguments, such as the weight of a part."""
    _, slot, _, section = follow(path, tree)
    kind = slot.section(section) if slot is not None else None
    return set() if kind is None else {*kind.model_fields} - {*Target.model_fields}


def _section_at(config: ExperimentConfig, path: Path) -> Any:
    """Returns the part of a config at a path; None if it has no such part."""
    part: Any = config
    for key in path:
        if isinstance(part, BaseModel):
            part = getattr(part, key, None)
        elif isinstance(part, list):
            part = part[int(key)]
        else:
            part = part.get(key) if isinstance(part, dict) else None
    return part
