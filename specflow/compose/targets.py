"""The one place that resolves `_target_` and `model_fn`: names to callables, on a list.

A config is data; what it may run is decided here. A name resolves only below a package
of the list, and what it reaches must have been defined in one as well: `import os` in a
trusted module does not make `os.system` a target.
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from specflow.compose.provenance import Origins
from specflow.config.base import TARGET, Bound
from specflow.config.experiment import ExperimentConfig
from specflow.errors import Fault, nearest

__all__ = ["bind", "resolve", "resolve_targets"]

Path = tuple[str, ...]

NAMES = ("flax.linen", "flax.nnx", "jax.nn", "jax.numpy", "optax", "specflow")
"""Packages below which a name may stand; the user's own come from `trust=`."""

HOMES = (
    "flax.linen",
    "flax.nnx",
    "jax._src.nn",
    "jax._src.numpy",
    "jax.nn",
    "jax.numpy",
    "optax",
    "specflow.data",
    "specflow.declare",
    "specflow.metrics",
    "specflow.model",
    "specflow.optimizer",
)
"""Packages in which a callable may be defined: parts of an experiment, no machinery."""

REFUSED = frozenset({"jax.numpy.load"})
"""Callables of the list that read files as code: `load` can be asked to unpickle."""


def resolve_targets(
    tree: Mapping[str, Any],
    origins: Origins,
    *,
    trust: Iterable[str] = (),
    supplied: Mapping[str, Collection[str]] | None = None,
) -> tuple[dict[Path, Callable[..., Any]], list[Fault]]:
    """Resolves every target of a tree and checks its arguments; calls none.

    Args:
        tree: plain values, as composed.
        origins: who set them.
        trust: the user's own packages, trusted as the built-in ones are.
        supplied: word -> arguments that the framework hands over itself, so that they
            may be missing.

    Returns:
        Path of each section with a target -> its callable, and all faults.
    """
    trusted = tuple(trust)
    faults = [_no_package(name) for name in trusted if not _is_own(name)]
    found: dict[Path, Callable[..., Any]] = {}
    if faults:
        return found, faults
    for path, key, name, arguments in _targets(tree):
        spot = (*path, key)
        origin = origins.nearest(spot)
        where = origin.exact if origin else ""
        function = resolve(".".join(spot), name, trust=trusted, origin=where)
        if isinstance(function, Fault):
            faults.append(function)
            continue
        found[path] = function
        if arguments is not None:
            given = (supplied or {}).get(path[0], ())
            faults += _argument_faults(path, name, function, arguments, given, origins)
    return found, faults


def resolve(
    where: str, name: Any, *, trust: Iterable[str] = (), origin: str = ""
) -> Callable[..., Any] | Fault:
    """The callable by a dotted name, or why it cannot be one.

    >>> print(resolve("model._target_", "os.system"))
    model._target_: 'os.system' is outside the trusted packages. Expected a name below
    flax.linen, flax.nnx, jax.nn, jax.numpy, optax or specflow. If os is your own
    package, say so on the command line: trust=os.
    """
    trusted = tuple(trust)

    def refuse(
        problem: str, expected: str = "", mend: str = "", code: str = ""
    ) -> Fault:
        return Fault(where, f"{name!r} {problem}", expected, mend, origin, code)

    if not isinstance(name, str) or not all(
        part.isidentifier() for part in name.split(".")
    ):
        return refuse("is no dotted name", "package.module.name", code="target-name")
    names = (*NAMES, *trusted)
    if not any(name.startswith(f"{package}.") for package in names):
        root = name.split(".")[0]
        return refuse(
            "is outside the trusted packages",
            f"a name below {', '.join(names[:-1])} or {names[-1]}",
            f"If {root} is your own package, say so on the command line: trust={root}.",
            "target-untrusted",
        )
    if any(part.startswith("_") for part in name.split(".")):
        return refuse("names something private", "a public name", code="target-private")
    package = max((own for own in names if name.startswith(f"{own}.")), key=len)
    try:
        value = _reach(name, package)
    except _NotFoundError as error:
        return refuse(str(error), mend=error.near, code="target-missing")
    except Exception as error:
        # Importing runs code of the user's own, which may fail in any way.
        reason = f"{type(error).__name__}: {error}"
        return refuse(f"cannot be imported: {reason}", code="target-import")
    if not callable(value) or inspect.ismodule(value):
        return refuse("is nothing that can be called", code="target-callable")
    homes = (*HOMES, *trusted)
    if name in REFUSED or not all(_is_below(home, homes) for home in _homes(value)):
        return refuse(
            f"was defined elsewhere, in {' and '.join(sorted(set(_homes(value))))}",
            "a callable of the trusted packages themselves",
            code="target-untrusted",
        )
    return value


