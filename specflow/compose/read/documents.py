"""YAML files, read once: as nodes with their places, and as plain values."""

import dataclasses
import functools
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import yaml

from specflow.compose.read.syntax_repair import find_repair
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.runtime.text_encoding import decoded

__all__ = [
    "Document",
    "InvalidYamlError",
    "dump",
    "empty",
    "load",
    "mark_of",
    "read",
    "text_of",
    "yaml_diagnostic",
]

_DIGITS = r"[0-9](?:_?[0-9])*"
_INT = re.compile(rf"[-+]?(?:0|(?!0){_DIGITS})$|0o[0-7]+$|0x[0-9a-fA-F]+$")
"""Integers of YAML 1.2, with Hydra's `1_000`. By YAML 1.1 `0100` is 64, by YAML 1.2
100: it is text, which no number may be."""
_FLOAT = re.compile(
    rf"[-+]?(?:\.{_DIGITS}|{_DIGITS}\.(?:{_DIGITS})?)(?:[eE][-+]?[0-9]+)?$"
    rf"|[-+]?{_DIGITS}[eE][-+]?[0-9]+$"
    r"|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
)
"""Floats of YAML 1.2, with Hydra's `1_000.0`; `1e-3` is none to PyYAML."""
_TAG = "tag:yaml.org,2002:"
_TEXT_NOW = "tag:yaml-1.1:"
"""Tags of scalars that only YAML 1.1 reads as a number or a date, as `1:30`: text."""
_KEY = "tag:yaml-1.1-key:"
"""The same for keys, which must be text for every YAML reader."""

DEEPEST = 100
"""Limit of nested mappings and lists."""
MOST_VALUES = 100_000
"""Limit of the values in a file: nested aliases expand to any number of them."""
_REWORDED = 100_000
"""Length of a text up to which PyYAML parses it again for its own words, which takes
ten times as long as libyaml."""

# libyaml's loader, where it was built in, is ten times as fast, its dumper four times.
_FASTEST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FASTEST_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Loader(_FASTEST):
    """Reads plain data only, numbers by the core schema of YAML 1.2.

    `yes`, `no`, `on` and `off` are booleans, as they are to Hydra, which reads the same
    files.

    Source: YAML 1.2.2, 10.3.2, tag resolution.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, list[Any]]] = {}


class _Dumper(_FASTEST_DUMPER):
    """Writes plain data only; quotes text that some YAML reads as another type."""


class _EmojiDumper(yaml.SafeDumper):
    """The same; libyaml escapes characters of more than 16 bits."""


def _text(dumper: Any, text: str) -> yaml.Node:
    """Represents a text; Unicode line ends are escaped, or they would be lost."""
    style = '"' if set(text) & set("\x85\u2028\u2029\ufeff") else None
    return dumper.represent_scalar(f"{_TAG}str", text, style=style)


def _old_scalar(loader: Any, kind: str, node: yaml.ScalarNode) -> Any:
    """Constructs a key as YAML 1.1 reads it."""
    return yaml.SafeLoader.yaml_constructors[_TAG + kind](loader, node)


def _number(loader: Any, node: yaml.ScalarNode) -> float:
    """Constructs a number, tagged or not; refuses `!!int 1:30`."""
    text = str(loader.construct_scalar(node)).replace("_", "").lower()
    is_int = node.tag == f"{_TAG}int"
    try:
        return int(text, 0) if is_int else float(re.sub(r"\.(inf|nan)$", r"\1", text))
    except ValueError:
        kind = "whole number" if is_int else "number"
        raise ValueError(f"not a {kind} in YAML 1.2") from None


for _kind in (_Loader, _Dumper, _EmojiDumper):
    _kind.add_implicit_resolver(f"{_TAG}int", _INT, [*"-+0123456789"])
    _kind.add_implicit_resolver(f"{_TAG}float", _FLOAT, [*"-+.0123456789"])
for _first, _resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items():
    for _tag, _words in _resolvers:
        _name = _tag.removeprefix(_TAG)
        if _name in ("bool", "merge", "null"):
            _Loader.add_implicit_resolver(_tag, _words, [_first])
        elif _name != "value":
            _Loader.add_implicit_resolver(_TEXT_NOW + _name, _words, [_first])
_Loader.add_multi_constructor(_TEXT_NOW, lambda _loader, _kind, node: node.value)
_Loader.add_multi_constructor(_KEY, _old_scalar)
_Loader.add_constructor(f"{_TAG}int", _number)
_Loader.add_constructor(f"{_TAG}float", _number)
for _kind in (_Dumper, _EmojiDumper):
    _kind.add_representer(str, _text)


@dataclasses.dataclass(frozen=True)
class Document:
    """Content of a YAML file."""

    node: yaml.MappingNode
    """Root node; every node has its line and column."""
    content: dict[Any, Any]
    """Plain values."""

    def without(self, keys: Collection[str]) -> "Document":
        """Returns the document without some keys of its root."""
        pairs = [pair for pair in self.node.value if pair[0].value not in keys]
        return Document(
            node=yaml.MappingNode(self.node.tag, pairs, self.node.start_mark),
            content={key: self.content[key] for key in self.content if key not in keys},
        )


class InvalidYamlError(ConfigError):
    """A text that is not valid YAML."""

    repaired: str | None = None
    """The text with the change that the hint suggests; None without one."""


def load(file: Path, shown: str) -> Document:
    """Reads a YAML file.

    Args:
        file: path of the file.
        shown: its name in messages.

    Raises:
        ConfigError: it cannot be read, or is not a YAML mapping.
    """
    return read(text_of(file, shown), shown)


def text_of(file: Path, shown: str) -> str:
    """Returns the text of a file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        content = file.read_bytes()
        return decoded(content).replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            Diagnostic(shown, f"cannot be read: {reason}", code="missing-file")
        ) from None
    except UnicodeError as error:
        raise ConfigError(
            Diagnostic(shown, str(error), origin=shown, code="yaml")
        ) from None


