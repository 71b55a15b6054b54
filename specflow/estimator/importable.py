"""Dotted names under which other processes can import functions and classes."""

import ast
import dataclasses
import functools
import math
import sys
from pathlib import Path
from typing import Any

from flax import linen

from specflow.config.estimator_record import PartRecord
from specflow.runtime.typing import describe

__all__ = ["not_plain", "part_of", "script_folder"]

_MODULE_LEVEL = "Define it at the top level of a module"


def part_of(value: Any) -> PartRecord:
    """Returns the name of a function or class, or the reason why it has none.

    The part of a `functools.partial` or a module of Flax Linen has the name and its
    plain arguments.

    >>> from flax import nnx
    >>> part = part_of(functools.partial(nnx.Linear, 2, out_features=3))
    >>> part.name, part.args, part.kwargs
    ('flax.nnx.nn.linear.Linear', [2], {'out_features': 3})
    >>> part_of(lambda: None).problem
    'is a lambda. Define it at the top level of a module'
    """
    if isinstance(value, functools.partial):
        inner = part_of(value.func)
        return _with_arguments(inner, list(value.args), dict(value.keywords))
    if isinstance(value, linen.Module):
        changed = {
            field.name: given
            for field in dataclasses.fields(value)
            if field.init
            and field.name not in ("parent", "name")
            and (given := getattr(value, field.name)) is not field.default
        }
        part = _with_arguments(part_of(type(value)), [], changed)
        return part.model_copy(update={"is_called": True})
    name = getattr(value, "__qualname__", None)
    if not isinstance(name, str) or not hasattr(value, "__module__"):
        return PartRecord(
            problem=f"is an object that is already built, {describe(value)}. Give the "
            "function or class that makes it, or a functools.partial of that"
        )
    if name.endswith("<lambda>"):
        return PartRecord(problem=f"is a lambda. {_MODULE_LEVEL}")
    if "<locals>" in name:
        return PartRecord(
            problem=f"is {name.rpartition('.')[2]}, defined inside the function "
            f"{name.partition('.<locals>')[0]}. {_MODULE_LEVEL}"
        )
    if (public := _public_name(value)) is not None:
        return PartRecord(name=public)
    module, problem = _module_of(value)
    if not problem and _at(value.__module__, name) is not value:
        problem = f"is {name}, and {value.__module__} has another object of this name"
    return PartRecord(problem=problem) if problem else PartRecord(
        name=f"{module}.{name}"
    )  # fmt: skip


def _public_name(value: Any) -> str | None:
    """The name of a function of JAX in its public modules; None for any other."""
    if not str(value.__module__).startswith("jax."):
        return None
    for module in ("jax.nn", "jax.numpy"):
        if _at(module, value.__qualname__) is value:
            return f"{module}.{value.__qualname__}"
    return None


def not_plain(value: Any, path: str) -> str:
    """Returns the path and type of the first value that is not plain JSON, or "".

    >>> not_plain({"sizes": [1, (2, 3)]}, "params")
    'params.sizes.1 is of type tuple'
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                return f"{path} has the key {key!r}, which is no text"
            if problem := not_plain(inner, f"{path}.{key}"):
                return problem
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if problem := not_plain(inner, f"{path}.{index}"):
                return problem
    elif isinstance(value, float) and not math.isfinite(value):
        return f"{path} is {value}"
    elif value is not None and type(value) not in (bool, int, float, str):
        return f"{path} is of type {type(value).__name__}"
    return ""


def script_folder() -> Path:
    """Returns the folder from which this process imports its own modules."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return Path.cwd() if file is None or spec is not None else Path(file).parent


def _with_arguments(
    part: PartRecord, args: list[Any], kwargs: dict[str, Any]
) -> PartRecord:
    problem = not_plain(args, "arguments") or not_plain(kwargs, "arguments")
    if part.problem or not problem:
        changes = {"args": [*part.args, *args], "kwargs": {**part.kwargs, **kwargs}}
        return part.model_copy(update=changes)
    return PartRecord(
        problem=f"is made of {part.name} with arguments that a file cannot hold: "
        f"{problem}. Make it in a function without arguments, at the top level of a "
        "module"
    )


def _module_of(value: Any) -> tuple[str, str]:
    """Returns the module to import a value from, or "" and why there is none."""
    module = str(value.__module__)
    if module != "__main__":
        return module, ""
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:  # python -m package.module
        name = str(spec.name)
    elif file is None:
        return "", (
            f"is {value.__qualname__}, defined in an interactive session. Write it "
            "into a module, and import it from there"
        )
    else:
        name = Path(file).stem
    if file is None or not all(part.isidentifier() for part in name.split(".")):
        return "", (
            f"is {value.__qualname__}, defined in {file}, which has no name to import "
            "it by. Move it into a module"
        )
    if not _is_guarded(Path(file)):
        return "", (
            f"is {value.__qualname__}, defined in the script {Path(file).name}, which "
            "would run anew when it is imported. Put what it runs below "
            "if __name__ == '__main__':, or move the function into a module"
        )
    return name, ""


def _is_guarded(script: Path) -> bool:
    """Returns True if a script has an `if` statement that tests `__name__`."""
    try:
        tree = ast.parse(script.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    return any(
        isinstance(statement, ast.If)
        and any(
            isinstance(node, ast.Name) and node.id == "__name__"
            for node in ast.walk(statement.test)
        )
        for statement in tree.body
    )


def _at(module: str, name: str) -> Any:
    """Returns the object of a dotted name in an imported module, or None."""
    value: Any = sys.modules.get(module)
    for part in name.split("."):
        value = getattr(value, part, None)
    return value
