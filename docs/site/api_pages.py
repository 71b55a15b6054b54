"""Pages of the Python API: every public name of every public module."""

import importlib
import inspect
import types
from collections.abc import Iterator

__all__ = ["MODULES", "api_pages", "public_names"]

MODULES = (
    "specflow",
    "specflow.metrics",
    "specflow.data",
    "specflow.optimizer",
    "specflow.compose",
    "specflow.lifecycle.early_stopping",
    "specflow.testing",
    "specflow.serving",
    "specflow.serving.convert",
    "specflow.tf.canned",
    "specflow.tf.heads",
    "specflow.tf.metrics",
    "specflow.tf.optimizers",
)
"""Public modules, in the order of the pages."""


def api_pages() -> dict[str, str]:
    """Returns path on the site -> page, in reStructuredText: autodoc's own form."""
    described: set[int] = set()
    pages = {f"reference/api/{name}.rst": _page(name, described) for name in MODULES}
    entries = "".join(f"   {name}\n" for name in MODULES)
    index = f"{_title('Python API')}\n.. toctree::\n\n{entries}"
    return {"reference/api/index.rst": index} | pages


def public_names(module: str) -> Iterator[tuple[str, object]]:
    """Yields the public names of a module that are no modules, and their objects."""
    loaded = importlib.import_module(module)
    for name in loaded.__all__:
        value = getattr(loaded, name)
        if not isinstance(value, types.ModuleType):
            yield name, value


def _page(module: str, described: set[int]) -> str:
    """One module; what an earlier page describes is not indexed again."""
    about = inspect.getdoc(importlib.import_module(module)) or ""
    parts = [_title(module), f"{about}\n", f".. currentmodule:: {module}\n"]
    for name, value in public_names(module):
        if _directive(value) != "autodata" and not inspect.getdoc(value):
            raise ValueError(f"{module}.{name}: has no docstring")
        parts.append(f".. {_directive(value)}:: {module}.{name}")
        if id(value) in described:
            parts.append("   :no-index:")
        parts.append("")
        described.add(id(value))
    return "\n".join(parts)


def _directive(value: object) -> str:
    if inspect.isclass(value):
        return "autoexception" if issubclass(value, BaseException) else "autoclass"
    return "autofunction" if inspect.isroutine(value) else "autodata"


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"
