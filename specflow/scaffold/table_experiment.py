"""The experiment of a table: its YAML, from the proposed kinds of the columns."""

from collections.abc import Iterator, Sequence

from specflow.data.table.proposed_columns import ProposedTable
from specflow.scaffold.yaml_texts import one_line, steps_and_batch, yaml_text

__all__ = ["table_values"]

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
    steps, batch = steps_and_batch(round(table.rows * (1 - _EVALUATED)))
    split = f"{{eval: {_EVALUATED}}}"
    if is_classes:
        column = yaml_text(label)
        split = f"{{eval: {_EVALUATED}, by: stratified, column: {column}}}"
    ids = [each.name for each in table.columns if each.kind == "id"]
    noun = "class" if is_classes else "number"
    about = f"The {noun} {one_line(label)} of each row of {one_line(file)}."
    return {
        "about": about,
        "file": yaml_text(file),
        "place": " # Relative to the folder of the project." if copied else "",
        "copied": ", a copy" if copied else ", which stay where they are",
        "label": yaml_text(label),
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
            yield _commented(f"    {yaml_text(each.name)}: {each.kind}", each.seen)
    name = yaml_text(table.label.name)
    if not table.classes:
        yield _commented(f"    {name}: number", f"label: {table.label.seen}")
        return
    yield _commented(f"    {name}:", f"label: {table.label.seen}")
    yield "      name: category"
    yield "      vocabulary:"
    yield from (f"        - {yaml_text(text)}" for text in table.classes)


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
    return f"  {key}: [{', '.join(map(yaml_text, values))}]\n"


def _commented(line: str, seen: str) -> str:
    comment = f"{line} # {one_line(seen)}"
    if len(comment) <= _LONGEST_LINE:
        return comment
    return f"{comment[: _LONGEST_LINE - 3]}..."
