"""A section made of a signature: what a plain class or function takes, as a schema.

Arguments become fields, strict and closed as all others; `docs/plugins.md` says how.
What
the framework hands over itself is no field, and a tensor is named by its key path.
"""

import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Optional

from pydantic import ConfigDict, Field, PositiveFloat, TypeAdapter, ValidationError
from pydantic import create_model as create

from specflow.config.base import Component, Config
from specflow.config.key_path import KeyPath
from specflow.config.plugins.annotations import cast_of, field_type, has_none, is_array

__all__ = ["GIVEN", "OF_TENSORS", "TENSORS", "SignatureError", "derived"]

GIVEN: Mapping[str, frozenset[str]] = {
    "specflow.models": frozenset({"rngs"}),
    "specflow.optimizers": frozenset({"learning_rate", "train_steps"}),
    "specflow.schedules": frozenset({"lr", "train_steps"}),
    "specflow.reporters": frozenset({"directory", "resumed_at"}),
    "specflow.exporters": frozenset({"name", "input_fn"}),
}
"""Kind -> arguments that the framework hands over, by their names."""

OF_TENSORS = ("specflow.losses", "specflow.metrics", "specflow.predictions")
"""Kinds that are given tensors."""

TENSORS: Mapping[str, Any] = {
    "labels": "labels",
    "logits": "outputs",
    "of": "outputs",
    "outputs": "outputs",
    "predictions": ...,
    "scores": ...,
    "values": ...,
    "weights": ...,
}
"""Argument that is a tensor by its name -> the key path that it has by default."""

_LOSS: Mapping[str, tuple[Any, Any]] = {
    "weight": (
        PositiveFloat,
        Field(default=1.0, description="Share of this loss in the sum."),
    ),
    "example_weights": (
        Optional[KeyPath],  # noqa: UP045 - `Annotated | None` is no type
        Field(
            default=None,
            description="Weight of each example (or token); null counts each once.",
        ),
    ),
}
"""What every loss has, which its function does not see."""

