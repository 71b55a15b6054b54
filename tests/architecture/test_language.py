"""Docstrings are in the field's terms.

Source of the limits: docstrings of Optax, Equinox, Kauldron, CLU, Pydantic, torchtitan,
Levanter and cyclopts, where 0.0 to 0.5 % of first lines open with a relative clause.
"""

import ast
import functools
import itertools
import re
from collections.abc import Iterator

import pytest

from tests.architecture.conftest import trees

OPENER = re.compile(r"(What|Where|How|Which|Who|Whose|When)\b")
MAXIMAL_SHARE_OF_OPENERS = 0.01
WORDS = {
    "fault": r"faults?",
    "told": r"told",
    "nobody": r"whoever|nobody|somebody",
    "laid": r"lay|lays|laid",
    "stand": r"stands?|stood",
    "mend": r"mends?|mended",
}
"""Dated words, or words of another trade, that the glossary replaces."""
MAXIMAL_PER_10_000 = 1
PLACEMENT = re.compile(r"\b(cuts?|cutting|lay|lays|laid|whole|lies?)\b", re.I)
SHARDING_PACKAGES = ("mesh", "distributed", "executor")
"""Arrays are sharded, partitioned or replicated there."""
SECTION = re.compile(r"^(?:Args|Raises):\n((?: .*\n|\n)+)", re.M)
ENTRY = re.compile(r"^ {4}\*{0,2}[\w.]+(?: \([^)]*\))?:\s+(\S+)", re.M)
NAME = re.compile(
    r"(True|False|None|Adam|Flax|Hydra|Keras|Linen|Optax|Orbax|Pydantic|Python|Slurm)\b"
    r"|\w[\w.]*[A-Z0-9]|[A-Z]\b"
)
"""Words that keep their capital: values of Python, proper names, JAX, NumPy, L2, K."""


def docs_of(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of docstrings, and of the texts below fields and constants."""
    for node in ast.walk(tree):
        if isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text
        body = getattr(node, "body", None)
        if isinstance(body, list):
            for field, below in itertools.pairwise(body):
                if (
                    isinstance(field, ast.Assign | ast.AnnAssign)
                    and isinstance(below, ast.Expr)
                    and isinstance(below.value, ast.Constant)
                    and isinstance(below.value.value, str)
                ):
                    yield below.lineno, below.value.value


@functools.cache
def docs() -> list[tuple[str, str]]:
    """`file:line` and text of every docstring."""
    return [
        (f"{path}:{line}", text.strip())
        for path, tree in trees()
        for line, text in docs_of(tree)
    ]


def test_first_lines_are_verbs_or_noun_phrases():
    relative = [
        f"{place}: {text.splitlines()[0]}"
        for place, text in docs()
        if OPENER.match(text)
    ]
    assert len(relative) <= MAXIMAL_SHARE_OF_OPENERS * len(docs()), "\n".join(relative)


@pytest.mark.parametrize("word", WORDS)
def test_dated_words_are_rare(word):
    pattern = re.compile(rf"\b({WORDS[word]})\b", re.I)
    used = [
        f"{place}: {match[0]}"
        for place, text in docs()
        for match in pattern.finditer(text)
    ]
    total = sum(len(text.split()) for _, text in docs())
    assert len(used) <= MAXIMAL_PER_10_000 * total / 10_000, "\n".join(used)


@pytest.mark.parametrize("package", SHARDING_PACKAGES)
def test_arrays_are_sharded_or_replicated(package):
    used = [
        f"{place}: {match[0]}"
        for place, text in docs()
        if place.startswith(f"specflow/{package}/")
        for match in PLACEMENT.finditer(text)
    ]
    assert used == []


def test_entries_of_arguments_and_errors_begin_in_lower_case():
    """One form for all: they continue `name: `, and are noun phrases more often."""
    entries = [
        (place, word)
        for place, text in docs()
        for section in SECTION.finditer(f"{text}\n")
        for word in ENTRY.findall(section[1])
    ]
    capitals = [
        f"{place}: {word}"
        for place, word in entries
        if word[0].isupper() and not NAME.match(word)
    ]
    assert len(entries) > 1000, "The pattern no longer finds the entries."
    assert capitals == []
