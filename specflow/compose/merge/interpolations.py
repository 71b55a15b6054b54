"""Resolution of interpolations, each once, in time linear in the result."""

import contextlib
from collections.abc import Iterator
from typing import Any, TypeAlias

from hydra.core.utils import setup_globals
from omegaconf import AnyNode, DictConfig, ListConfig, OmegaConf
from omegaconf._utils import split_key
from omegaconf.base import Container, Node
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException
from omegaconf.grammar_parser import parse
from omegaconf.grammar_visitor import GrammarVisitor

from specflow.compose.read.documents import DEEPEST
from specflow.compose.read.override_grammar import escape_interpolation

__all__ = ["MOST_INTERPOLATIONS", "MOST_RESOLVED", "Resolution"]

MOST_INTERPOLATIONS = 10_000
"""Limit of the interpolations of an experiment."""
MOST_RESOLVED = 200_000
"""Limit of what all interpolations of an experiment resolve to together: values, and
characters of text."""
_OPENED = "${"
_SELECTING = ("oc.dict.values", "oc.select")
"""Resolvers whose first argument is a key."""
_READING = ("oc.create", "oc.decode")
"""Resolvers whose argument may hold interpolations."""

Path: TypeAlias = tuple[str, ...]
Key: TypeAlias = Any
"""Key of a mapping, as YAML reads it, or index of a list."""


