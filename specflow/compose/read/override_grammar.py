"""Grammar of overrides: parsing of command lines, and formatting of values."""

import dataclasses
import re
import shlex
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from specflow.compose.read.config_folders import Folders
from specflow.compose.read.documents import DEEPEST
from specflow.compose.read.hydra_errors import asked_of_hydra, reserved
from specflow.compose.read.override_repair import joined_words, meant_override
from specflow.compose.read.unknown_choices import (
    choice_diagnostic,
    group_diagnostic,
    misspelled_group,
)
from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest
from specflow.runtime.filesystem import expanded, is_file
from specflow.runtime.plain_tree import walk

__all__ = [
    "Request",
    "escape_interpolation",
    "format_value",
    "needs_resolving",
    "quote_for_shell",
    "read",
]


@dataclasses.dataclass(frozen=True)
class Request:
    """Parsed overrides of a command, grouped by kind, each kind in order."""

    run: str | None
    """Run directory whose config is the base (`run=DIR`), with `~` expanded."""
    trust: tuple[str, ...]
    """The user's own packages in which targets may resolve (`trust=my_package`)."""
    choices: tuple[Override, ...]
    """Choices in config groups, with additions and deletions."""
    values: tuple[Override, ...]
    """Values that override the composed tree, with deletions of keys."""
    hydra: tuple[Override, ...]
    """Overrides for Hydra itself: launcher, sweeper."""
    unknown: frozenset[str] = frozenset()
    """Groups with a choice that does not exist and resembles none."""
    trusted_folders: tuple[str, ...] = ()
    """Config folders that the user trusts (`trust=./DIR`)."""
    trusted_by: str = ""
    """Origin of `trust`, as `override trust=my_package`."""
    repaired: frozenset[str] = frozenset()
    """Lines that are no overrides, and were read as their hints suggest."""

    def singles(self) -> "Request":
        """Returns the request without overrides that name several values."""
        return dataclasses.replace(
            self,
            choices=tuple(one for one in self.choices if not one.is_sweep_override()),
            values=tuple(one for one in self.values if not one.is_sweep_override()),
        )

    def all(self) -> tuple[Override, ...]:
        """Returns the overrides of all kinds."""
        return (*self.hydra, *self.choices, *self.values)

    def lines(self) -> list[str]:
        """Returns the overrides for Hydra's own composition, which a sweep uses.

        Values are force-added (`++`): Pydantic, not Hydra, decides which keys exist, so
        a key can be set that no YAML file mentions.
        """
        return [
            *(_line(override) for override in self.hydra),
            *(_line(override) for override in self.choices),
            *(_line(value, force=not value.is_delete()) for value in self.values),
        ]


def read(lines: Iterable[str], folders: Folders) -> tuple[Request, list[Diagnostic]]:
    """Parses the overrides of a command, those of a sweep included.

    An unknown choice is reported and replaced by the nearest one, and a line that is no
    override by the one it means, so that the others are validated as intended.

    Returns:
        The request, and a diagnostic for each override that was replaced or skipped.
    """
    diagnostics: list[Diagnostic] = []
    unknown: set[str] = set()
    repaired: set[str] = set()
    own: dict[str, Override] = {}
    choices: dict[str, Override] = {}
    values: dict[str, Override] = {}
    hydra: list[Override] = []
    for line in joined_words([*lines]):
        if len(line) > MOST_CHARACTERS:
            diagnostics.append(_too_long(line))
            continue
        try:
            override = _parsed(_with_quoted_folder(line))
        except HydraException as error:
            meant = _meant(line, folders)
            diagnostics.append(_syntax_diagnostic(line, error, folders, meant))
            if meant is None:
                continue
            repaired.add(line)
            override = _parsed(meant)
            if override is not None:
                override = dataclasses.replace(override, input_line=line)
        if override is None:
            diagnostics.append(_too_deep(line))
            continue
        key = override.key_or_group
        if not key:
            diagnostics.append(
                _syntax_diagnostic(line, ValueError("it names no key"), folders, None)
            )
        elif key in ("run", "trust"):
            own[key] = override
        elif override.is_hydra_override():
            hydra.append(override)
        elif folders.is_group(key) and not isinstance(override.value(), dict):
            diagnostic, near = choice_diagnostic(override, folders)
            if diagnostic is None:
                choices[line] = override
                continue
            diagnostics.append(diagnostic)
            if near:
                choices[line] = _parse(near)
            else:
                unknown.add(key)
        elif group := misspelled_group(override, folders):
            near = f"{group}={override.value()}"
            diagnostics.append(group_diagnostic(override, near))
            choices[line] = _parse(near)
        else:
            # A repeated deletion counts once; of a repeated value, the later counts.
            values.pop(line, None)
            values[line] = override
    diagnostics += _hydra_diagnostics(hydra)
    run, trust = _run(own.get("run"), diagnostics), own.get("trust")
    names = trust.value() if trust else []
    names = [*map(str, names if isinstance(names, list) else [names])]
    request = Request(
        run=run,
        trust=tuple(name for name in names if "/" not in name),
        trusted_folders=tuple(name for name in names if "/" in name),
        choices=tuple(choices.values()),
        values=tuple(values.values()),
        hydra=tuple(hydra),
        unknown=frozenset(unknown),
        trusted_by=f"override {trust.input_line}" if trust else "",
        repaired=frozenset(repaired),
    )
    return request, diagnostics


