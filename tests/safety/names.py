"""Dotted names to try as targets: everything that can be imported here, and tricks."""

import importlib
import inspect
import pkgutil
import sys
import types
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from typing import Any

ALLOWED = ("flax.linen", "flax.nnx", "jax.nn", "jax.numpy", "optax", "specflow")
"""Packages whose names may be targets, by the documentation."""

TRICKS = (
    "builtins.eval",
    "builtins.getattr",
    "builtins.__import__",
    "functools.partial",
    "functools.reduce",
    "operator.attrgetter",
    "operator.methodcaller",
    "importlib.import_module",
    "hydra.utils.get_method",
    "hydra.utils.instantiate",
    "jax.numpy.os.system",
    "jax.numpy.load",
    "jax.numpy.x.__class__.__mro__",
    "jax.numpy.tanh.__globals__",
    "jax.numpy.tanh.__wrapped__.__globals__",
    "jax.nn.relu.__class__.__base__.__subclasses__",
    "flax.nnx.jax.config.update",
    "flax.nnx.Module.__init_subclass__",
    "flax.linen.attention.jnp.load",
    "optax.jax.numpy.load",
    "optax._src.alias.adamw",
    "optax.adamw.__globals__",
    "optax.adamw.__code__.replace",
    "optax.partial",
    "specflow.x.__globals__",
    "specflow.cli.main.main",
    "specflow.cli.main.os.system",
    "specflow.commands.train",
    "specflow.compose.compose",
    "specflow.compose.check.targets.resolve",
    "specflow.compose.check.targets.importlib.import_module",
    "specflow.compose.check.targets.inspect.os.system",
    "specflow.data.sklearn_sets.importlib.import_module",
    "specflow.load_export",
    "specflow.serving.convert.convert_export",
    "specflow.output.files.os.remove",
    " os.system",
    "os.system ",
    "os:system",
    "os/system",
    "optax..os.system",
    "optax.adamw\n",
    "optax.adamw;os.system",
    ".os.system",
    "..os",
    "o\uff53.system",
    "specflow",
    "",
    ".",
)
"""Forms by which one could hope to get out of the list."""


def modules_below(package: str) -> Iterator[types.ModuleType]:
    """A package and all that is public below it, imported."""
    module = importlib.import_module(package)
    yield module
    for found in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{package}."):
        last = found.name.rpartition(".")[2]
        if not last.startswith("_") and not last.endswith("_test"):
            yield from modules_below(found.name)


def names_inside(modules: Iterable[types.ModuleType]) -> tuple[list[str], list[str]]:
    """Names in modules, and names in what these names mean; sorted.

    Where a name means a package from elsewhere, what that package could import stands
    among the latter, whether or not it has been imported.
    """
    first, second = set(), set()
    for module in modules:
        for attribute in dir(module):
            name = f"{module.__name__}.{attribute}"
            first.add(name)
            value: Any = inspect.getattr_static(module, attribute, None)
            second.update(f"{name}.{inner}" for inner in dir(value))
            paths = getattr(value, "__path__", ()) if inspect.ismodule(value) else ()
            for found in pkgutil.iter_modules(paths):
                second.add(f"{name}.{found.name}.anything")
    return sorted(first), sorted(second - first)


def names_outside() -> list[str]:
    """Every name of every module that is loaded, and some of those that are not."""
    names = set()
    for module in [*sys.modules.values()]:
        if isinstance(module, types.ModuleType):
            names.update(f"{module.__name__}.{name}" for name in vars(module))
    roots = {*packages_distributions(), *sys.stdlib_module_names}
    for root in roots - set(sys.modules):
        names.update(f"{root}.{name}" for name in ("main", "run", "utils.main"))
    return sorted(name for name in names if not name.startswith("specflow."))


def file_of(value: Any) -> str:
    """The file in which a callable was really written, whatever it says of itself."""
    while hasattr(value, "__wrapped__") and not isinstance(value, type):
        value = value.__wrapped__
    value = getattr(value, "__func__", value)
    code = getattr(value, "__code__", None)
    if code is not None:
        return code.co_filename
    made_by = value if isinstance(value, type) else type(value)
    return str(getattr(sys.modules[made_by.__module__], "__file__", ""))
