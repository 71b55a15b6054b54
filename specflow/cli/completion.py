"""Completions of a command line, for shells: loads neither Hydra nor Pydantic.

Keys and values come from the JSON Schema beside the configs
(`conf/schema/experiment.json`), choices from the folders themselves.
"""

import json
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from specflow.cli.options import Option
from specflow.compose.read.config_folders import Folders, about_file, folders
from specflow.diagnostics.error_pages import error_pages
from specflow.diagnostics.errors import ConfigError

__all__ = ["complete"]

Candidates = Iterator[tuple[str, str]]
"""(completion, its description) of each."""

_CHOICE = re.compile(r"^\s*-\s*(?:override\s+)?/?(\w+):\s*(\w+)", re.MULTILINE)
_BASE = re.compile(r"^\s*-\s*/?(experiment/\w+)\s*$", re.MULTILINE)
_NAME = re.compile(r"^name:\s*(\w+)", re.MULTILINE)
_OWN = {
    "run=": "The directory of a run, whose config is the base.",
    "trust=": "A package of your own in which targets may resolve.",
}


def complete(
    line: str,
    commands: Mapping[str, tuple[str, Sequence[Option]]],
    *,
    config_dirs: Sequence[str] = (),
) -> list[tuple[str, str]]:
    """Completions of the last word of a line, each with its description.

    One that ends with `=`, `.` or `/` is a prefix, to be completed further.

    Args:
        line: the command line up to the cursor.
        commands: command -> its summary and its options.
        config_dirs: config folders, unless the line names some.

    >>> from specflow.cli.options import COMMON
    >>> commands = {"show": ("print the composed config", COMMON)}
    >>> complete("specflow sh", commands)
    [('show', 'print the composed config')]
    >>> [word for word, _ in complete("specflow show mesh=f", commands)]
    ['mesh=fsdp', 'mesh=fsdp_tensor']
    """
    *before, last = _words(line)
    names = (" ".join(before[1:end]) for end in (2, 3))
    name = next((name for name in names if name in commands), None)
    if len(before) < 2:
        known = _next_words(commands)
        found = iter({**known, "--help": "", "--version": ""}.items())
    elif name is not None:
        _, takes = commands[name]
        words = before[1 + len(name.split()) :]
        found = _Line(words, takes, config_dirs).candidates(last)
    else:
        found = iter(_next_words(commands, before[1:]).items())
    fitting = ((word, text) for word, text in found if word.startswith(last))
    return list(dict(fitting).items())


def _next_words(
    commands: Mapping[str, tuple[str, Sequence[Option]]], typed: Sequence[str] = ()
) -> dict[str, str]:
    """The next word of each command's name -> its summary; empty for a group's."""
    words: dict[str, str] = {}
    for name, (summary, _) in commands.items():
        whole = name.split()
        if whole[: len(typed)] == [*typed] and len(whole) > len(typed):
            is_last = len(whole) == len(typed) + 1
            words[whole[len(typed)]] = summary if is_last else ""
    return words


def _words(line: str) -> list[str]:
    """Splits a line into words; the last one is being typed, and may be empty."""
    try:
        words = shlex.split(line)
    except ValueError:  # An open quote: what is being typed is inside it.
        words = next(
            (split for end in "'\"" if (split := _closed(line + end))), line.split()
        )
        return words
    return [*words, ""] if not words or line[-1:].isspace() else words


