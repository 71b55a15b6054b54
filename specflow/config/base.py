"""What every word of the configuration is: frozen, closed, strict."""

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import (
    CoreSchema,
    InitErrorDetails,
    PydanticCustomError,
    PydanticKnownError,
    core_schema,
)

from specflow.config.constructed import Constructed
from specflow.config.plugins import entry_points
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.runtime.filesystem import expanded

__all__ = [
    "MOST_STEPS",
    "OF_RULES",
    "ROOTS",
    "TARGET",
    "Bound",
    "Broken",
    "Component",
    "Config",
    "Dtype",
    "Elsewhere",
    "KeyPath",
    "Kinds",
    "Says",
    "Target",
    "UserPath",
    "by_name",
    "key_paths",
    "name_of",
    "named",
    "refuse",
]

TARGET = "_target_"
"""The key under which a configuration names a callable of the user's own."""

Dtype = Literal["float32", "bfloat16", "float16"]
"""The floats that a field may choose among."""

MOST_STEPS = 2_000_000_000
"""Training steps that a run may have: devices count them in an int32."""

ROOTS = ("features", "labels", "outputs", "predictions", "losses")
"""Where a key path can begin."""


class Config(BaseModel, metaclass=Constructed):
    """A section of an experiment: no unknown field, no change after it is made.

    Values are taken as they are (`"3"` is no number, `1.0` no integer, `true` no
    count), because YAML and the command line already know numbers from text.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        defer_build=True,
        protected_namespaces=(),
    )


class Bound(Config):
    """A section that names a callable; `compose/check/targets.py` alone binds it."""

    _callable: Callable[..., Any] | None = PrivateAttr(default=None)

    @property
    def path(self) -> str:
        """The dotted path of the callable."""
        raise NotImplementedError

    def bind(self, function: Callable[..., Any]) -> None:
        """Hands over the callable that `path` resolved to."""
        self._callable = function

    @property
    def callable(self) -> Callable[..., Any]:
        """The callable itself.

        Raises:
            ConfigError: the section was never bound.
        """
        if self._callable is None:
            raise ConfigError(
                Diagnostic(
                    self.path,
                    "was not resolved",
                    hint="Compose the experiment with specflow.compose.compose(), "
                    "which resolves targets inside the trusted packages.",
                    code="target-unbound",
                )
            )
        return self._callable


class Target(Bound):
    """Any importable callable inside the trusted packages, with its arguments.

    In YAML: `{_target_: my_package.Net, width: 32}`.
    """

    model_config = ConfigDict(extra="allow")

    target: Annotated[str, Field(alias=TARGET)]
    """Dotted path of the callable."""

    @property
    def path(self) -> str:
        return self.target

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments as written."""
        return dict(self.model_extra or {})

    def __call__(self, *args: Any, **extra: Any) -> Any:
        """Calls the target with its arguments, and with `extra` laid over them."""
        with _told_of(self.path):
            return self.callable(*args, **{**self.arguments, **extra})


class Component(Config):
    """A section that an outside package declares, and that builds what it stands for.

    `docs/plugins.md` says what `build` is given, and what it returns, for each kind.

    >>> from typing import Literal
    >>> class Scaled(Component):
    ...     name: Literal["scaled"] = "scaled"
    ...     by: float = 2.0
    ...     def build(self, of):
    ...         return self.by * of
    >>> Scaled(by=3.0)(of=2.0, labels=None)
    6.0
    """

    build: ClassVar[Callable[..., Any]]
    """Takes, by keyword, what it wants of what the framework hands over."""
    open_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields of any value, in which a text that begins as a key path does is one."""

    @property
    def path(self) -> str:
        """The dotted path of what builds, for messages."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    @classmethod
    def takes(cls, name: str) -> bool:
        """Whether `build` is called with what the framework hands over by a name."""
        parameters = inspect.signature(cls.build).parameters
        is_open = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
        return is_open or name in parameters

    def __call__(self, **given: Any) -> Any:
        """What the section stands for.

        Args:
            **given: what the framework hands over; a tensor of a mapping of key paths
                goes by `field.name`.
        """
        arguments: dict[str, Any] = {}
        for key, value in given.items():
            field, _, name = key.partition(".")
            if name:
                arguments.setdefault(field, {})[name] = value
            else:
                arguments[field] = value
        arguments = {key: value for key, value in arguments.items() if self.takes(key)}
        with _told_of(self.path):
            return self.build(**arguments)