# A file is read for its defaults list, and again for its values.
@functools.lru_cache(maxsize=256)
def read(text: str, shown: str = "a text") -> Document:
    """Parses a YAML text; an empty one is an empty mapping. Do not change the result.

    Raises:
        InvalidYamlError: it is not valid YAML.
        ConfigError: it is not a mapping.

    >>> read("lr: 1e-3").content
    {'lr': 0.001}
    """
    loader = _Loader(text)
    try:
        _check_length(text)
        node = loader.get_single_node()
        if node is None:
            return empty()
        _check_mappings(node)
        content = _construct(loader, node)
    except yaml.YAMLError as error:
        plain = _plainly(text, error)
        raise _with_repair(yaml_diagnostic(plain, shown), text, plain) from None
    except RecursionError:
        deep = yaml.MarkedYAMLError(problem=f"nested more than {DEEPEST} levels deep")
        raise InvalidYamlError(yaml_diagnostic(deep, shown)) from None
    finally:
        loader.dispose()
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(
            Diagnostic(
                shown,
                "is not a mapping",
                expected="keys with values, such as lr: 1e-3",
                origin=f"{shown}:1:1",
                code="yaml",
            )
        )
    return Document(node, content)


def empty() -> Document:
    """Returns an empty document."""
    return Document(yaml.MappingNode("tag:yaml.org,2002:map", []), {})


def dump(tree: Any) -> str:
    """Returns plain values as YAML text that `read` parses to the same values.

    >>> print(dump({"lr": 1e-05, "name": "1e3"}), end="")
    lr: 1.0e-05
    name: '1e3'
    """
    dumped = functools.partial(yaml.dump, tree, sort_keys=False, allow_unicode=True)
    text = dumped(Dumper=_Dumper)
    return dumped(Dumper=_EmojiDumper) if r"\U" in text else text


_HINTS = {
    "undefined alias": "Its anchor, &name, must be earlier in the same file.",
    "constructor for the tag": "Remove the tag: a value is written without its type.",
}
"""Part of a problem -> hint, where no change of a line repairs the text."""


def yaml_diagnostic(error: Exception, shown: str) -> Diagnostic:
    """Returns an error of the YAML parser as a diagnostic.

    The place of a bracket or quote that is not closed is where it was opened, as the
    parser only notices it further down.
    """
    mark = getattr(error, "problem_mark", None)
    # For a character that YAML forbids, the other lines of the message name no file.
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    opened = getattr(error, "context_mark", None)
    if mark and opened and mark.line > opened.line:
        context = str(getattr(error, "context", ""))
        if context.endswith(("flow mapping", "flow sequence", "scalar", "simple key")):
            problem, mark = f"{problem}, at line {mark.line + 1}", opened
    place = f"{shown}:{mark.line + 1}:{mark.column + 1}" if mark else shown
    return Diagnostic(shown, f"is not valid YAML: {problem}", origin=place, code="yaml")


