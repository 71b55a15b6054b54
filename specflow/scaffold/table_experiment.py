"""The experiment of a table: its YAML, from the proposed kinds of the columns."""

import json
import re
from collections.abc import Iterator, Sequence

import yaml

from specflow.data.table.proposed_columns import ProposedTable

__all__ = ["table_values"]

_PASSES = 20
"""Epochs of the training rows, within bounds that keep it below a minute."""
_FEWEST_STEPS, _MOST_STEPS = 300, 2_000
_SIZES = ((20_000, 64), (200_000, 256))
"""Number of rows below which a batch has that size."""
_LARGEST_BATCH = 1_024
_EVALUATED = 0.2
_LONGEST_LINE = 88


def table_values(table: ProposedTable, *, file: str, copied: bool) -> dict[str, str]:
    """Returns what the templates of a project with a table say about it.

    Args:
        table: the proposed columns.
        file: path of the rows, from the folder of the project.
        copied: whether the file is a copy inside of the project.
    """
    is_classes = table.task == "classification"
    label = table.label.name
    batch = next((size for most, size in _SIZES if table.rows < most), _LARGEST_BATCH)
    passes = round(_PASSES * table.rows * (1 - _EVALUATED) / batch)
    steps = min(max(passes, _FEWEST_STEPS), _MOST_STEPS)
    split = f"{{eval: {_EVALUATED}}}"
    if is_classes:
        column = _text(label)
        split = f"{{eval: {_EVALUATED}, by: stratified, column: {column}}}"
    ids = [each.name for each in table.columns if each.kind == "id"]
    noun = "class" if is_classes else "number"
    about = f"The {noun} {_one_line(label)} of each row of {_one_line(file)}."
    return {
        "about": about,
        "file": _text(file),
        "place": " # Relative to the folder of the project." if copied else "",
        "copied": ", a copy" if copied else ", which stay where they are",
        "label": _text(label),
        "ids": _listed("id", ids) if ids else "",
        "missing": _missing(table.missing) if table.missing else "",
        "rows": f"{table.rows:,}",
        "columns": "\n".join(_columns(table)),
        "split": split,
        "steps": str(steps),
        "batch": str(batch),
        "every": str(max(1, steps // 6)),
        "metric": "accuracy" if is_classes else "r2",
        "better": "> 0.9",
        "expectation": _expectation(table),
    }


def _columns(table: ProposedTable) -> Iterator[str]:
    """Lines of `data.columns`, each with what was seen."""
    for each in table.columns:
        if each.kind != "id":
            yield _commented(f"    {_text(each.name)}: {each.kind}", each.seen)
    name = _text(table.label.name)
    if not table.classes:
        yield _commented(f"    {name}: number", f"label: {table.label.seen}")
        return
    yield _commented(f"    {name}:", f"label: {table.label.seen}")
    yield "      name: category"
    yield "      vocabulary:"
    yield from (f"        - {_text(text)}" for text in table.classes)


def _expectation(table: ProposedTable) -> str:
    """The last lines of the test."""
    if not table.classes:
        return '    assert all(math.isfinite(row["value"]) for row in rows)'
    return (
        '    (label,) = fitted["labels"].values()\n'
        '    assert {row["class"] for row in rows} <= set(label["classes"])'
    )


def _missing(texts: Sequence[str]) -> str:
    """Texts of missing numbers, with the usual ones."""
    usual = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]
    return _listed("missing", [*usual, *texts])


def _listed(key: str, values: Sequence[str]) -> str:
    return f"  {key}: [{', '.join(map(_text, values))}]\n"


def _text(text: str) -> str:
    """A text as YAML, quoted where it would be something else."""
    text = text.replace("${", "\\${")  # It would be an interpolation.
    plain = re.fullmatch(r"[A-Za-z_][\w/.-]*", text, re.ASCII)
    if plain and yaml.safe_load(text) == text:
        return text
    return json.dumps(text, ensure_ascii=False)


def _commented(line: str, seen: str) -> str:
    comment = f"{line} # {_one_line(seen)}"
    if len(comment) <= _LONGEST_LINE:
        return comment
    return f"{comment[: _LONGEST_LINE - 3]}..."


def _one_line(text: str) -> str:
    """A text without characters that end a line or are not printed."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