@contextmanager
def _told_of(path: str) -> Iterator[None]:
    """What code of others raises stays theirs, and says who called it."""
    try:
        yield
    except Exception as error:
        error.add_note(f"It was raised in {path}, which the configuration names.")
        raise


@dataclasses.dataclass(frozen=True)
class Says:
    """Says what the validator beside it takes, to people and to JSON Schema."""

    words: str
    """A noun phrase, for messages."""
    pattern: str
    """Of the texts that it takes."""
    minimum: int | None = None
    """The least of the whole numbers that it takes; none: it takes no number."""


def _check_home(path: str) -> str:
    expanded(path)
    return path


UserPath = Annotated[str, AfterValidator(_check_home)]
"""A file or folder. `~` and `~user` at its start stay in the config, which may go to
another machine; `specflow.runtime.filesystem.expanded` replaces them where the path
is used.
A relative one counts from the folder in which the command was started, which the
manifest of a run records; `specflow.compose.start_folder` is the one place for that."""


def _check_key_path(path: str) -> str:
    root, _, rest = path.partition(".")
    if root not in ROOTS:
        raise ValueError(f"a key path begins with one of {', '.join(ROOTS)}")
    if root in ("features", "predictions", "losses") and not rest:
        raise ValueError(f"'{root}' alone names no tensor; write {root}.<name>")
    return path


KeyPath = Annotated[
    str,
    AfterValidator(_check_key_path),
    Says(
        "a key path (features.<name>, labels, outputs, predictions.<name> or "
        "losses.<name>)",
        r"^(labels|outputs)(\.|$)|^(features|predictions|losses)\.[\s\S]",
    ),
]
"""`features.<name>`, `labels[.<name>]`, `outputs[.<name>]`, `predictions.<name>` or
`losses.<name>` (a declared loss before it is reduced: one value for each example or
token)."""


def key_paths(member: Config) -> dict[str, str]:
    """Field -> key path, of every field of a declared part that is one.

    A field that holds several has an entry each, `field.name`. Of a `Target`, every
    argument that begins as a key path does is one.

    >>> class Softmax(Config):
    ...     of: KeyPath = "outputs"
    ...     weights: KeyPath | None = None
    ...     names: dict[str, KeyPath] = {"p": "predictions.p"}
    >>> key_paths(Softmax())
    {'of': 'outputs', 'names.p': 'predictions.p'}
    >>> key_paths(Target(_target_="my_package.loss", logits="outputs", scale="log"))
    {'logits': 'outputs'}
    """
    if isinstance(member, Target):
        return {
            key: value
            for key, value in member.arguments.items()
            if isinstance(value, str) and value.split(".")[0] in ROOTS
        }
    found: dict[str, str] = {}
    for name, field in type(member).model_fields.items():
        # A part that is judged although something in it is wrong lacks just that.
        value = getattr(member, name, None)
        if isinstance(member, Component) and name in member.open_fields:
            if isinstance(value, str) and value.split(".")[0] in ROOTS:
                found[name] = value
            continue
        if not _holds_key_path(field):
            continue
        if isinstance(value, str):
            found[name] = value
        elif isinstance(value, Mapping):
            found |= {f"{name}.{key}": path for key, path in value.items()}
    return found


def _holds_key_path(field: FieldInfo) -> bool:
    check = AfterValidator(_check_key_path)
    return check in field.metadata or any(
        check in getattr(member, "__metadata__", ())
        for member in get_args(field.annotation)
    )


class Broken(NamedTuple):
    """A broken rule between two fields, of which messages name both origins."""

    where: tuple[str, ...]
    value: Any
    expected: str
    beside: str = ""
    """The other field, of which `expected` speaks last: a dotted key, or `.name` for
    one of the same section."""
    hint: str = ""
    """What to do; `{where}` and `{beside}` stand for the keys."""


OF_RULES = Broken._fields[2:]
"""What an error says of a broken rule, beside its path and its value."""


