"""Rules between fields and between words, judged on what is sound of each word."""

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
Told = tuple[Path, Any, Mapping[str, Any]]
"""Path of a field, its value, what is said of the rule that they break."""


def broken_rules(
    tree: Mapping[str, Any], wrong: Iterable[Path], doubtful: Collection[str]
) -> Iterator[ErrorDetails]:
    """The broken rules, whatever else is wrong.

    Pydantic comes to the rules of a section only when all of its fields are sound. Here
    each is asked of a section that has no attribute where something is wrong, so that
    one which reads what is wrong does not speak.

    Args:
        tree: the experiment as plain values.
        wrong: paths that are wrong in themselves.
        doubtful: words that no rule may read.
    """
    parts = _Parts(frozenset(wrong))
    words: dict[str, Any] = {}
    for word, field in ExperimentConfig.model_fields.items():
        if word in doubtful:
            continue
        slot = Slot.of_field(field)
        if word not in tree:
            if not field.is_required():
                words[word] = field.get_default(call_default_factory=True)
        elif (part := parts.of(slot, tree[word], (word,))) is not _NOTHING:
            words[word] = part
    sound: Any = SimpleNamespace(**words)
    broken = [
        *parts.broken,
        *(it for rule in SPANNING_RULES for it in _ask(rule, sound)),
    ]
    for path, value, about in broken:
        yield ErrorDetails(
            type="rule",
            loc=path,
            msg=str(about["expected"]),
            input=value,
            ctx=dict(about),
        )


_NOTHING = object()


class _Parts:
    """Makes sections of what is sound, and notes which of their rules they break."""

    def __init__(self, wrong: Collection[Path]):
        self.wrong = wrong
        self.broken: list[Told] = []
        self._above = {path[:length] for path in wrong for length in range(len(path))}

    def of(self, slot: Slot, value: Any, path: Path) -> Any:
        """What is sound of a value: a section, a mapping, a leaf, or nothing."""
        if path in self.wrong:
            return _NOTHING
        if path not in self._above:
            return _whole(slot, value)
        if not isinstance(value, dict):
            return _NOTHING
        section = slot.section(value)
        if section is not None:
            return self._section(section, slot, value, path)
        if not all(isinstance(key, str) for key in value):
            return _NOTHING  # By which name an item goes is not known.
        found = {}
        for key, inner in value.items():
            child = slot.child(key, value)
            made = self.of(child, inner, (*path, str(key))) if child else _NOTHING
            # An item that is wrong is there all the same, by its name.
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
        for at, told, about in _own_rules(made):
            self.broken.append(((*path, *at), told, about))
        return made


def _whole(slot: Slot, value: Any) -> Any:
    section = slot.section(value) if isinstance(value, dict) else None
    kind: Any = slot.annotation
    if slot.metadata:
        kind = Annotated[kind, *slot.metadata]
    try:
        # A section has its validator since it was judged as a part of the experiment.
        if section is not None:
            return section.model_validate(value)
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return _NOTHING


def _own_rules(section: Config) -> Iterator[Told]:
    """The rules between a section's own fields that it breaks."""
    decorators = type(section).__pydantic_decorators__.model_validators
    for name, decorator in decorators.items():
        if decorator.info.mode != "after":
            continue
        try:
            getattr(section, name)()
        except AttributeError:
            continue  # It speaks of what is wrong itself.
        except ValidationError as error:
            for told in error.errors(include_url=False):
                about = {"expected": told["msg"], **told.get("ctx", {})}
                yield tuple(map(str, told["loc"])), told["input"], about


def _ask(rule: Any, sound: Any) -> Iterator[Told]:
    """What a rule says until it speaks of what is wrong itself."""
    try:
        for path, value, *about in rule(sound):
            yield path, value, dict(zip(OF_RULES, about, strict=False))
    except AttributeError:
        return
