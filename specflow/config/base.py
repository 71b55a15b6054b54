"""Base classes of the configuration's sections: frozen, closed and strict."""

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr

from specflow.config.constructed import Constructed
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.runtime.filesystem import expanded

__all__ = [
    "MOST_STEPS",
    "TARGET",
    "Bound",
    "Component",
    "Config",
    "Dtype",
    "Says",
    "Target",
    "UserPath",
    "name_of",
]

TARGET = "_target_"
"""The key under which a configuration names a callable of the user's own."""

Dtype = Literal["float32", "bfloat16", "float16"]
"""The floats that a field may choose among."""

MOST_STEPS = 2_000_000_000
"""Training steps that a run may have: devices count them in an int32."""


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


def name_of(value: Any) -> Any:
    """The name by which a section says of which kind it is; None if it does not."""
    if isinstance(value, Target):
        return TARGET
    if isinstance(value, BaseModel):
        return getattr(value, "name", None)
    if not isinstance(value, dict):
        return None
    return TARGET if TARGET in value else value.get("name")