def _closed(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return []


class _Line:
    """A command line up to the word that is being typed."""

    def __init__(
        self, before: list[str], takes: Sequence[Option], config_dirs: Sequence[str]
    ):
        self.before, self.config_dirs = before, config_dirs
        self.options = {
            name: option
            for option in takes
            for name in option.names
            if name.startswith("-")
        }
        self.words = next((one for one in takes if one.names[0][0] != "-"), None)

    def candidates(self, last: str) -> Candidates:
        """Completions and prefixes of completions for the last word."""
        previous = self.options.get(self.before[-1]) if self.before else None
        name, equals, value = last.partition("=")
        if previous is not None and previous.takes_value:
            yield from self._values(previous, last)
        elif equals and name in self.options:
            found = self._values(self.options[name], value)
            yield from ((f"{name}={word}", text) for word, text in found)
        elif last.startswith("-"):
            for name, option in self.options.items():
                if name.startswith("--"):
                    yield name, str(option.settings.get("help", ""))
            yield "--help", ""
        elif self.words is not None:
            yield from self._positional(self.words, last)

    def _positional(self, words: Option, last: str) -> Candidates:
        kind = words.names[0]
        if kind in ("overrides", "words"):
            yield from self._overrides(last, bare=kind == "words")
            if kind == "words" and last:
                yield from (
                    (page.code, page.meaning) for page in error_pages().values()
                )
        elif kind == "a":
            yield from self._choices("", "experiment")
            yield from _paths(last, "FILE")
            yield from self._overrides(last, bare=False)
        elif kind == "group":
            yield from ((group, "") for group in self.folders.groups())
        else:
            yield from self._values(words, last)

    def _values(self, option: Option, typed: str) -> Candidates:
        if "--step" in option.names:
            yield from _checkpoints(self._run())
        yield from ((str(choice), "") for choice in option.settings.get("choices", ()))
        if option.files:
            yield from _paths(typed, option.settings["metavar"])

    def _run(self) -> Path | None:
        """The run directory that the line names, if any."""
        runs = [word[4:] for word in self.before if word.startswith("run=")]
        return Path(os.path.expanduser(runs[-1])) if runs else None

    def _overrides(self, last: str, *, bare: bool) -> Candidates:
        mark = last[: len(last) - len(last.lstrip("+~"))]
        key, equals, value = last[len(mark) :].partition("=")
        head = f"{mark}{key}="
        if not equals:
            yield from self._keys(mark, key, bare=bare or mark == "~")
        elif key == "run":
            yield from ((head + path, text) for path, text in _paths(value, "DIR"))
        else:
            # Of several values, `mesh=data,fsdp`, the last is completed.
            head += value[: value.rfind(",") + 1]
            yield from self._choices(head, key)
            for word in self._literals(self._at(key.split("."))):
                yield head + word, ""

    def _keys(self, mark: str, key: str, *, bare: bool) -> Candidates:
        *above, _ = key.split(".")
        end = "" if bare else "="
        if not above:
            for group in self.folders.groups():
                yield f"{mark}{group}{end}", "a config group"
            if not mark and not bare:
                yield from _OWN.items()
        for name, schema in self._properties(above).items():
            path = mark + ".".join([*above, name])
            schema = self._resolved(schema)
            text = str(schema.get("description", ""))
            if self._is_section(schema):
                yield f"{path}.", text
            if bare or not self._is_section(schema):
                yield f"{path}{end}", text

    def _choices(self, head: str, group: str) -> Candidates:
        for choice in self.folders.choices(group) if group else ():
            file = self.folders.file(f"{group}/{choice}")
            yield head + choice, about_file(file) if file else ""

    @cached_property
    def folders(self) -> Folders:
        own = [
            value
            for option, value in zip(self.before, self.before[1:], strict=False)
            if option == "--config-dir"
        ]
        own += [
            word.partition("=")[2]
            for word in self.before
            if word.startswith("--config-dir=")
        ]
        try:
            return folders(own or self.config_dirs)
        except ConfigError:
            return folders()  # A folder that does not exist yet.

    @cached_property
    def schema(self) -> dict[str, Any]:
        for folder in self.folders.paths:
            file = folder / "schema/experiment.json"
            if file.is_file():
                text = file.read_text(encoding="utf-8-sig")
                if all(f'"{name}"' in text for name in self.names.values()):
                    return json.loads(text)
        return self._schema_with_plugins() if self.names else {}

    def _schema_with_plugins(self) -> dict[str, Any]:
        """Generates the schema: slow, and only needed for sections of plugins."""
        from specflow.compose.inspect.json_schema import schema_of

        try:
            return schema_of("experiment", self.folders)
        except ConfigError:
            return {}

    @cached_property
    def names(self) -> dict[str, str]:
        """Section -> its component, where the chosen file or an override names it."""
        chosen = dict(self._chosen("config"))
        pairs = (word.lstrip("+").partition("=") for word in self.before)
        given = {key: value for key, _, value in pairs}
        if "experiment" in given:
            chosen |= dict(self._chosen(f"experiment/{given['experiment']}"))
        names = {}
        for group, choice in (chosen | given).items():
            if group.endswith(".name") and group.count(".") == 1:
                names[group.removesuffix(".name")] = choice
                continue
            found = _NAME.search(self._text(f"{group}/{choice}"))
            if found and group != "experiment":
                names[group] = found[1]
        return names

    def _chosen(
        self, config: str, above: tuple[str, ...] = ()
    ) -> Iterator[tuple[str, str]]:
        """Choices in the defaults list of a file and of the experiments it extends."""
        text, above = self._text(config), (*above, config)
        for base in _BASE.findall(text):
            if base not in above:  # Composing reports a cycle.
                yield from self._chosen(base, above)
        yield from _CHOICE.findall(text)

    def _text(self, config: str) -> str:
        file = self.folders.file(config)
        return file.read_text(encoding="utf-8-sig", errors="replace") if file else ""

    def _properties(self, path: Sequence[str]) -> dict[str, dict[str, Any]]:
        section = self._at(path)
        kind = self.names.get(path[0]) if len(path) == 1 else None
        found = dict(self._found(section, kind)) if section else {}
        found.pop("defaults", None)
        return found

    def _at(self, path: Sequence[str]) -> dict[str, Any]:
        """The schema at a path; empty if there is none."""
        schema = self.schema
        for at, key in enumerate(path):
            kind = self.names.get(path[0]) if at == 1 else None
            inner = dict(self._found(schema, kind)).get(key)
            other = self._resolved(schema).get("additionalProperties")
            schema = inner or (other if isinstance(other, dict) else {})
        return schema

    def _found(
        self, schema: Mapping[str, Any], kind: str | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Keys of a section: of its component if that is known, else of all."""
        schema = self._resolved(schema)
        yield from schema.get("properties", {}).items()
        for part in (*schema.get("anyOf", ()), schema.get("else", {})):
            if part:
                yield from self._found(part, kind)
        cases = schema.get("allOf", ())
        known = [case for case in cases if kind in _names_of(case)]
        for case in known or [case for case in cases if "not" in case["if"]]:
            yield from self._found(case["then"], kind)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            name = schema["$ref"].removeprefix("#/$defs/")
            schema = {**self.schema["$defs"][name], **beside}
        return schema

    def _literals(self, schema: Mapping[str, Any]) -> Iterator[str]:
        """Values that can be listed: enums, booleans and null."""
        schema = self._resolved(schema)
        for part in schema.get("anyOf", ()):
            yield from self._literals(part)
        types = schema.get("type", ())
        values = [*schema.get("enum", ())]
        values += [True, False] if "boolean" in types else []
        values += [None] if "null" in types else []
        yield from (json.dumps(value).strip('"') for value in values)

    def _is_section(self, schema: Mapping[str, Any]) -> bool:
        schema = self._resolved(schema)
        if any(self._is_section(part) for part in schema.get("anyOf", ())):
            return True
        return "object" in schema.get("type", ())


def _names_of(case: Mapping[str, Any]) -> Sequence[str]:
    return case["if"].get("properties", {}).get("name", {}).get("enum", ())


def _checkpoints(run: Path | None) -> Candidates:
    """What `--step` takes: `best`, `latest`, and the tags and steps of a run."""
    yield "latest", "the newest checkpoint"
    yield "best", "the best checkpoint, by output.checkpoint.best"
    if run is None:
        return
    folders = [e for e in _entries(run / "checkpoints") if e.name.isdigit()]
    for folder in folders:
        for tag in _entries(Path(folder.path, "tags")):
            yield tag.name, f"step {folder.name}"
    for folder in sorted(folders, key=lambda folder: int(folder.name)):
        yield folder.name, ""


def _paths(typed: str, kind: str) -> Candidates:
    """Files, and folders with a slash; the folder of a run is complete without one."""
    above, _, begun = typed.rpartition("/")
    folder = Path(os.path.expanduser(f"{above}/")) if "/" in typed else Path()
    for entry in _entries(folder):
        path = typed[: len(typed) - len(begun)] + entry.name
        hidden = entry.name.startswith(".") and not begun.startswith(".")
        if hidden or not (entry.is_dir() or kind == "FILE"):
            continue
        is_run = Path(entry, "config.yaml").is_file()
        yield (path if is_run or not entry.is_dir() else f"{path}/"), ""


def _entries(folder: Path) -> Iterable[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError:
        return []
