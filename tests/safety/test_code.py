"""Constructs that the code of specflow must not contain."""

import ast
import functools
from pathlib import Path

import pytest

import specflow

ROOT = Path(specflow.__file__).parent
FILES = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py"))

UNPICKLING = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve"}
UNPICKLING |= {"marshal", "torch", "pandas", "jsonpickle"}
EVALUATING = {"eval", "exec", "compile", "__import__", "execfile", "input"}
STARTING = {"subprocess", "pty", "runpy", "code", "commands", "multiprocessing"}
IMPORTING = {
    "__init__.py": "names that are loaded when they are first touched",
    "compose/__init__.py": "names that are loaded when they are first touched",
    "compose/check/targets.py": "the one place that resolves what a config names",
    "config/kinds.py": "classes of sections, when their name is met",
    "data/sklearn_sets.py": "scikit-learn, where it is installed",
    "tf/__init__.py": "names that are loaded when they are first touched",
    "tf/canned/canned_record.py": "the package of canned estimators",
    "metrics/declared_metrics.py": "states of the generated sections, by their paths",
    "runtime/entry_points.py": "the only module that loads what entry points name",
    "serving/convert/": "packages that converters declare",
    "sweep/pool/": "Ray and submitit, where they are installed",
}
"""Files that import by name, and what."""
STARTERS = {
    "commands/resume_check.py": "this Python, with specflow's own module",
    "distributed/launch.py": "this Python, with specflow's own module",
    "output/run/revision.py": "git, which says whether tracked files have changed",
    "preflight/child_process.py": "this Python, with specflow's own module",
    "sweep/pool/worker_process.py": "this Python, with specflow's own module",
}
"""Files that start programs, and which."""
PICKLERS = {
    "estimator/train_recorder.py": "attributes of the user's objects, for digests",
}
"""Files that pickle, never unpickle, and what."""


@functools.cache
def trees():
    """File -> its syntax tree."""
    return {file: ast.parse((ROOT / file).read_text()) for file in FILES}


@functools.cache
def calls(tree):
    """(dotted name of what is called, the call) of each call."""
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [(dotted(node.func), node) for node in nodes]


def dotted(node):
    """The source of an expression; `ast.unparse` takes much longer for names."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ast.unparse(node)


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("file", FILES)
def test_nothing_that_unpickles_or_starts_programs_is_imported(file):
    roots = {name.split(".")[0] for name in imports(trees()[file])}
    if file in PICKLERS:
        roots.remove("pickle")
        used = {name for name, _ in calls(trees()[file]) if name.startswith("pickle.")}
        assert used == {"pickle.dumps"}
    assert not roots & (UNPICKLING | (set() if file in STARTERS else STARTING))


def test_arrays_are_loaded_without_pickles():
    found = [
        (file, ast.unparse(call))
        for file, tree in trees().items()
        for name, call in calls(tree)
        if name.rpartition(".")[2] in ("load", "lib.format.read_array", "fromfile")
        and name.split(".")[0] in ("np", "numpy", "jnp", "jax")
    ]
    assert found, "the reader of .npz files is gone: what reads them now?"
    for _, call in found:
        assert "allow_pickle=False" in call


def test_no_text_is_evaluated():
    message = [
        (file, name)
        for file, tree in trees().items()
        for name, _ in calls(tree)
        if name in EVALUATING or name.rpartition(".")[2] == "system"
    ]
    assert message == []


def test_yaml_is_read_as_plain_data():
    safe = "Loader=getattr(yaml, 'CSafeLoader', yaml.SafeLoader))"
    message = [
        (file, ast.unparse(call))
        for file, tree in trees().items()
        for name, call in calls(tree)
        if name.startswith("yaml.") and "load" in name and name != "yaml.safe_load"
        if not ast.unparse(call).endswith(safe)
    ]
    assert message == []


def test_hydra_instantiates_nothing():
    banned = {"instantiate", "get_method", "get_class", "get_object", "call", "locate"}
    for file, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                ("hydra", "pydoc", "pkgutil")
            ):
                assert not {name.name for name in node.names} & banned, file


def named(node):
    """Names that a node imports from a module, or its own."""
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return [dotted(node)] if isinstance(node, ast.Attribute | ast.Name) else []


def test_only_one_place_asks_for_entry_points():
    """`EntryPoint.load` is importing too."""
    asking = {
        file
        for file, tree in trees().items()
        for node in ast.walk(tree)
        for name in named(node)
        if name.endswith(("metadata.entry_points", ".iter_entry_points", "EntryPoint"))
        or name.startswith("pkg_resources")
    }
    assert asking == {"runtime/entry_points.py"}


def test_only_one_place_imports_what_a_config_names():
    """Every other file that imports by name takes the name from its own code."""
    found = {
        file
        for file, tree in trees().items()
        for name in (*imports(tree), *(name for name, _ in calls(tree)))
        if name == "importlib" or name.endswith("import_module")
    }
    strangers = {file for file in found if not file.startswith(tuple(IMPORTING))}
    assert strangers == set()
    unused = {
        known for known in IMPORTING if not any(f.startswith(known) for f in found)
    }
    assert unused == set()
