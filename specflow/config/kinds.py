"""Sections of several kinds: chosen by name, each class imported when it is used."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any

from pydantic import BaseModel
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from specflow.config.base import TARGET, Config, Target
from specflow.diagnostics.errors import ConfigError
from specflow.runtime import entry_points

__all__ = ["Elsewhere", "Kinds", "Members", "by_name", "name_of", "named"]


def name_of(value: Any) -> Any:
    """Name of a section's kind; None if it has none."""
    if isinstance(value, Target):
        return TARGET
    if isinstance(value, BaseModel):
        return getattr(value, "name", None)
    if not isinstance(value, dict):
        return None
    return TARGET if TARGET in value else value.get("name")


@dataclasses.dataclass(frozen=True, eq=False)
class Kinds:
    """Annotation of a section of one of several kinds, each a class.

    Pydantic's discriminated union would build the schemas of all classes before it can
    validate one section, which takes longer than the rest of composing.
    """

    members: Mapping[str, type[Config]]
    """Name -> class."""
    name_of: Callable[[Any], Any] = name_of
    """Returns the name of a section's kind; None if it has none."""
    words: tuple[str, ...] = ()
    """Texts that are accepted in place of a section. If there are any, the bare name of
    a kind is accepted as its section too."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def _validate(self, value: Any) -> Any:
        if self.words and isinstance(value, str):
            if value in self.words:
                return value
            value = {"name": value}
        name = self.name_of(value)
        if name is None:
            raise PydanticKnownError("union_tag_not_found", {"discriminator": "name"})
        try:
            # A plugin that fails to load raises a ConfigError, which is a ValueError.
            member = self.members[str(name)]
        except KeyError:
            names = ", ".join(dict.fromkeys((*self.words, *self.members)))
            raise PydanticKnownError(
                "union_tag_invalid",
                {"discriminator": "name", "tag": str(name), "expected_tags": names},
            ) from None
        return member.model_validate(value)


class Elsewhere:
    """Kinds whose classes are in another module, as `MEMBERS`.

    The module is imported when one of them is used: creating the classes of all kinds
    would take longer than composing an experiment, which uses a few of them.

    Args:
        module: its dotted name.
        *names: of the kinds.
    """

    def __init__(self, module: str, *names: str):
        self.module, self.names = module, names


class Members(Mapping[str, type[Config]]):
    """Name -> class of kinds, of which a plugin may fail to load."""

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def items(self) -> Any:
        """All kinds but plugins that fail to load."""
        pairs = {name: self.get(name) for name in self}
        return {name: section for name, section in pairs.items() if section}.items()

    def values(self) -> Any:
        """The classes of `items`."""
        return dict(self.items()).values()


class _Members(Members):
    """Name -> class; a class of another module is imported on access.

    Plugins come after specflow's own kinds and cannot replace them: the meaning of a
    config does not depend on installed packages.
    """

    def __init__(
        self,
        homes: Mapping[str, type[Config] | str],
        group: str = "",
        bases: Mapping[str, type[Config]] | None = None,
    ):
        self._homes, self._group, self._bases = homes, group, bases or {}

    def __getitem__(self, name: str) -> type[Config]:
        """The class of a name.

        Raises:
            KeyError: there is no such kind.
            ConfigError: a plugin of that name fails to load.
        """
        home = self._homes.get(name)
        if home is None:
            plugin = entry_points.plugin(self._group, name) if self._group else None
            if plugin is None:
                stale = entry_points.stale_metadata(self._group, name, where=name)
                raise ConfigError(stale) if stale else KeyError(name)
            from specflow.config.plugins.components import component

            return component(plugin, bases=self._bases)
        return import_module(home).MEMBERS[name] if isinstance(home, str) else home

    def get(self, name: str, default: Any = None) -> Any:
        """The class; the default also for a plugin that fails to load."""
        try:
            return self[name]
        except (KeyError, ConfigError):
            return default

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False  # A config may give any value as a name, also an unhashable.
        return name in self._homes or name in self._plugin_names()

    def __iter__(self) -> Iterator[str]:
        yield from self._homes
        yield from (name for name in self._plugin_names() if name not in self._homes)

    def _plugin_names(self) -> tuple[str, ...]:
        return entry_points.names(self._group) if self._group else ()


def _homes(members: Iterable[type[Config] | Elsewhere]) -> dict[str, Any]:
    """Name -> class, or the dotted name of its module."""
    homes: dict[str, Any] = {}
    for member in members:
        if isinstance(member, Elsewhere):
            homes |= dict.fromkeys(member.names, member.module)
        else:
            homes[member.model_fields["name"].default] = member
    return homes


def named(
    *members: type[Config] | Elsewhere, group: str = ""
) -> Mapping[str, type[Config]]:
    """Name -> class, of configs whose field `name` has their name as the default.

    Args:
        *members: the configs, in the order in which they are listed.
        group: entry points by which outside packages add to them.
    """
    return _Members(_homes(members), group)


def by_name(
    *members: type[Config] | Elsewhere,
    group: str = "",
    bases: Mapping[str, type[Config]] | None = None,
) -> Any:
    """One of several configs, discriminated by their `name`, or a `Target`.

    Args:
        *members: the configs, in the order in which they are listed.
        group: entry points by which outside packages add to them.
        bases: argument that the framework passes -> a class from which the section of a
            plugin whose function takes that argument inherits its other fields.

    >>> from typing import Literal
    >>> from pydantic import TypeAdapter
    >>> class Cnn(Config):
    ...     name: Literal["cnn"] = "cnn"
    ...     width: int
    >>> class Mlp(Config):
    ...     name: Literal["mlp"] = "mlp"
    >>> adapter = TypeAdapter(by_name(Cnn, Mlp))
    >>> adapter.validate_python({"name": "cnn", "width": 8})
    Cnn(name='cnn', width=8)
    >>> adapter.validate_python({"_target_": "my_package.Net", "depth": 2}).arguments
    {'depth': 2}
    """
    known = _Members({TARGET: Target, **_homes(members)}, group, bases)
    return Annotated[Config, Kinds(known)]
