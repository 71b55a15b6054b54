"""What sections and fields are for: the texts that stand with them."""

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import cache

from specflow.config.base import Config

__all__ = ["about", "fields_about"]


def about(section: type[Config]) -> str:
    """What a section is, in one line.

    >>> from specflow.config.sections.data import DigitsConfig
    >>> about(DigitsConfig)
    '1,797 handwritten digits of 8x8 pixels (UCI, shipped with scikit-learn).'
    """
    paragraph, *_ = inspect.cleandoc(section.__doc__ or "").split("\n\n")
    return " ".join(paragraph.split())


def fields_about(section: type[Config]) -> dict[str, str]:
    """Key -> what it means, of every field of a section that says so.

    A field says it in the text below it, also in a class that it is inherited from; a
    class made from a signature says it by `Field(description=...)`.

    >>> from specflow.config.sections.mesh import AxesConfig
    >>> fields_about(AxesConfig)["data"]
    'Data parallelism: replicas of the model, each with a shard of the batch.'
    """
    below: dict[str, str] = {}
    for owner in reversed(section.__mro__):
        below |= _texts(owner.__module__).get(owner.__qualname__, {})
    return {
        field.alias or name: field.description or below[name]
        for name, field in section.model_fields.items()
        if field.description or name in below
    }


@cache
def _texts(module: str) -> Mapping[str, Mapping[str, str]]:
    """Class -> field -> the text below it, of every class at the root of a module.

    Read from the source when somebody asks; keeping them with the classes would slow
    down everybody who does not.
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
        return ""  # Sources may be left out of an installation.
