"""A command of the CLI: its options, its help, and the parser made of them."""

import argparse
import dataclasses
import re
from collections.abc import Callable
from typing import NoReturn

from specflow.cli import hydra_habits, options
from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest

__all__ = ["COMPUTING", "Command", "usage"]

COMPUTING = ("train", "evaluate", "predict", "export", "check")
"""Commands that compute, and can be launched as several processes."""

_SHORT = 4
"""Length, with its dashes, up to which an option resembles too many others."""


@dataclasses.dataclass(frozen=True)
class Command:
    """A command: what it runs, and what its help says."""

    run: Callable[[argparse.Namespace], int]
    """Takes the parsed arguments, and returns the exit status."""
    summary: str
    """One line of the help, without a full stop."""
    example: str
    """A command line that runs."""
    takes: tuple[options.Option, ...] = options.COMMON
    """Its options."""

    def parser(self, name: str) -> argparse.ArgumentParser:
        """The parser of the command's arguments.

        Args:
            name: of the command.
        """
        parser = _Parser(
            prog=f"specflow {name}",
            description=f"{self.summary[0].upper()}{self.summary[1:]}.",
            epilog=f"example: {self.example}",
            allow_abbrev=False,
        )
        parser.set_defaults(report="text", trusted_at="", config_dir=[])
        for option in self.takes:
            parser.add_argument(*option.names, **option.settings)
        return parser


def usage(where: str, problem: str, expected: str = "", hint: str = "") -> Diagnostic:
    """A diagnostic of a wrong option or argument.

    >>> print(usage("--processes", "got 0", expected="1 or more"))
    --processes: got 0 (command line). Expected 1 or more.
    """
    return Diagnostic(where, problem, expected, hint, "command line", "usage")


class _Parser(argparse.ArgumentParser):
    """Raises `ConfigError` for wrong options, as for any other diagnostic."""

    def error(self, message: str) -> NoReturn:
        known = [name for name in self._option_string_actions if name[:2] == "--"]
        _, unknown, typed = message.partition("unrecognized arguments: ")
        first = (typed.split() or [""])[0]
        near = hydra_habits.answer(first) or (
            did_you_mean(nearest(first, known)) if len(first) > _SHORT else ""
        )
        if not near and re.fullmatch(r"--?[a-z][\w.]*=.+", first):
            near = did_you_mean(first.lstrip("-"))
        if unknown and not typed.strip():
            message = f"{unknown}{typed!r}"  # An argument that is empty, or a space.
        hint = f"{near} {self.prog} --help says what it takes.".strip()
        raise ConfigError(usage(self.prog, message, hint=hint))
