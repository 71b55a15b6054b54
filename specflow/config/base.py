"""Base classes of the configuration's sections: frozen, closed and strict."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr

from specflow.config.constructed import Constructed
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.runtime.filesystem import expanded

__all__ = [
    "ARGS",
    "MOST_STEPS",
    "PARTIAL",
    "TARGET",
    "Bound",
    "Component",
    "Config",
    "Dtype",
    "Says",
    "Target",
    "UserPath",
    "raised_in",
]

TARGET = "_target_"
"""Key under which a configuration names a user's callable."""

ARGS, PARTIAL = "_args_", "_partial_"
"""Keys beside it, as in Hydra: a list of arguments by position; whether a target inside
another one's arguments is passed on as a function of the arguments that it lacks."""

Dtype = Literal["float32", "bfloat16", "float16"]
"""Floating-point data types of fields."""

MOST_STEPS = 2_000_000_000
"""Maximum number of training steps: devices count them in an int32."""


class Config(BaseModel, metaclass=Constructed):
    """Base class of sections: no unknown fields, immutable.

    Validation is strict (`"3"` is not a number, `1.0` not an integer, `true` not a
    count): YAML and the command line already distinguish numbers from text.
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
    """A section that names a callable, which only `compose/check/targets.py` binds."""

    _callable: Callable[..., Any] | None = PrivateAttr(default=None)

    @property
    def path(self) -> str:
        """Dotted path of the callable."""
        raise NotImplementedError

    def bind(self, function: Callable[..., Any]) -> None:
        """Binds the callable that `path` resolved to."""
        self._callable = function

    @property
    def callable(self) -> Callable[..., Any]:
        """The bound callable.

        Raises:
            ConfigError: the section was never bound.
        """
        if self._callable is None:
            raise _unbound(self.path)
        return self._callable


class Target(Bound):
    """An importable callable inside the trusted packages, with its arguments.

    In YAML: `{_target_: my_package.Net, width: 32}`. Arguments may have targets inside,
    at any depth, which are called first.
    """

    model_config = ConfigDict(extra="allow")

    target: Annotated[str, Field(alias=TARGET)]
    """Dotted path of the callable."""

    _inner: dict[tuple[str, ...], Callable[..., Any]] = PrivateAttr(
        default_factory=dict
    )

    @property
    def path(self) -> str:
        return self.target

    def bind_inside(self, path: tuple[str, ...], function: Callable[..., Any]) -> None:
        """Binds the callable of a target at a path among the arguments."""
        self._inner[path] = function

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments, as written; `_args_` are those by position."""
        return dict(self.model_extra or {})

    def built_arguments(self) -> dict[str, Any]:
        """Keyword arguments; those that are targets are what these return.

        Raises:
            ConfigError: a target among them was never bound.
        """
        return {key: self._built(self.arguments[key], (key,)) for key in self.arguments}

    def __call__(self, *args: Any, **extra: Any) -> Any:
        """Calls the target with its arguments, which `extra` overrides."""
        arguments = self.built_arguments() | extra
        with _noted(self.path):
            return self.callable(*args, *arguments.pop(ARGS, ()), **arguments)

    def _built(self, value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, list):
            return [self._built(each, (*path, str(i))) for i, each in enumerate(value)]
        if not isinstance(value, dict):
            return value
        members = {key: self._built(value[key], (*path, str(key))) for key in value}
        name = members.pop(TARGET, None)
        if name is None:
            return members
        if path not in self._inner:
            raise _unbound(name)
        function = self._inner[path]
        if members.pop(PARTIAL, False):
            return functools.partial(function, *members.pop(ARGS, ()), **members)
        with _noted(name):
            return function(*members.pop(ARGS, ()), **members)


class Component(Config):
    """A section that a plugin declares, and that builds the component.

    `docs/plugins.md` lists the arguments and the result of `build` for each kind.

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
    """Builds the component; receives the framework's values that it has as
    arguments."""
    open_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields of any type, in which text that starts like a key path is one."""

    @property
    def path(self) -> str:
        """Dotted path of the class, for messages."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    @classmethod
    def takes(cls, name: str) -> bool:
        """True if `build` has an argument of the name."""
        parameters = inspect.signature(cls.build).parameters
        is_open = any(
            parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
        )
        return is_open or name in parameters

    def __call__(self, **given: Any) -> Any:
        """Builds the component.

        Args:
            **given: values of the framework; a tensor of a mapping of key paths has the
                name `field.name`.
        """
        arguments: dict[str, Any] = {}
        for key, value in given.items():
            field, _, name = key.partition(".")
            if name:
                arguments.setdefault(field, {})[name] = value
            else:
                arguments[field] = value
        arguments = {key: value for key, value in arguments.items() if self.takes(key)}
        with _noted(self.path):
            return self.build(**arguments)


def _unbound(path: str) -> ConfigError:
    return ConfigError(
        Diagnostic(
            path,
            "was not resolved",
            hint="Compose the experiment with specflow.compose.compose(), "
            "which resolves targets inside the trusted packages.",
            code="target-unbound",
        )
    )


@contextmanager
def _noted(path: str) -> Iterator[None]:
    """Adds a note to exceptions of foreign code: the path in the configuration."""
    try:
        yield
    except Exception as error:
        error.add_note(raised_in(path))
        raise


def raised_in(path: str) -> str:
    """The note of an exception that a callable of the configuration raised."""
    return f"It was raised in {path}, which the configuration names."


@dataclasses.dataclass(frozen=True)
class Says:
    """Describes the values of the adjacent validator, for messages and JSON Schema."""

    words: str
    """Noun phrase for messages."""
    pattern: str
    """Regular expression of accepted texts."""
    minimum: int | None = None
    """Minimum of accepted integers; None: integers are not accepted."""
    alternatives: tuple[dict[str, Any], ...] = dataclasses.field(default=(), hash=False)
    """JSON Schemas of accepted values that are neither texts nor integers."""


def _check_home(path: str) -> str:
    expanded(path)
    return path


UserPath = Annotated[str, AfterValidator(_check_home)]
"""A file or folder. A leading `~` or `~user` stays in the config, which may be used on
another machine; `specflow.runtime.filesystem.expanded` replaces it on use. Relative
paths are resolved against the folder in which the command was started, which a run's
manifest records (`specflow.compose.start_folder`)."""
