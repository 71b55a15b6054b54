"""Parts of the experiments of new projects: texts as YAML, and lengths of training."""

import json
import re

import yaml

__all__ = ["one_line", "steps_and_batch", "yaml_text"]

_PASSES = 20
"""Epochs of the training rows, within bounds that keep it below a minute."""
_FEWEST_STEPS, _MOST_STEPS = 300, 2_000
_SIZES = ((20_000, 64), (200_000, 256))
"""Number of rows below which a batch has that size."""
_LARGEST_BATCH = 1_024


def steps_and_batch(rows: int) -> tuple[int, int]:
    """Steps of training, and rows of a batch, for a number of training rows.

    >>> steps_and_batch(1_000)
    (312, 64)
    """
    batch = next((size for most, size in _SIZES if rows < most), _LARGEST_BATCH)
    passes = round(_PASSES * rows / batch)
    return min(max(passes, _FEWEST_STEPS), _MOST_STEPS), batch


def yaml_text(text: str) -> str:
    """Returns a text as YAML, quoted where it would be something else.

    >>> yaml_text("pears"), yaml_text("no")
    ('pears', '"no"')
    """
    text = text.replace("${", "\\${")  # It would be an interpolation.
    plain = re.fullmatch(r"[A-Za-z_][\w/.-]*", text, re.ASCII)
    if plain and yaml.safe_load(text) == text:
        return text
    return json.dumps(text, ensure_ascii=False)


def one_line(text: str) -> str:
    """Returns a text without characters that end a line or are not printed."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