def refuse(
    title: str, diagnostics: Iterable[Broken | tuple[tuple[str | int, ...], Any, str]]
) -> None:
    """Raises every broken rule of a section at once, each at its own field.

    Args:
        title: name of the section's class.
        diagnostics: (path of the field, its value, what was expected) of each broken
            rule; `Broken` where two fields together break it.

    Raises:
        ValidationError: there is a fault; inside a validator it joins the others.
    """
    errors = [
        InitErrorDetails(
            type=PydanticCustomError(
                "rule", "{expected}", dict(zip(OF_RULES, about, strict=False))
            ),
            loc=where,
            input=value,
        )
        for where, value, *about in diagnostics
    ]
    if errors:
        raise ValidationError.from_exception_data(title, errors)


def name_of(value: Any) -> Any:
    """The name by which a section says of which kind it is; None if it does not."""
    if isinstance(value, Target):
        return TARGET
    if isinstance(value, BaseModel):
        return getattr(value, "name", None)
    if not isinstance(value, dict):
        return None
    return TARGET if TARGET in value else value.get("name")


@dataclasses.dataclass(frozen=True, eq=False)
class Kinds:
    """Marks a section of one of several kinds, each a class.

    Pydantic's own union would build the schemas of all classes before it can validate
    one section, which takes longer than all the rest of composing.
    """

    members: Mapping[str, type[Config]]
    """Name -> class."""
    name_of: Callable[[Any], Any] = name_of
    """The name of a section's kind; None if it does not say."""
    words: tuple[str, ...] = ()
    """Texts that may stand in the place of a section. Where there are some, the name
    of a kind alone is the section of that name."""

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
            # A plugin that cannot be used raises a fault, which is a ValueError.
            member = self.members[str(name)]
        except KeyError:
            names = ", ".join((*self.words, *self.members))
            raise PydanticKnownError(
                "union_tag_invalid",
                {"discriminator": "name", "tag": str(name), "expected_tags": names},
            ) from None
        return member.model_validate(value)


class Elsewhere:
    """Kinds of a section whose classes another module holds, as `MEMBERS`.

    It is imported when one of them is met. Making the classes of all kinds would take
    longer than composing an experiment, which has a few of them.

    Args:
        module: its dotted name.
        *names: of the kinds.
    """

    def __init__(self, module: str, *names: str):
        self.module, self.names = module, names


class _Members(Mapping[str, type[Config]]):
    """Name -> class; one that stands elsewhere is imported when it is asked for.

    After specflow's own come those of installed packages, which cannot take a name of
    specflow's: what a config means does not change with what is installed.
    """

    def __init__(self, homes: Mapping[str, type[Config] | str], group: str = ""):
        self._homes, self._group = homes, group

    def __getitem__(self, name: str) -> type[Config]:
        """The class.

        Raises:
            KeyError: there is nothing by that name.
            ConfigError: there is a plugin by that name, and it cannot be used.
        """
        home = self._homes.get(name)
        if home is None:
            found = entry_points.plugin(self._group, name) if self._group else None
            if found is None:
                raise KeyError(name)
            from specflow.config.plugins.components import component

            return component(found)
        return import_module(home).MEMBERS[name] if isinstance(home, str) else home

    def get(self, name: str, default: Any = None) -> Any:
        """The class; the default also where a plugin cannot be used."""
        try:
            return self[name]
        except (KeyError, ConfigError):
            return default

    def __contains__(self, name: object) -> bool:
        return name in self._homes or name in self._brought()

    def __iter__(self) -> Iterator[str]:
        yield from self._homes
        yield from (name for name in self._brought() if name not in self._homes)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def items(self) -> Any:
        """All but the plugins that cannot be used."""
        pairs = {name: self.get(name) for name in self}
        return {name: found for name, found in pairs.items() if found}.items()

    def values(self) -> Any:
        """The classes of `items`."""
        return dict(self.items()).values()

    def _brought(self) -> tuple[str, ...]:
        return entry_points.names(self._group) if self._group else ()


def _homes(members: Iterable[type[Config] | Elsewhere]) -> dict[str, Any]:
    """Name -> class, or the module that holds it."""
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
    """Name -> class, of configs that say their `name` by default.

    Args:
        *members: the configs, in the order in which they are listed.
        group: entry points by which outside packages add to them.
    """
    return _Members(_homes(members), group)


def by_name(*members: type[Config] | Elsewhere, group: str = "") -> Any:
    """One of some configs, told apart by their `name`, or a `Target`.

    Args:
        *members: the configs, in the order in which they are listed.
        group: entry points by which outside packages add to them.

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
    known = _Members({TARGET: Target, **_homes(members)}, group)
    return Annotated[Config, Kinds(known)]