def format_value(value: Any) -> str:
    """Formats a value in the grammar of overrides; parsing returns the same value.

    >>> format_value([32, 64]), format_value({"path": "**", "dims": [None, "fsdp"]})
    ('[32,64]', '{path:**,dims:[null,fsdp]}')
    >>> format_value("32"), format_value(3e-4), format_value("a b")
    ("'32'", '0.0003', "'a b'")
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(format_value, value))}]"
    if isinstance(value, dict):
        pairs = (
            f"{_format_key(key)}:{format_value(inner)}" for key, inner in value.items()
        )
        return f"{{{','.join(pairs)}}}"
    text = escape_interpolation(str(value))
    if _PLAIN.fullmatch(text) and not _OTHER_TYPE.fullmatch(text):
        return text
    return QuotedString(text, Quote.single).with_quotes()


def escape_interpolation(text: str) -> str:
    r"""Escapes `${` in a text, so that it starts no interpolation.

    >>> print(escape_interpolation("costs ${x}"))
    costs \${x}
    """
    # A backslash before `${` would itself be read as an escape, so it is doubled.
    return re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", text)


def needs_resolving(value: Any) -> bool:
    """Returns whether OmegaConf must resolve a value: an interpolation, or `???`."""
    return isinstance(value, str) and ("${" in value or value == "???")


def quote_for_shell(line: str) -> str:
    r"""Quotes a line for a shell, only where needed.

    >>> quote_for_shell("model.widths=[32,64]"), quote_for_shell("a='b c'")
    ('model.widths=[32,64]', '"a=\'b c\'"')
    """
    if _SHELL_SAFE.fullmatch(line):
        return line
    if not set(line) & set('"$`\\!'):
        return f'"{line}"'
    return shlex.quote(line)


MOST_CHARACTERS = 10_000
"""Limit of the length of an override: Hydra's parser takes the square of it."""
_LONGEST = 60
"""Length to which a long override is shortened in messages, in characters."""
_PLAIN = re.compile(r"[A-Za-z_/*.][\w/*.@%+-]*", re.ASCII)
_OTHER_TYPE = re.compile(r"null|true|false|inf|nan|[.\d]+(e[+-]?\d+)?", re.IGNORECASE)
_SHELL_SAFE = re.compile(r"[~+]{0,2}[\w@%+=:,./\[\]-]+", re.ASCII)
_KEY_SPECIAL = re.compile(r"([\\()\[\]{}:=, \t])")


def _format_key(key: Any) -> str:
    return _KEY_SPECIAL.sub(r"\\\1", str(key))


def _run(override: Override | None, diagnostics: list[Diagnostic]) -> str | None:
    """Returns the run directory that is the base."""
    if override is None:
        return None
    try:
        return str(expanded(str(override.value()), "run"))
    except ConfigError as error:
        origin = f"override {override.input_line}"
        diagnostics += [
            dataclasses.replace(one, origin=origin) for one in error.diagnostics
        ]
        return None


