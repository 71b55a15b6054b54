"""Documentation of sections and fields, read from their docstrings."""

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import cache

from specflow.config.base import Config

__all__ = ["about", "fields_about", "texts_below"]


def about(section: type[Config]) -> str:
    """Returns the first paragraph of a section's docstring, as one line.

    >>> from specflow.config.sections.data import DigitsConfig
    >>> about(DigitsConfig)
    '1,797 handwritten digits of 8x8 pixels (UCI, shipped with scikit-learn).'
    """
    paragraph, *_ = inspect.cleandoc(section.__doc__ or "").split("\n\n")
    return " ".join(paragraph.split())


def fields_about(section: type[Config]) -> dict[str, str]:
    """Returns key -> meaning of every documented field of a section.

    The text is the docstring below the field, inherited from base classes; a class made
    from a signature has `Field(description=...)` instead.

    >>> from specflow.config.sections.mesh import AxesConfig
    >>> fields_about(AxesConfig)["data"]
    'Data parallelism: replicas of the model, each with a shard of the batch.'
    """
    below: dict[str, str] = {}
    for owner in reversed(section.__mro__):
        below |= texts_below(owner.__module__).get(owner.__qualname__, {})
    return {
        field.alias or name: field.description or below[name]
        for name, field in section.model_fields.items()
        if field.description or name in below
    }


@cache
def texts_below(module: str) -> Mapping[str, Mapping[str, str]]:
    """Returns class -> field -> docstring of every top-level class of a module.

    Parsed from the source on demand: storing the texts with the classes would slow down
    every command.
    """
    source = _source(module)
    if "class " not in source:
        return {}
    return {
        node.name: {
            field.target.id: " ".join(text.value.value.split())
            for field, text in zip(node.body, node.body[1:], strict=False)
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        }
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef)
    }


def _source(module: str) -> str:
    if module == "builtins" or module.startswith("pydantic."):
        return ""
    loader = getattr(sys.modules[module], "__loader__", None)
    try:
        return getattr(loader, "get_source", lambda _: "")(module) or ""
    except (ImportError, OSError):
        return ""  # An installation may lack the sources.