def bind(config: ExperimentConfig, targets: Mapping[Path, Callable[..., Any]]) -> None:
    """Hands each resolved callable to its section of the config."""
    for path, section in _bound_sections(config, ()):
        section.bind(targets[path])


class _NotFoundError(LookupError):
    def __init__(self, problem: str, near: str = ""):
        super().__init__(problem)
        self.near = near


def _reach(name: str, package: str) -> Any:
    """Walks a dotted name from its package; modules are imported as they are met."""
    reached = package
    try:
        value: Any = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name and package.startswith(error.name):
            raise _NotFoundError(f"leads nowhere: no module {error.name}") from None
        raise
    for part in name[len(package) + 1 :].split("."):
        inner = f"{reached}.{part}"
        if not hasattr(value, part) and inspect.ismodule(value):
            try:
                importlib.import_module(f"{value.__name__}.{part}")
            except ModuleNotFoundError as error:
                if error.name != f"{value.__name__}.{part}":
                    raise
        if not hasattr(value, part):
            public = [near for near in dir(value) if not near.startswith("_")]
            near = nearest(part, public).replace("mean ", f"mean {reached}.")
            raise _NotFoundError(f"leads nowhere: {reached} has no {part}", near)
        value, reached = getattr(value, part), inner
    return value


def _homes(value: Any) -> list[str]:
    """Modules in which a callable, and what it wraps, were defined."""
    wrapped = inspect.unwrap(value)
    return [str(getattr(part, "__module__", None)) for part in (value, wrapped)]


def _is_below(module: str, packages: Iterable[str]) -> bool:
    return any(module == own or module.startswith(f"{own}.") for own in packages)


def _is_own(name: str) -> bool:
    root = name.split(".")[0]
    return name.isidentifier() and root not in sys.stdlib_module_names


def _no_package(name: str) -> Fault:
    return Fault(
        "trust",
        f"got {name!r}",
        "the name of a package of your own, not of the standard library",
        origin=f"trust={name}",
        code="target-untrusted",
    )


def _targets(
    tree: Any, path: Path = ()
) -> Iterator[tuple[Path, str, Any, dict[str, Any] | None]]:
    """(path of its section, key that names it, name, arguments) of each target."""
    if isinstance(tree, list):
        for place, value in enumerate(tree):
            yield from _targets(value, (*path, str(place)))
    if not isinstance(tree, dict):
        return
    if TARGET in tree:
        arguments = {key: value for key, value in tree.items() if key != TARGET}
        yield path, TARGET, tree[TARGET], arguments
    elif path == ("spec",) and "model_fn" in tree:
        yield path, "model_fn", tree["model_fn"], None
    for key, value in tree.items():
        yield from _targets(value, (*path, str(key)))


def _argument_faults(
    path: Path,
    name: str,
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    supplied: Collection[str],
    origins: Origins,
) -> Iterator[Fault]:
    """Arguments that the callable does not take, and those it needs and lacks."""
    parameters = _parameters(function)
    if parameters is None:
        return
    by_name = {
        parameter.name: parameter
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    section = ".".join(path)
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        for key in arguments:
            if key in by_name:
                continue
            near = nearest(key, by_name).replace("mean ", f"mean {section}.")
            listed = f"Arguments of {name}: {', '.join(by_name)}."
            origin = origins.nearest((*path, key))
            yield Fault(
                f"{section}.{key}",
                "no such argument",
                mend=f"{near} {listed}".strip(),
                origin=origin.exact if origin else "",
                code="target-argument",
            )
    origin = origins.nearest((*path, TARGET))
    for parameter in by_name.values():
        needed = parameter.default is parameter.empty
        if (
            needed
            and parameter.name not in arguments
            and parameter.name not in supplied
        ):
            yield Fault(
                f"{section}.{parameter.name}",
                "is missing",
                f"an argument of {name}, which has no default for it",
                origin=origin.exact if origin else "",
                code="target-argument",
            )


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """The parameters of a callable; none where Python cannot tell."""
    function = getattr(function, "from_batch", function)
    try:
        if inspect.isclass(function) and function.__init__ is not object.__init__:
            # A metaclass may take anything and pass it on; the constructor knows.
            return list(inspect.signature(function.__init__).parameters.values())[1:]
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None


def _bound_sections(value: Any, path: Path) -> Iterator[tuple[Path, Bound]]:
    if isinstance(value, Bound):
        yield path, value
    if isinstance(value, BaseModel):
        items: Iterable[tuple[Any, Any]] = (
            (name, getattr(value, name)) for name in type(value).model_fields
        )
    elif isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return
    for key, inner in items:
        yield from _bound_sections(inner, (*path, str(key)))