def _with_quoted_folder(line: str) -> str:
    """Quotes the existing folder of `run=DIR`, whatever characters its name has."""
    folder = line.removeprefix("run=")
    if folder == line or _PLAIN.fullmatch(folder) or not Path(folder).is_dir():
        return line
    return f"run={format_value(folder)}"


def _line(override: Override, *, force: bool = False) -> str:
    line = override.input_line or ""
    return f"++{line.lstrip('+')}" if force else line


def _syntax_diagnostic(
    line: str, error: Exception, folders: Folders, meant: str | None
) -> Diagnostic:
    near = did_you_mean(meant)
    if ("=" not in line and not line.startswith("~")) or not line.strip("~+").split(
        "="
    )[0]:
        return Diagnostic(
            line,
            "is not an override",
            expected="key=value, group=choice or ~key",
            hint=near or _suggestion(line, folders),
            origin=f"override {line}",
            code="syntax",
        )
    reason = str(error).splitlines()[0].rstrip(".")
    return Diagnostic(
        line.split("=")[0].lstrip("+~").rstrip(),
        f"cannot be parsed: {reason}",
        hint=near or "Quote text with special characters: key=\"'text'\".",
        origin=f"override {line}",
        code="syntax",
    )


def _meant(line: str, folders: Folders) -> str | None:
    """Returns the override of a known key or group that a line means, or None."""
    return meant_override(line, folders, _parsed)


# A millisecond a line, and most lines of the trials of a sweep are the same.
@lru_cache(maxsize=256)
def _parse(line: str) -> Override:
    return OverridesParser.create().parse_override(line)


def _parsed(line: str) -> Override | None:
    """Returns the override of a line; None if it is nested too deeply."""
    try:
        override = _parse(line)
        deepest = max(len(path) for path, _ in walk(override.value()))
    except RecursionError:
        return None
    deepest = max(deepest, override.key_or_group.count("."))
    return override if deepest <= DEEPEST else None


def _too_deep(line: str) -> Diagnostic:
    return _refused(line, f"is nested more than {DEEPEST} levels deep")


def _too_long(line: str) -> Diagnostic:
    return _refused(
        line,
        f"is an override of {len(line):,} characters",
        expected=f"at most {MOST_CHARACTERS:,}",
        hint="Long values belong into a config file: "
        "--config-dir DIR experiment=NAME, of DIR/experiment/NAME.yaml.",
    )


def _refused(line: str, problem: str, expected: str = "", hint: str = "") -> Diagnostic:
    """Reports an override that is not read, with its beginning."""
    key, _, _ = line.partition("=")
    shown, origin = _shortened(key.lstrip("+~")), f"override {_shortened(line)}"
    return Diagnostic(shown, problem, expected, hint, origin, "syntax")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _suggestion(word: str, folders: Folders) -> str:
    """Suggests an override for an argument without `=`: run, config file, or choice."""
    path = Path(word)
    if word and is_file(path / "config.yaml"):
        return did_you_mean(word, prefix="run=")
    if path.suffix in (".yaml", ".yml"):
        known = path.parent.name in folders.groups()
        folder = shlex.quote(str(path.parent.parent)) if known else "DIR"
        group = path.parent.name if known else "experiment"
        place = "" if known else f", of DIR/experiment/{path.stem}.yaml"
        return (
            f"Config files are chosen by name: --config-dir {folder} "
            f"{group}={path.stem}{place}."
        )
    for group in ("experiment", *folders.groups()):
        if word in folders.choices(group):
            return did_you_mean(word, prefix=f"{group}=")
    near = nearest(word, folders.choices("experiment"))
    return did_you_mean(near, prefix="experiment=")


def _hydra_diagnostics(overrides: Iterable[Override]) -> list[Diagnostic]:
    """Reports options of Hydra that specflow replaces by its own."""
    return [
        reserved(key, f"override {override.input_line}")
        for override in overrides
        for key in asked_of_hydra(override.key_or_group, override.value())
    ]
