"""Repair of command-line arguments that are not overrides."""

import re
from collections.abc import Callable, Iterator

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from specflow.compose.read.config_folders import Folders
from specflow.config.experiment import ExperimentConfig

__all__ = ["joined_words", "meant_override", "repaired_line"]


def joined_words(words: list[str]) -> list[str]:
    """Joins the words of an override that has spaces around its `=`.

    >>> joined_words(["seed", "=", "3", "mesh=fsdp", "optimizer.lr", "=0.1"])
    ['seed = 3', 'mesh=fsdp', 'optimizer.lr =0.1']
    """
    joined: list[str] = []
    for word in words:
        before = joined[-1] if joined else ""
        begins = bool(_KEY.fullmatch(before)) and word.startswith("=")
        ends = bool(_KEY.fullmatch(before.removesuffix(" ="))) and "=" not in word
        if begins or (ends and before.endswith(" =")):
            joined[-1] = f"{before} {word}"
        else:
            joined.append(word)
    return joined


_KEY = re.compile(r"[+~]{0,2}[A-Za-z][\w./@-]*")


def meant_override(
    line: str, folders: Folders, parsed: Callable[[str], Override | None]
) -> str | None:
    """Returns the override of a known key or group that a line means, or None.

    Args:
        line: the argument, as typed.
        folders: config folders.
        parsed: parses an override; None if it is refused.
    """

    def is_override(other: str) -> bool:
        try:
            found = parsed(other)
        except HydraException:
            return False
        return found is not None and (
            found.key_or_group.split(".")[0] in ExperimentConfig.model_fields
            or folders.is_group(found.key_or_group)
        )

    if meant := repaired_line(line, is_override):
        return meant
    # An option of another program: --config=digits.
    choice = line.partition("=")[2]
    known = line.startswith("-") and choice in folders.choices("experiment")
    return f"experiment={choice}" if known else None


def repaired_line(line: str, is_override: Callable[[str], bool]) -> str | None:
    """Returns the override that an argument means; None if it resembles none.

    Args:
        line: the argument, as typed.
        is_override: returns whether a line can be parsed and its key is known.

    >>> repaired_line("--loop.train_steps=5", lambda line: line.startswith("loop"))
    'loop.train_steps=5'
    """
    return next((one for one in _candidates(line) if is_override(one)), None)


def _candidates(line: str) -> Iterator[str]:
    plain = line.strip()
    if plain[:1] == plain[-1:] and plain[:1] in ("'", '"'):
        plain = plain[1:-1]  # The quotes of a shell, inside others.
    plain = re.sub(r"^-+", "", plain)
    plain = re.sub(r"^override\s+/?", "", plain).lstrip("/")
    seen = {line}
    for key, value in _pairs(plain):
        # As in Python, optimizer['lr'], and as a path.
        key = re.sub(r"\[\s*['\"]?(\w+)['\"]?\s*\]", r".\1", key.strip())
        for one in (key, key.replace("/", ".").strip(".")):
            for text in _values(value):
                found = f"{one}={text}"
                if found not in seen:
                    seen.add(found)
                    yield found


def _values(value: str) -> Iterator[str]:
    yield value.strip()
    yield (short := re.sub(r"[,;\s]+$", "", value).lstrip("= "))
    # As in Python, (64, 64), and as in other languages, [64; 64].
    if re.fullmatch(r"\(.*\)|\[.*;.*\]", short):
        yield f"[{short[1:-1].rstrip(', ').replace(';', ',')}]"


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    for mark in ("=", ":", " "):
        key, found, value = line.partition(mark)
        if found and key:
            yield key, value
