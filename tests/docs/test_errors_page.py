"""`docs/errors.md` has every code in use, once, with a real example."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from specflow.cli.error_codes import page_of
from specflow.cli.main import main
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.error_pages import error_pages
from specflow.diagnostics.errors import MACHINE, MISTAKE, SpecflowError

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.replace("\\|", "|").strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in (ROOT / "docs" / "errors.md").read_text().splitlines()
    if line.startswith("| `")
]
EXAMPLES = {row[0].strip("`"): row[2].strip("`") for row in ROWS}
GOLDEN = [
    (match[1], match[2])
    for file in sorted((ROOT / "tests" / "golden" / "errors").glob("*.txt"))
    for line in file.read_text().splitlines()
    if (match := re.match(r"error\[([a-z\d-]+)\] (.*)", line))
]
TABLES = {"_CODES", "_MACHINE_ERRNOS", "_DEVICE_STATUSES"}
"""Names of dicts whose values are codes."""


@functools.cache
def _nodes() -> dict[str, list[ast.AST]]:
    """File -> every node of its tree."""
    folders = (ROOT / "specflow", ROOT / "plugins")
    files = [file for folder in folders for file in sorted(folder.rglob("*.py"))]
    return {str(file): [*ast.walk(ast.parse(file.read_text()))] for file in files}


def _calls() -> Iterator[tuple[str, ast.Call, dict[str, int]]]:
    """Each call, its file, and that file's functions that take a code, by position."""
    for file, nodes in _nodes().items():
        taking = {"Diagnostic": 5}
        for node in nodes:
            if isinstance(node, ast.FunctionDef):
                names = [argument.arg for argument in node.args.args]
                if "code" in names:
                    place = names.index("code") - (names[0] == "self")
                    taking[node.name] = place
        for node in nodes:
            if isinstance(node, ast.Call):
                yield Path(file).name, node, taking


def _code_of(call: ast.Call, taking: dict[str, int]) -> ast.expr | None:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name not in taking:
        return None
    named = [keyword.value for keyword in call.keywords if keyword.arg == "code"]
    return (named or [*call.args[taking[name] :], None])[0]


def _texts(node: ast.AST) -> list[str]:
    """The constant parts of a string expression, in order."""
    if isinstance(node, ast.FormattedValue | ast.Call | ast.IfExp | ast.BoolOp):
        return []
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    return [text for inner in ast.iter_child_nodes(node) for text in _texts(inner)]


@functools.cache
def _used() -> dict[str, list[list[str]]]:
    """Code -> the constant parts of the problem, for each use."""
    used: dict[str, list[list[str]]] = {}
    for _, call, taking in _calls():
        code = _code_of(call, taking)
        if isinstance(code, ast.Constant) and code.value:
            is_diagnostic = getattr(call.func, "id", "") == "Diagnostic"
            problem = call.args[1 if is_diagnostic else 0 :][:1]
            texts = _texts(problem[0]) if problem else []
            used.setdefault(code.value, []).append(texts)
    for nodes in _nodes().values():
        for node in nodes:
            if isinstance(node, ast.Assign):
                names = {getattr(target, "id", "") for target in node.targets}
                if names & TABLES and isinstance(node.value, ast.Dict):
                    codes = node.value.values
                elif names == {"code"} and isinstance(node.value, ast.Call):
                    choices = [n for n in ast.walk(node.value) if _is_choice(n)]
                    codes = [code for n in choices for code in (n.body, n.orelse)]
                else:
                    continue
                for code in codes:
                    used.setdefault(code.value, []).append([])
    return used


def _is_choice(node: ast.AST) -> bool:
    return isinstance(node, ast.IfExp) and isinstance(node.body, ast.Constant)


def test_the_table_has_every_code_once_and_no_unused_one():
    listed = [row[0].strip("`") for row in ROWS]
    assert listed == sorted(listed)
    assert len(set(listed)) == len(listed)
    assert set(listed) == set(_used())


def test_no_error_is_raised_with_a_text_alone():
    """It would be a diagnostic without a code."""
    classes = {cls.__name__ for cls in SpecflowError.__subclasses__()}
    plain = [
        f"{file}:{call.lineno}"
        for file, call, _ in _calls()
        if getattr(call.func, "id", "") in classes
        and call.args
        and isinstance(call.args[0], ast.Constant | ast.JoinedStr)
    ]
    assert plain == []


def test_pages_are_the_rows_of_the_table():
    pages = error_pages()
    assert [*pages] == [row[0].strip("`") for row in ROWS]
    for page, row in zip(pages.values(), ROWS, strict=True):
        assert [page.meaning, page.example, page.hint] == [
            row[1], row[2].strip("`"), row[3],
        ]  # fmt: skip


def test_codes_that_are_keys_are_known():
    keys = {*ExperimentConfig.model_fields} & {*error_pages()}
    assert keys == {code for code in error_pages() if page_of(code) is None}


def test_every_diagnostic_has_a_code():
    """Except a plain text, which an exception converts to a diagnostic."""
    without = [
        f"{file}:{call.lineno}"
        for file, call, taking in _calls()
        if getattr(call.func, "id", "") == "Diagnostic"
        and _code_of(call, taking) is None
    ]
    assert len(without) == 1, without
    assert without[0].startswith("errors.py:")


def test_a_row_has_a_meaning_and_a_hint():
    assert [row for row in ROWS if len(row) != 4 or not all(row)] == []
    assert [
        row for row in ROWS if not (row[1].endswith(".") and row[3].endswith("."))
    ] == []


def test_the_shown_report_is_the_real_one(capsys):
    page = (ROOT / "docs" / "errors.md").read_text()
    match = re.search(r"^\$ specflow (.*)\n(.*) \[\.\.\.\]$", page, re.M)
    assert match
    assert main(match[1].split()) == MISTAKE
    assert capsys.readouterr().err.startswith(match[2])
    for status in (MISTAKE, MACHINE):
        assert f"\n| {status} | " in page


@pytest.mark.parametrize("code", sorted(EXAMPLES))
def test_an_example_is_real(code):
    """The example is a line of a golden report, or matches a message in the source."""
    example, _, _ = EXAMPLES[code].partition(" [...]")
    if any(code == golden and line.startswith(example) for golden, line in GOLDEN):
        return
    patterns = (
        "".join(f"{re.escape(text)}.*" for text in texts) for texts in _used()[code]
    )
    assert any(re.search(pattern, example) for pattern in patterns), example
