"""The page of the commands, made from the options of the program."""

from specflow.cli.command import Command
from specflow.cli.command_table import COMMANDS
from specflow.cli.options import Option

__all__ = ["command_page"]


def command_page() -> str:
    """Returns the page of all commands, as Markdown."""
    parts = [
        "# Commands\n",
        "`specflow COMMAND --help` prints the same. Every command also takes",
        "`trust=PACKAGE`, and reads the",
        "[project file](../own-code.md#the-project-file).\n",
    ]
    for name, command in COMMANDS.items():
        parts += [
            f"## {name}\n",
            _sentence(command),
            f"```text\n{command.example}\n```\n",
        ]
        parts += [
            f"`{_shown(option)}`\n: {option.settings.get('help', '')}\n"
            for option in command.takes
        ]
    return "\n".join(parts)


def _sentence(command: Command) -> str:
    return f"{command.summary[0].upper()}{command.summary[1:]}.\n"


def _shown(option: Option) -> str:
    """Names of an option and its value, as in the usage."""
    choices = option.settings.get("choices")
    value = option.settings.get("metavar") or ("|".join(choices) if choices else "")
    if not option.names[0].startswith("-"):
        return value or option.names[0]
    names = ", ".join(option.names)
    return f"{names} {value}" if option.takes_value and value else names