class Resolution:
    """Plain values of a tree, and the values that cannot be resolved.

    >>> result = Resolution({"lr": "${base}", "base": "${scale}", "scale": 0.5})
    >>> result.values
    {'lr': 0.5, 'base': 0.5, 'scale': 0.5}
    """

    def __init__(self, tree: dict[Any, Any]):
        setup_globals()  # Registers Hydra's resolvers, such as `${now:...}`.
        self.failed: list[tuple[Path, Exception | None]] = []
        """(path, error) of each value that has none; without an error it is `???`."""
        self.visits = 0
        """Number of times that an interpolation was looked at."""
        # By identity; the nodes are kept, so that no other one takes it over.
        self._done: dict[int, Node] = {}
        self._errors: dict[int, tuple[Node, Exception]] = {}
        self._sizes: dict[int, tuple[Node, int, int]] = {}
        self._spent = 0
        self._placeholders: dict[Any, Any] = {}
        self.values: dict[Any, Any] = tree
        try:
            config = OmegaConf.create(self._with_placeholders(tree))
        except OmegaConfBaseException as error:
            path = tuple(str(error.full_key or "").split("."))
            self.failed.append((path, error))
            return
        count = 0
        for node in [*_interpolations(config)]:
            count += str(node._value()).count(_OPENED)
            if count > MOST_INTERPOLATIONS:
                self._fail(
                    node, f"there are more than {MOST_INTERPOLATIONS:,} interpolations"
                )
            else:
                self._settle(node)
        self.values = self._plain(config, ())

    def _settle(self, first: Node) -> None:
        """Resolves an interpolation, after all that it refers to."""
        stack, waiting = [first], {id(first)}
        while stack:
            node = stack[-1]
            if self._is_done(node):
                waiting.discard(id(stack.pop()))
                continue
            self.visits += 1
            missing, size = [], 0
            try:
                tree = parse(node._value())
                missing, size = self._references(node, tree)
            except OmegaConfBaseException as error:
                self._errors[id(node)] = (node, error)
                continue
            failed = [it for it in missing if id(it) in self._errors]
            if failed:
                self._errors[id(node)] = (node, self._errors[id(failed[0])][1])
            elif any(id(it) in waiting for it in missing):
                self._fail(node, "Recursive interpolation detected")
            elif missing:
                stack.extend(missing)
                waiting.update(map(id, missing))
            else:
                self._resolve(node, tree, size)

    def _resolve(self, node: Node, tree: Any, size: int) -> None:
        """Resolves an interpolation whose references are plain values."""
        self._spent += size
        if self._spent > MOST_RESOLVED:
            self._fail(
                node, f"interpolations resolve to more than {MOST_RESOLVED:,} values"
            )
            return
        parent, key = node._get_parent(), node._key()
        assert isinstance(parent, Container)
        try:
            value = parent._resolve_interpolation_from_parse_tree(
                parent=parent,
                value=node,
                key=key,
                parse_tree=tree,
                throw_on_resolution_failure=True,
                memo=set(),
            )
        except OmegaConfBaseException as error:
            self._errors[id(node)] = (node, error)
            return
        assert value is not None
        if isinstance(value, Container):
            for inner in _interpolations(value):
                self._settle(inner)  # Resolvers return new ones.
            if self._measure(value)[1] > DEEPEST:
                self._fail(node, f"nested more than {DEEPEST} levels deep")
                return
        else:
            plain = value._value()
            if isinstance(plain, str):
                plain = escape_interpolation(plain)
            # Resolvers may return lists, which no node holds otherwise.
            flags = {"allow_objects": True}
            value = AnyNode(plain, key=key, parent=parent, flags=flags)
            self._done[id(value)] = value
        self._done[id(node)] = node
        parent.__dict__["_content"][key] = value

    def _references(self, node: Node, tree: Any) -> tuple[list[Node], int]:
        """Returns the interpolations that one refers to, and the size of the rest."""
        parent = node._get_parent()
        assert isinstance(parent, Container)
        missing: list[Node] = []
        size = 0

        def look(key: str) -> Node | None:
            nonlocal size
            target = self._target(parent, key, missing)
            if isinstance(target, Node):
                size += self._measure(target)[0]
            return target

        def visit_node(inter_key: str, memo: Any) -> Node:
            return look(inter_key) or AnyNode("")

        def visit_resolver(name: str, args: Any, args_str: Any) -> Any:
            nonlocal size
            texts = [argument for argument in args if isinstance(argument, str)]
            size += sum(map(len, texts))
            if name in _SELECTING and texts:
                look(texts[0])
            if name in _READING:
                for text in texts:
                    if _OPENED in text:
                        visitor.visit(parse(text))
            if missing:
                return ""
            return parent._evaluate_custom_resolver(
                key=node._key(),
                node=node,
                inter_type=name,
                inter_args=args,
                inter_args_str=args_str,
            )

        visitor = GrammarVisitor(visit_node, visit_resolver, None)
        # Resolving it raises the same, in OmegaConf's words.
        with contextlib.suppress(Exception):
            visitor.visit(tree)
        return missing, size

    def _target(self, parent: Any, key: str, missing: list[Node]) -> Node | None:
        """Returns the node that a key refers to; adds what must be resolved first."""
        try:
            root, key = parent._resolve_key_and_root(key)
        except OmegaConfBaseException:
            return None
        node: Any = root
        for part in split_key(key):
            if not isinstance(node, DictConfig | ListConfig):
                return None
            node = _child(node, part)
            if node is None:
                return None
            if node._is_interpolation() and id(node) not in self._done:
                missing.append(node)
                return None
        if isinstance(node, Container) and id(node) not in self._sizes:
            inside = [it for it in _interpolations(node) if id(it) not in self._done]
            missing += inside
            if inside:
                return None
        return node

    def _measure(self, node: Any) -> tuple[int, int]:
        """Returns the number of values and characters of a node, and its depth."""
        if not isinstance(node, DictConfig | ListConfig):
            value = node._value()
            return (len(str(value)) if isinstance(value, str | list | dict) else 1), 0
        if id(node) not in self._sizes:
            inner = [self._measure(it) for _, it in _children(node)]
            size = 1 + sum(it[0] for it in inner)
            depth = 1 + max((it[1] for it in inner), default=0)
            self._sizes[id(node)] = (node, size, depth)
        _, size, depth = self._sizes[id(node)]
        return size, depth

    def _is_done(self, node: Node) -> bool:
        """Returns whether an interpolation was resolved, or cannot be."""
        return id(node) in self._done or id(node) in self._errors

    def _fail(self, node: Node, problem: str) -> None:
        self._errors[id(node)] = (node, InterpolationResolutionError(problem))

    def _plain(self, node: Any, path: Path) -> Any:
        if not isinstance(node, DictConfig | ListConfig):
            return node
        is_list = isinstance(node, ListConfig)
        values: dict[Key, Any] = {}
        for key, child in _children(node):
            inner = (*path, str(key))
            if is_list:
                values[key] = None  # Later items keep their places.
            if id(child) in self._errors:
                self.failed.append((inner, self._errors[id(child)][1]))
            elif OmegaConf.is_missing(node, key):
                self.failed.append((inner, None))
            elif isinstance(child, DictConfig | ListConfig) and not child._is_none():
                name = self._placeholders.get(key, key)
                values[name] = self._plain(child, inner)
            else:
                try:
                    values[self._placeholders.get(key, key)] = node[key]
                except OmegaConfBaseException as error:
                    self.failed.append((inner, error))
        return list(values.values()) if is_list else values

    def _with_placeholders(self, value: Any) -> Any:
        """Replaces keys that OmegaConf does not support, such as null and dates."""
        if isinstance(value, list):
            return [self._with_placeholders(inner) for inner in value]
        if not isinstance(value, dict):
            return value
        supported = {}
        for key, inner in value.items():
            name = key
            if not isinstance(key, str | bytes | int | float):
                name = f"\0{key}"  # YAML does not allow this character.
                self._placeholders[name] = key
            supported[name] = self._with_placeholders(inner)
        return supported


def _children(node: Any) -> list[tuple[Key, Node]]:
    """Returns (key, node) of each value of a mapping or a list, unresolved."""
    content = node.__dict__["_content"]
    if isinstance(content, dict):
        return [*content.items()]
    return [*enumerate(content)] if isinstance(content, list) else []


def _child(node: Any, key: str) -> Node | None:
    """Returns the value at a key of a mapping, or at an index of a list."""
    content = node.__dict__["_content"]
    if isinstance(content, list):
        index = int(key) if key.isdecimal() else len(content)
        return content[index] if index < len(content) else None
    return content.get(key) if isinstance(content, dict) else None


def _interpolations(node: Any) -> Iterator[Node]:
    """Yields the interpolations in a tree, in order."""
    for _, child in _children(node):
        if isinstance(child, DictConfig | ListConfig):
            yield from _interpolations(child)
        elif child._is_interpolation():
            yield child
