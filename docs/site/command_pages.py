"""The page of the commands: their help, made from the options of the program."""

import os
from unittest.mock import patch

from specflow.cli.command_table import COMMANDS

__all__ = ["command_page"]


def command_page() -> str:
    """Returns the page of all commands, as Markdown."""
    parts = ["# Commands\n", "Every command prints its help with `--help`.\n"]
    with patch.dict(os.environ, COLUMNS="80"):
        for name, command in COMMANDS.items():
            parts += [
                f"## {name}\n",
                f"```text\n{command.parser(name).format_help().rstrip()}\n```\n",
            ]
    return "\n".join(parts)
