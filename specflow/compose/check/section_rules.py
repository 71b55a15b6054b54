"""Rules between fields and between sections, checked on their valid parts."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from specflow.compose.section_types import Slot
from specflow.config.base import Config
from specflow.config.broken_rules import OF_RULES
from specflow.config.experiment import SPANNING_RULES, ExperimentConfig

__all__ = ["broken_rules"]

Path = tuple[str, ...]
Violation = tuple[Path, Any, Mapping[str, Any]]
"""Path of a field, its value, and the description of the rule that it breaks."""


def broken_rules(
    tree: Mapping[str, Any], wrong: Iterable[Path], doubtful: Collection[str]
) -> Iterator[ErrorDetails]:
    """Yields the broken rules, beside all other errors.

    Pydantic checks the rules of a section only when all of its fields are valid. Here
    each rule is called with a section that lacks the attributes of invalid fields: a
    rule that reads one raises AttributeError, and is skipped.

    Args:
        tree: the experiment as plain values.
        wrong: paths of invalid values.
        doubtful: sections that no rule may read.
    """
    parts = _Parts(frozenset(wrong))
    sections: dict[str, Any] = {}
    for key, field in ExperimentConfig.model_fields.items():
        if key in doubtful:
            continue
        slot = Slot.of_field(field)
        if key not in tree:
            if not field.is_required():
                sections[key] = field.get_default(call_default_factory=True)
        elif (part := parts.of(slot, tree[key], (key,))) is not _NOTHING:
            sections[key] = part
    sound: Any = SimpleNamespace(**sections)
    broken = [
        *parts.broken,
        *(
            violation
            for rule in SPANNING_RULES
            for violation in _violations(rule, sound)
        ),
    ]
    for path, value, description in broken:
        yield ErrorDetails(
            type="rule",
            loc=path,
            msg=str(description["expected"]),
            input=value,
            ctx=dict(description),
        )


_NOTHING = object()


class _Parts:
    """Builds sections from valid values, and collects the rules that they break."""

    def __init__(self, wrong: Collection[Path]):
        self.wrong = wrong
        self.broken: list[Violation] = []
        self._above = {path[:length] for path in wrong for length in range(len(path))}

    def of(self, slot: Slot, value: Any, path: Path) -> Any:
        """Returns the valid part of a value: section, mapping, leaf, or `_NOTHING`."""
        if path in self.wrong:
            return _NOTHING
        if path not in self._above:
            return _valid(slot, value)
        if not isinstance(value, dict):
            return _NOTHING
        section = slot.section(value)
        if section is not None:
            return self._section(section, slot, value, path)
        if not all(isinstance(key, str) for key in value):
            return _NOTHING  # The name of the item is unknown.
        found = {}
        for key, inner in value.items():
            child = slot.child(key, value)
            made = self.of(child, inner, (*path, str(key))) if child else _NOTHING
            # An invalid item still exists under its name.
            found[key] = Config.model_construct() if made is _NOTHING else made
        return found

    def _section(
        self, section: type[Config], slot: Slot, value: dict[str, Any], path: Path
    ) -> Config:
        found, absent = {}, []
        for name, field in section.model_fields.items():
            key = field.alias or name
            if key not in value:
                absent += [name] if field.is_required() else []
                continue
            child = slot.child(key, value)
            made = self.of(child, value[key], (*path, key)) if child else _NOTHING
            if made is _NOTHING:
                absent.append(name)
            else:
                found[name] = made
        made = section.model_construct(**found)
        for name in absent:
            vars(made).pop(name, None)
        for at, detail, description in _own_rules(made):
            self.broken.append(((*path, *at), detail, description))
        return made


def _valid(slot: Slot, value: Any) -> Any:
    section = slot.section(value) if isinstance(value, dict) else None
    kind: Any = slot.annotation
    if slot.metadata:
        kind = Annotated[kind, *slot.metadata]
    try:
        # The section's own validator exists since the experiment was validated.
        if section is not None:
            return section.model_validate(value)
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return _NOTHING


def _own_rules(section: Config) -> Iterator[Violation]:
    """Yields the rules between a section's own fields that it breaks."""
    decorators = type(section).__pydantic_decorators__.model_validators
    for name, decorator in decorators.items():
        if decorator.info.mode != "after":
            continue
        try:
            getattr(section, name)()
        except AttributeError:
            continue  # The rule reads an invalid field.
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                description = {"expected": detail["msg"], **detail.get("ctx", {})}
                yield tuple(map(str, detail["loc"])), detail["input"], description


def _violations(rule: Any, sound: Any) -> Iterator[Violation]:
    """Yields the violations of a rule until it reads an invalid field."""
    try:
        for path, value, *description in rule(sound):
            yield path, value, dict(zip(OF_RULES, description, strict=False))
    except AttributeError:
        return