def mark_of(node: yaml.Node, path: Iterable[str]) -> Any:
    """Returns the mark at which a file sets a path; None if it does not."""
    mark = None
    for key in path:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        pair = next((pair for pair in pairs if pair[0].value == key), None)
        if pair is None:
            return None
        mark, node = pair[0].start_mark, pair[1]
    return mark


def _with_repair(
    diagnostic: Diagnostic, text: str, error: Exception
) -> InvalidYamlError:
    """Returns a syntax error with the change that makes the text valid, if any."""
    hints = [hint for part, hint in _HINTS.items() if part in diagnostic.problem]
    diagnostic = dataclasses.replace(diagnostic, hint="".join(hints[:1]))
    if "alias" in diagnostic.problem:
        return InvalidYamlError(diagnostic)
    marks = [getattr(error, name, None) for name in ("problem_mark", "context_mark")]
    opened = re.search(r":(\d+):\d+$", diagnostic.origin)
    lines = [int(opened[1]) - 1] if opened else []
    lines += [mark.line for mark in marks if mark is not None]
    again = re.match(r"found duplicate key (.*)", str(getattr(error, "problem", "")))
    repair = find_repair(
        text, tuple(dict.fromkeys(lines)), _is_valid, again and again[1]
    )
    if repair is None:
        return InvalidYamlError(diagnostic)
    place = diagnostic.origin
    if opened and int(opened[1]) != repair.line + 1:
        shown = diagnostic.origin.removesuffix(opened[0])
        place = f"{shown}:{repair.line + 1}:{repair.column + 1}"
    invalid = InvalidYamlError(
        dataclasses.replace(diagnostic, hint=repair.hint, origin=place)
    )
    invalid.repaired = repair.text
    return invalid


def _is_valid(text: str) -> bool:
    """Returns whether a text is a YAML mapping without repeated keys."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            return False
        _check_mappings(node)
        loader.construct_document(node)
    except (yaml.YAMLError, RecursionError, ValueError):
        return False
    finally:
        loader.dispose()
    return True


def _plainly(text: str, error: Exception) -> Exception:
    """Returns the error as PyYAML words it, which does not depend on libyaml."""
    if len(text) > _REWORDED or isinstance(error, _RefusedError):
        return error
    try:
        yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as plain:
        return plain
    except RecursionError:
        pass
    return error


def _construct(loader: Any, node: yaml.Node) -> Any:
    """Constructs the values of a node; errors are raised with their place."""
    try:
        return loader.construct_document(node)
    except yaml.YAMLError:
        raise
    except Exception as error:
        # Python raises here, without a place: `2020-13-45` is an invalid date.
        for scalar in _scalars(node):
            try:
                _Loader("").construct_object(scalar)
            except Exception as reason:
                raise _marked(f"{scalar.value!r}: {reason}", scalar) from None
        raise _marked(str(error), node) from None


def _check_length(text: str) -> None:
    """Refuses a text of too many values before it is composed."""
    if len(text) <= MOST_VALUES:
        return  # Each value takes at least a character.
    scalars = 0
    try:
        for event in yaml.parse(text, Loader=_FASTEST):
            scalars += isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)
            if scalars > MOST_VALUES:
                raise _too_many(event.start_mark)
    except _RefusedError:
        raise
    except yaml.YAMLError:
        return  # Composing it raises the same.


def _check_mappings(node: yaml.Node, around: tuple[int, ...] = ()) -> int:
    """Refuses repeated keys and endless aliases; returns the number of nodes.

    Marks the keys, which are constructed by other rules than values.
    """
    if id(node) in around:
        raise _marked("found an alias that contains itself", node)
    around, count, seen = (*around, id(node)), 1, set()
    if len(around) > DEEPEST:
        raise _marked(f"is nested more than {DEEPEST} levels deep", node)
    if isinstance(node, yaml.MappingNode):
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _marked(f"found duplicate key {key.value}", key)
                seen.add(key.value)
                key.tag = key.tag.replace(_TEXT_NOW, _KEY)
    for inner in _inside(node):
        count += _check_mappings(inner, around)
        if count > MOST_VALUES:
            raise _too_many(node.start_mark)
    return count


def _inside(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    for inner in _inside(node):
        yield from _scalars(inner)


class _RefusedError(yaml.MarkedYAMLError):
    """Valid YAML that is refused."""


def _marked(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return _RefusedError(problem=problem, problem_mark=node.start_mark)


def _too_many(mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return _RefusedError(
        problem=f"holds more than {MOST_VALUES:,} values", problem_mark=mark
    )
