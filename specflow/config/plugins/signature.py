"""Sections derived from the signature of a class or function.

Arguments become fields, validated strictly (`docs/plugins.md`). Arguments that the
framework passes are not fields, and tensors are given as key paths.
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
    "specflow.reporters": frozenset({"directory", "resumed_at", "run"}),
    "specflow.exporters": frozenset({"name", "input_fn"}),
}
"""Group -> names of the arguments that the framework passes."""

OF_TENSORS = ("specflow.losses", "specflow.metrics", "specflow.predictions")
"""Groups whose functions receive tensors."""

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
"""Argument that is a tensor by its name -> its default key path."""

_LOSS: Mapping[str, tuple[Any, Any]] = {
    "weight": (
        PositiveFloat,
        Field(default=1.0, description="Weight of this loss in the sum of losses."),
    ),
    "example_weights": (
        Optional[KeyPath],  # noqa: UP045 - `Annotated | None` is no type
        Field(
            default=None,
            description="Key path of sample weights, one per example or token; null: "
            "weight 1.",
        ),
    ),
}
"""Fields of every loss, which are not passed to its function."""

_ABSENT = inspect.Parameter.empty
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class SignatureError(ValueError):
    """A signature without a section."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Plan:
    """Mapping from the fields of a section to the arguments of a function."""

    function: Callable[..., Any]
    fields: Mapping[str, str]
    """Argument -> its field."""
    given: frozenset[str]
    """Arguments that the framework passes."""
    casts: Mapping[str, Callable[[Any], Any]]
    """Argument -> conversion from the YAML value."""
    left_out: frozenset[str]
    """Tensors that are not passed where they are null: their own defaults apply."""

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
    """Base class of derived sections."""

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
    """Derives the section of a class or function.

    Args:
        function: a class (its constructor, or `from_batch` of a metric) or a function.
        name: its name in configs.
        group: its group of entry points.
        bases: argument that the framework passes -> class of the fields that the
            section has where the function takes that argument.

    Raises:
        SignatureError: an argument is positional only, or YAML cannot represent it.

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
        field_of = _field(parameter, of_tensors=group in OF_TENSORS)
        if field_of is None:
            continue
        if key in _LOSS and group == "specflow.losses":
            raise SignatureError(f"takes {key}, which every loss has as a field")
        annotation, default = field_of
        # Some names are attributes of every section.
        field = f"{key}_" if hasattr(_Derived, key) else key
        alias = key if field != key else None
        fields[field] = (
            annotation,
            Field(default=default, alias=alias, description=texts.get(key)),
        )
        names[key] = field
        if annotation is Any and group in OF_TENSORS:
            open_fields.add(field)
        # By identity: comparing arrays returns an array.
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
    """Type and default of an argument's field; None if the argument keeps its default.

    Raises:
        SignatureError: it is required, and YAML cannot represent it.
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
        annotated = inspect.formatannotation(annotation)
        problem = (
            f"is {annotated}, which YAML cannot represent"
            if kind is None
            else "is taken"
        )
        raise SignatureError(f"needs an argument {name}, which {problem}")
    if default is _ABSENT:
        return kind, ...
    default = list(default) if isinstance(default, tuple) else default
    if default is None and kind is not Any:
        kind = kind | None
    _check_default(name, kind, default)
    return kind, default


def _check_default(name: str, kind: Any, default: Any) -> None:
    """Checks that a default can be written to a run directory and read again."""
    strict = ConfigDict(strict=True, allow_inf_nan=False)
    marked: Any = Annotated[kind, Field()]  # A Config has its own strictness.
    try:
        TypeAdapter(marked, config=strict).validate_python(default)
    except ValidationError:
        problem = f"has a default {default!r} for {name}, which is annotated otherwise"
        raise SignatureError(problem) from None


def _parameters(function: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    try:
        parameters = [*inspect.signature(_signed(function)).parameters.values()]
    except (TypeError, ValueError):
        raise SignatureError("has no signature") from None
    try:
        evaluated = inspect.signature(_signed(function), eval_str=True).parameters
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise SignatureError(f"has an annotation that fails: {reason}") from None
    # The first argument of a constructor is the object itself.
    own = 1 if _signed(function) != _called(function) else 0
    for parameter in parameters[own:]:
        if parameter.kind in _BY_NAME:
            yield evaluated[parameter.name]
        elif parameter.kind is not parameter.VAR_KEYWORD:
            mark = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
            raise SignatureError(f"takes {mark}{parameter.name} by position only")


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """The callable: `from_batch` of a metric, the function itself otherwise."""
    return getattr(function, "from_batch", function)


def _signed(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function whose signature counts: a metaclass may accept and forward
    anything.
    """
    called = _called(function)
    if inspect.isclass(called) and called.__init__ is not object.__init__:
        return called.__init__
    return called


def _is_rngs(annotation: Any) -> bool:
    """True if the annotation is `flax.nnx.Rngs`; does not import Flax."""
    home = getattr(annotation, "__module__", "")
    return getattr(annotation, "__name__", "") == "Rngs" and home.startswith("flax.")


def _is_plain(value: Any) -> bool:
    """True if YAML can represent the value."""
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
    """Argument -> its text in the docstring's `Args`, in Google form."""
    texts: dict[str, str] = {}
    for part in (function, _signed(function)):
        args = re.search(
            r"^Args:\n((?:[ \t]+.*\n?|\n)*)", inspect.getdoc(part) or "", re.M
        )
        listed = inspect.cleandoc(args[1]) if args else ""
        for entry in re.split(r"\n(?=\S)", listed):
            name, colon, text = entry.partition(":")
            if colon:
                texts[name.split(" ")[0].strip()] = " ".join(text.split())
    return texts
