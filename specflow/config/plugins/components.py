"""Section classes of plugins, which validate their configs."""

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

_SECTIONS: dict[Plugin, type[Component] | Diagnostic] = {}
_PLUGINS: dict[type[Component], Plugin] = {}


def component(
    plugin: Plugin, *, bases: Mapping[str, type[Config]] | None = None
) -> type[Component]:
    """The section of a plugin: its own, or one derived from a signature.

    Args:
        plugin: the declaration of an installed package.
        bases: argument -> class that a derived section inherits from (see `derived`).

    Raises:
        ConfigError: it cannot be imported, or is not a component.
    """
    if plugin not in _SECTIONS:
        try:
            section = _section(plugin, entry_points.load(plugin), bases or {})
            _SECTIONS[plugin] = section
            if not plugin.is_own:  # A manifest has specflow's version already.
                _PLUGINS[section] = plugin
        except ConfigError as error:
            _SECTIONS[plugin] = error.diagnostics[0]
    section_or_error = _SECTIONS[plugin]
    if isinstance(section_or_error, Diagnostic):
        raise ConfigError(section_or_error)
    return section_or_error


def plugins_of(value: Any, key: str = "") -> dict[str, Plugin]:
    """Dotted key -> plugin, of each section of a config that a plugin declared.

    Args:
        value: the config, or a part of it.
        key: dotted key of the part.
    """
    plugins: dict[str, Plugin] = {}
    if not _PLUGINS:
        return plugins
    if isinstance(value, Component) and type(value) in _PLUGINS:
        plugins[key] = _PLUGINS[type(value)]
    if isinstance(value, BaseModel):
        items: Any = ((name, getattr(value, name)) for name in type(value).model_fields)
    elif isinstance(value, dict):
        items = value.items()
    else:
        items = enumerate(value) if isinstance(value, list | tuple) else ()
    for name, inner in items:
        plugins |= plugins_of(inner, f"{key}.{name}" if key else str(name))
    return plugins


def _section(
    plugin: Plugin, value: Any, bases: Mapping[str, type[Config]]
) -> type[Component]:
    if inspect.isclass(value) and issubclass(value, BaseModel):
        return _checked(plugin, value)
    if not callable(value):
        raise _refused(plugin, f"is {type(value).__name__}")
    try:
        return derived(value, name=plugin.name, group=plugin.group, bases=bases)
    except SignatureError as error:
        raise _refused(plugin, str(error)) from None
    except Exception as error:  # Annotations are code, and may fail in any way.
        reason = f"has a signature without a schema: {error}"
        raise _refused(plugin, reason) from error


def _checked(plugin: Plugin, section: type[Any]) -> type[Component]:
    """Checks that a plugin's section class is closed and builds a component."""
    if not issubclass(section, Component):
        raise _refused(plugin, "is a Pydantic model, but not a specflow.Component")
    if not callable(getattr(section, "build", None)):
        raise _refused(plugin, "has no method build")
    field = section.model_fields.get("name")
    if field is None or field.default != plugin.name:
        quoted = f'"{plugin.name}"'
        raise _refused(plugin, f"has no field name: Literal[{quoted}] = {quoted}")
    try:
        section.model_rebuild()
    except (PydanticUserError, PydanticUndefinedAnnotation, NameError) as error:
        reason = str(error).splitlines()[0]
        raise _refused(plugin, f"has fields without a schema: {reason}") from error
    for inner in _models(section, set()):
        if inner.model_config.get("extra") != "forbid":
            raise _refused(
                plugin, f"is not closed: {inner.__name__} accepts unknown keys"
            )
    return section


def _models(value: Any, seen: set[Any]) -> Iterator[type[BaseModel]]:
    """A model, and all models that its fields may contain."""
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


def _refused(plugin: Plugin, problem: str) -> ConfigError:
    return ConfigError(
        Diagnostic(
            plugin.name,
            f"{plugin.value} of {plugin} {problem}",
            expected="a subclass of specflow.Component, or a callable with named "
            "arguments only",
            hint=f"Fix or upgrade {plugin.package}.",
            code="plugin-component",
        )
    )
