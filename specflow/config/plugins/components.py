"""From what a plugin declares to the section that a config is held against."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, PydanticUserError
from pydantic.errors import PydanticUndefinedAnnotation

from specflow.config.base import Component, Config
from specflow.config.plugins.signature import SignatureError, derived
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.runtime import entry_points
from specflow.runtime.entry_points import Plugin

__all__ = ["component", "plugins_of"]

_FOUND: dict[Plugin, type[Component] | Diagnostic] = {}
_OF: dict[type[Component], Plugin] = {}


def component(
    found: Plugin, *, bases: Mapping[str, type[Config]] | None = None
) -> type[Component]:
    """The section of a plugin: its own, or one derived from a signature.

    Args:
        found: what an installed package declares.
        bases: argument -> class that a derived section inherits from (see `derived`).

    Raises:
        ConfigError: it cannot be imported, or is no component.
    """
    if found not in _FOUND:
        try:
            section = _section(found, entry_points.load(found), bases or {})
            _FOUND[found] = section
            if not found.is_own:  # A manifest names specflow's version already.
                _OF[section] = found
        except ConfigError as error:
            _FOUND[found] = error.diagnostics[0]
    made = _FOUND[found]
    if isinstance(made, Diagnostic):
        raise ConfigError(made)
    return made


def plugins_of(value: Any, key: str = "") -> dict[str, Plugin]:
    """Dotted key -> plugin, of each section of a config that a plugin declared.

    Args:
        value: the config, or a part of it.
        key: where it stands.
    """
    found: dict[str, Plugin] = {}
    if isinstance(value, Component) and type(value) in _OF:
        found[key] = _OF[type(value)]
    if isinstance(value, BaseModel):
        items: Any = ((name, getattr(value, name)) for name in type(value).model_fields)
    elif isinstance(value, dict):
        items = value.items()
    else:
        items = enumerate(value) if isinstance(value, list | tuple) else ()
    for name, inner in items:
        found |= plugins_of(inner, f"{key}.{name}" if key else str(name))
    return found


def _section(
    found: Plugin, value: Any, bases: Mapping[str, type[Config]]
) -> type[Component]:
    if inspect.isclass(value) and issubclass(value, BaseModel):
        return _checked(found, value)
    if not callable(value):
        raise _refused(found, f"is {type(value).__name__}")
    try:
        return derived(value, name=found.name, group=found.group, bases=bases)
    except SignatureError as error:
        raise _refused(found, str(error)) from None
    except Exception as error:  # Annotations are code, and may fail in any way.
        reason = f"has a signature of which no schema can be made: {error}"
        raise _refused(found, reason) from error


def _checked(found: Plugin, section: type[Any]) -> type[Component]:
    """Refuses a section that would take what it does not know, or builds nothing."""
    if not issubclass(section, Component):
        raise _refused(found, "is a Pydantic model, but no specflow.Component")
    if not callable(getattr(section, "build", None)):
        raise _refused(found, "has no method build")
    field = section.model_fields.get("name")
    if field is None or field.default != found.name:
        said = f'"{found.name}"'
        raise _refused(found, f"has no field name: Literal[{said}] = {said}")
    try:
        section.model_rebuild()
    except (PydanticUserError, PydanticUndefinedAnnotation, NameError) as error:
        reason = str(error).splitlines()[0]
        raise _refused(
            found, f"has fields of which no schema can be made: {reason}"
        ) from error
    for inner in _models(section, set()):
        if inner.model_config.get("extra") != "forbid":
            raise _refused(found, f"is not closed: {inner.__name__} takes unknown keys")
    return section


def _models(value: Any, seen: set[Any]) -> Iterator[type[BaseModel]]:
    """A model, and all that its fields may hold."""
    if inspect.isclass(value) and issubclass(value, BaseModel):
        if value in seen:
            return
        seen.add(value)
        yield value
        for field in value.model_fields.values():
            yield from _models(field.annotation, seen)
    else:
        for inner in get_args(value):
            yield from _models(inner, seen)


def _refused(found: Plugin, problem: str) -> ConfigError:
    return ConfigError(
        Diagnostic(
            found.name,
            f"{found.value} of {found} {problem}",
            expected="a subclass of specflow.Component, or a callable whose arguments "
            "all have names",
            hint=f"Fix or upgrade {found.package}.",
            code="plugin-component",
        )
    )
