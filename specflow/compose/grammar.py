"""The grammar of overrides, both ways: lines to what they ask for, values to lines."""

import dataclasses
import re
import shlex
from collections.abc import Iterable
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Quote, QuotedString, Sweep
from hydra.errors import HydraException

from specflow.compose.folders import Folders
from specflow.errors import Fault, nearest

__all__ = ["Request", "escape", "read", "shell", "spell"]


@dataclasses.dataclass(frozen=True)
class Request:
    """What the lines of a command ask for, sorted by kind, each kind in order."""

    run: str | None
    """Directory of a run whose config is the base (`run=DIR`)."""
    trust: tuple[str, ...]
    """The user's own packages in which targets may resolve (`trust=my_package`)."""
    choices: tuple[Override, ...]
    """Choices in config groups, additions and deletions of them included."""
    values: tuple[Override, ...]
    """Values laid over the composed tree, deletions of keys included."""
    hydra: tuple[Override, ...]
    """What is meant for Hydra itself: its launcher, its sweeper."""

    def singles(self) -> "Request":
        """The same without the overrides that name several values."""
        return dataclasses.replace(
            self,
            choices=tuple(one for one in self.choices if not one.is_sweep_override()),
            values=tuple(one for one in self.values if not one.is_sweep_override()),
        )

    def lines(self) -> list[str]:
        """The overrides for Hydra's own composition, which a sweep goes through.

        Values are force-added: Pydantic, not Hydra, says which keys exist, so a key
        need not be mentioned in YAML to be set.
        """
        return [
            *(_line(override) for override in self.hydra),
            *(_line(override) for override in self.choices),
            *(_line(value, force=not value.is_delete()) for value in self.values),
        ]


def read(lines: Iterable[str], folders: Folders) -> tuple[Request, list[Fault]]:
    """Sorts the overrides of a command; a sweep's are allowed.

    Returns:
        What is asked for, and the faults of the lines that had to be left out.
    """
    faults: list[Fault] = []
    own: dict[str, Override] = {}
    choices: dict[str, Override] = {}
    values: dict[str, Override] = {}
    hydra: list[Override] = []
    parser = OverridesParser.create()
    for line in lines:
        try:
            override = parser.parse_override(line)
        except HydraException as error:
            faults.append(_syntax_fault(line, error))
            continue
        key = override.key_or_group
        if key in ("run", "trust"):
            own[key] = override
        elif override.is_hydra_override():
            hydra.append(override)
        elif folders.is_group(key) and not isinstance(override.value(), dict):
            fault = _choice_fault(override, folders)
            if fault:
                faults.append(fault)
            else:
                choices[line] = override
        else:
            # The same deletion twice is one; of a value written twice the later counts.
            values.pop(line, None)
            values[line] = override
    faults += _hydra_faults(hydra)
    run, trust = own.get("run"), own.get("trust")
    names = trust.value() if trust else []
    request = Request(
        run=str(run.value()) if run else None,
        trust=tuple(map(str, names if isinstance(names, list) else [names])),
        choices=tuple(choices.values()),
        values=tuple(values.values()),
        hydra=tuple(hydra),
    )
    return request, faults


def spell(value: Any) -> str:
    """A value in the grammar of overrides; parsing it gives the very same value.

    >>> spell([32, 64]), spell({"path": "**", "dims": [None, "fsdp"]})
    ('[32,64]', '{path:**,dims:[null,fsdp]}')
    >>> spell("32"), spell(3e-4), spell("a b")
    ("'32'", '0.0003', "'a b'")
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(spell, value))}]"
    if isinstance(value, dict):
        pairs = (f"{_spell_key(key)}:{spell(inner)}" for key, inner in value.items())
        return f"{{{','.join(pairs)}}}"
    text = escape(str(value))
    if _PLAIN.fullmatch(text) and not _OTHER_TYPE.fullmatch(text):
        return text
    return QuotedString(text, Quote.single).with_quotes()


def escape(text: str) -> str:
    r"""A text in which `${` means these two characters and is no interpolation.

    >>> print(escape("costs ${x}"))
    costs \${x}
    """
    # A backslash before `${` would itself be read as an escape, so it is doubled.
    return re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", text)


def shell(line: str) -> str:
    r"""A line as a shell takes it: quoted only where it must be.

    >>> shell("model.widths=[32,64]"), shell("name='32'"), shell("a='b c'")
    ('model.widths=[32,64]', '"name=\'32\'"', '"a=\'b c\'"')
    """
    if _SHELL_SAFE.fullmatch(line):
        return line
    if not set(line) & set('"$`\\!'):
        return f'"{line}"'
    return shlex.quote(line)


_PLAIN = re.compile(r"[A-Za-z_/*.][\w/*.@%+-]*", re.ASCII)
_OTHER_TYPE = re.compile(r"null|true|false|inf|nan|[.\d]+(e[+-]?\d+)?", re.IGNORECASE)
_SHELL_SAFE = re.compile(r"[~+]{0,2}[\w@%+=:,./\[\]-]+", re.ASCII)
_KEY_SPECIAL = re.compile(r"([\\()\[\]{}:=, \t])")


def _spell_key(key: Any) -> str:
    return _KEY_SPECIAL.sub(r"\\\1", str(key))


def _line(override: Override, *, force: bool = False) -> str:
    line = override.input_line or ""
    return f"++{line.lstrip('+')}" if force else line


def _syntax_fault(line: str, error: Exception) -> Fault:
    if "=" not in line and not line.startswith("~"):
        return Fault(
            line,
            "is no override",
            expected="key=value, group=choice or ~key",
            origin=f"override {line}",
            code="syntax",
        )
    reason = str(error).splitlines()[0].rstrip(".")
    return Fault(
        line.split("=")[0].lstrip("+~"),
        f"cannot be read: {reason}",
        mend="Quote texts with special characters: key=\"'text'\".",
        origin=f"override {line}",
        code="syntax",
    )


def _choice_fault(override: Override, folders: Folders) -> Fault | None:
    """A choice that no folder has; of a sweep, the first such choice."""
    group = override.key_or_group
    choices = folders.choices(group)
    for choice in _chosen(override):
        if choice is None or choice in choices or folders.file(f"{group}/{choice}"):
            continue
        return no_such_choice(group, choice, choices, f"override {override.input_line}")
    return None


def no_such_choice(group: str, choice: str, choices: list[str], origin: str) -> Fault:
    """The fault of a choice that a group does not have."""
    near = nearest(str(choice), choices)
    listed = f"Choices: {', '.join(choices)}."
    return Fault(
        group,
        f"no choice named {choice!r}",
        mend=f"{near.replace('mean ', f'mean {group}=')} {listed}".strip(),
        origin=origin,
        code="unknown-choice",
    )


def _chosen(override: Override) -> list[Any]:
    if isinstance(override.value(), Glob):
        return []  # It names patterns, and takes what matches.
    if override.is_sweep_override():
        return [text.strip("'\"") for text in override.sweep_string_iterator()]
    value = override.value()
    if isinstance(value, Sweep):
        return []
    return value if isinstance(value, list) else [value]


def _hydra_faults(overrides: Iterable[Override]) -> list[Fault]:
    return [
        Fault(
            "hydra.searchpath",
            "is set by specflow itself",
            mend="Name your own folder of configs with --config-dir.",
            origin=f"override {override.input_line}",
            code="reserved",
        )
        for override in overrides
        if override.key_or_group == "hydra.searchpath"
    ]
