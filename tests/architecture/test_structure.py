"""Files are short and found by name, classes are short, late imports dodge no cycle."""

import ast
import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.conftest import FILES, ROOT, trees

MAXIMAL_LINES_OF_A_CLASS = 300
MAXIMAL_LINES_OF_A_FILE = 450


def test_a_module_is_found_by_its_name():
    """No file holds the rest of another, and no two have one name.

    Types in `config/` and commands are named as what they configure and run.
    """
    names = Counter(
        path.name
        for path, _ in trees()
        if not path.name.startswith("__")
        and path.parts[1] not in ("config", "commands")
        and path.parts[0] == "specflow"
    )
    assert [name for name in names if name.endswith("_more.py")] == []
    assert {name: count for name, count in names.items() if count > 1} == {}


def test_no_file_is_too_long_to_be_read():
    lengths = {path.relative_to(ROOT): path.read_text().count("\n") for path in FILES}
    assert {
        str(path): lines
        for path, lines in lengths.items()
        if lines > MAXIMAL_LINES_OF_A_FILE and "generated" not in path.parts
    } == {}


def test_no_class_is_too_long_to_be_read():
    assert {
        f"{path}: {node.name}": lines
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1)
        > MAXIMAL_LINES_OF_A_CLASS
    } == {}


def module_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def modules() -> frozenset[str]:
    return frozenset(module_of(path) for path, _ in trees())


def imported(statement: ast.stmt, module: str, is_package: bool) -> Iterator[str]:
    """Modules of this repository that one import statement names."""
    if isinstance(statement, ast.Import):
        names = [alias.name for alias in statement.names]
    elif isinstance(statement, ast.ImportFrom):
        base = statement.module or ""
        if statement.level:
            parents = module.split(".")
            kept = len(parents) - statement.level + is_package
            base = ".".join([*parents[:kept], *([base] if base else [])])
        names = [
            name if (name := f"{base}.{alias.name}") in modules() else base
            for alias in statement.names
        ]
    else:
        return
    yield from (name for name in names if name in modules())


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def at_import(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run when a module is imported: none of a function's body."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            if isinstance(child, ast.stmt):
                yield child
            if not (
                isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
                or is_for_types(child)
            ):
                waiting.append(child)


@functools.cache
def direct_imports() -> dict[str, set[str]]:
    """Module -> modules that it imports when it is imported itself."""
    return {
        (module := module_of(path)): {
            name
            for statement in at_import(tree)
            if not is_for_types(statement)
            for name in imported(statement, module, path.name == "__init__.py")
        }
        for path, tree in trees()
    }


@functools.cache
def reached(module: str) -> frozenset[str]:
    """Modules that importing one brings in, through any number of others."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        for name in direct_imports()[waiting.pop()] - seen:
            seen.add(name)
            waiting.append(name)
    return frozenset(seen)


def in_functions(tree: ast.Module) -> Iterator[ast.stmt]:
    """Imports that run when a function does, types alone left out."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    yield node


def test_no_import_in_a_function_dodges_a_cycle():
    """A late import may save start-up time; its module must not need the importer."""
    dodging = {
        f"{path}:{statement.lineno}: {name} imports {module}"
        for path, tree in trees()
        for module in [module_of(path)]
        for statement in in_functions(tree)
        for name in imported(statement, module, path.name == "__init__.py")
        if module in reached(name)
    }
    assert sorted(dodging) == []