_ABSENT = inspect.Parameter.empty
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class SignatureError(ValueError):
    """A signature of which no section can be made."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Plan:
    """How a function is called with what a section says."""

    function: Callable[..., Any]
    fields: Mapping[str, str]
    """Argument -> the field that holds it."""
    given: frozenset[str]
    """Arguments that the framework hands over."""
    casts: Mapping[str, Callable[[Any], Any]]
    """Argument -> what makes it of a value of YAML."""
    left_out: frozenset[str]
    """Tensors that are not handed over where there is none, for their own defaults."""

    def call(self, section: Component, given: Mapping[str, Any]) -> Any:
        arguments: dict[str, Any] = {}
        for name, field in self.fields.items():
            value, cast = getattr(section, field), self.casts.get(name)
            if value is not None or name not in self.left_out:
                arguments[name] = cast(value) if cast and value is not None else value
        known = self.fields.keys() | self.given
        arguments |= {name: given[name] for name in given if name in known}
        return _called(self.function)(**arguments)


class _Derived(Component):
    """What all sections have that are made of a signature."""

    _plan: ClassVar[_Plan]

    @property
    def path(self) -> str:
        function = self._plan.function
        name = getattr(function, "__qualname__", type(function).__qualname__)
        return f"{getattr(function, '__module__', '')}.{name}"

    def build(self, **given: Any) -> Any:
        return self._plan.call(self, given)


def derived(
    function: Callable[..., Any],
    *,
    name: str,
    group: str,
    bases: Mapping[str, type[Config]] | None = None,
) -> type[Component]:
    """The section of a plain class or function.

    Args:
        function: of a class its constructor counts, of a metric its `from_batch`.
        name: by which configs name it.
        group: its kind, as entry points call it.
        bases: argument that the framework passes -> class of the fields that the
            section has where the function takes that argument.

    Raises:
        SignatureError: an argument has no name, or nothing that YAML can hold.

    >>> def focal(logits, labels, *, gamma: float = 2.0):
    ...     "Cross-entropy that looks at what is hard."
    >>> section = derived(focal, name="focal", group="specflow.losses")
    >>> section(gamma=3.0).model_dump(exclude={"weight", "example_weights"})
    {'name': 'focal', 'logits': 'outputs', 'labels': 'labels', 'gamma': 3.0}
    """
    given = GIVEN.get(group, frozenset())
    texts = _texts(function)
    fields: dict[str, Any] = {"name": (Literal[name], name)}  # type: ignore[valid-type]
    names: dict[str, str] = {}
    casts, taken, left_out, open_fields = {}, set(), set(), set()
    for parameter in _parameters(function):
        key = parameter.name
        if key in given or _is_rngs(parameter.annotation):
            taken.add(key)
            continue
        made = _field(parameter, of_tensors=group in OF_TENSORS)
        if made is None:
            continue
        if key in _LOSS and group == "specflow.losses":
            raise SignatureError(f"takes {key}, which every loss has as a field")
        annotation, default = made
        # Some names are taken by what every section can do.
        field = f"{key}_" if hasattr(_Derived, key) else key
        alias = key if field != key else None
        fields[field] = (
            annotation,
            Field(default=default, alias=alias, description=texts.get(key)),
        )
        names[key] = field
        if annotation is Any and group in OF_TENSORS:
            open_fields.add(field)
        # By identity: an array answers equality with an array.
        if default is None and not any(
            parameter.default is none for none in (None, _ABSENT)
        ):
            left_out.add(key)
        if cast := cast_of(parameter.annotation):
            casts[key] = cast
    if group == "specflow.losses":
        fields |= _LOSS
    inherited = tuple(base for key, base in (bases or {}).items() if key in taken)
    section: Any = create(
        getattr(function, "__name__", name),
        __base__=(_Derived, *inherited),
        __module__=getattr(function, "__module__", __name__),
        __doc__=inspect.getdoc(function) or "",
        **fields,
    )
    section._plan = _Plan(function, names, frozenset(taken), casts, frozenset(left_out))
    section.open_fields = frozenset(open_fields)
    section.model_rebuild()
    return section


def _field(parameter: inspect.Parameter, *, of_tensors: bool) -> tuple[Any, Any] | None:
    """Type and default of an argument; none if it keeps its own default.

    Raises:
        SignatureError: it must be given, and YAML cannot hold it.
    """
    name, annotation, default = parameter.name, parameter.annotation, parameter.default
    by_name = annotation in (_ABSENT, Any) and name in TENSORS
    if of_tensors and (by_name or is_array(annotation)):
        if default is _ABSENT and not has_none(annotation):
            return KeyPath, TENSORS.get(name, ...)
        return Optional[KeyPath], None  # noqa: UP045 - `Annotated | None` is no type
    kind = field_type(annotation)
    plain = default is _ABSENT or _is_plain(default)
    if name == "name" or kind is None or not plain:
        if default is not _ABSENT:
            return None
        said = inspect.formatannotation(annotation)
        problem = f"is {said}, which YAML cannot hold" if kind is None else "is taken"
        raise SignatureError(f"needs an argument {name}, which {problem}")
    if default is _ABSENT:
        return kind, ...
    default = list(default) if isinstance(default, tuple) else default
    if default is None and kind is not Any:
        kind = kind | None
    _check_default(name, kind, default)
    return kind, default


def _check_default(name: str, kind: Any, default: Any) -> None:
    """A default must be a value that a run directory can hold, and read again."""
    strict = ConfigDict(strict=True, allow_inf_nan=False)
    marked: Any = Annotated[
        kind, Field()
    ]  # A config of our own has its own strictness.
    try:
        TypeAdapter(marked, config=strict).validate_python(default)
    except ValidationError:
        problem = f"has a default {default!r} for {name}, which is annotated otherwise"
        raise SignatureError(problem) from None


def _parameters(function: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    try:
        parameters = [*inspect.signature(_made_by(function)).parameters.values()]
    except (TypeError, ValueError):
        raise SignatureError("has no signature that Python can tell") from None
    try:
        told = inspect.signature(_made_by(function), eval_str=True).parameters
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise SignatureError(f"has an annotation that fails: {reason}") from None
    # The constructor of a class has the object itself before all others.
    own = 1 if _made_by(function) != _called(function) else 0
    for parameter in parameters[own:]:
        if parameter.kind in _BY_NAME:
            yield told[parameter.name]
        elif parameter.kind is not parameter.VAR_KEYWORD:
            mark = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
            raise SignatureError(f"takes {mark}{parameter.name} by its place only")


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """What is called: of a metric, the maker of its state."""
    return getattr(function, "from_batch", function)


def _made_by(function: Callable[..., Any]) -> Callable[..., Any]:
    """What has the signature; a metaclass may take anything and pass it on."""
    called = _called(function)
    if inspect.isclass(called) and called.__init__ is not object.__init__:
        return called.__init__
    return called


def _is_rngs(annotation: Any) -> bool:
    """Whether it is Flax's streams of random numbers; Flax need not be loaded."""
    home = getattr(annotation, "__module__", "")
    return getattr(annotation, "__name__", "") == "Rngs" and home.startswith("flax.")


def _is_plain(value: Any) -> bool:
    """Whether YAML can hold a value."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(
            map(_is_plain, value.values())
        )
    return value is None or type(value) in (bool, int, str)


def _texts(function: Callable[..., Any]) -> dict[str, str]:
    """Argument -> what its docstring says of it, in Google's form."""
    texts: dict[str, str] = {}
    for part in (function, _made_by(function)):
        found = re.search(
            r"^Args:\n((?:[ \t]+.*\n?|\n)*)", inspect.getdoc(part) or "", re.M
        )
        listed = inspect.cleandoc(found[1]) if found else ""
        for entry in re.split(r"\n(?=\S)", listed):
            name, colon, text = entry.partition(":")
            if colon:
                texts[name.split(" ")[0].strip()] = " ".join(text.split())
    return texts
