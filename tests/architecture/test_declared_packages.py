"""Every package that is imported is declared in pyproject.toml."""

import ast
import re
import sys
import tomllib

import pytest

from tests.architecture.conftest import ROOT, trees

EXTRAS = {
    "plugins/specflow_mlflow/": "mlflow",
    "plugins/specflow_onnx/": "onnx",
    "plugins/specflow_records/_core/array_record.py": "array_record",
    "plugins/specflow_records/_core/huggingface.py": "huggingface",
    "plugins/specflow_records/_core/tfds.py": "tfds",
    "plugins/specflow_records/_core/tfrecord": "tfrecord",
    "plugins/specflow_savedmodel": "savedmodel",
    "plugins/specflow_trackio/": "trackio",
    "plugins/specflow_wandb/": "wandb",
    "specflow/columns/tokenizer_file.py": "tokenizers",
    "specflow/data/table/remote_files.py": "remote",
    "specflow/sweep/": "sweep",
}
"""Modules that may import what an extra declares, by the start of their path."""
DISTRIBUTIONS = {
    "PIL": "pillow",
    "hydra": "hydra-core",
    "jaxlib": "jax",
    "pydantic_core": "pydantic",
    "yaml": "pyyaml",
}
"""Names of packages that differ; the second is released with its package."""


def imported(tree):
    """Top-level names that a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).partition(".")[0]


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions(requirements):
    return {normalized(re.match(r"[\w.-]+", text)[0]) for text in requirements}


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_imported_package_is_declared(project):
    base = distributions(project["dependencies"])
    extras = {
        name: distributions(texts)
        for name, texts in project["optional-dependencies"].items()
    }
    undeclared = []
    for path, tree in trees():
        allowed = base.union(
            *(extras[x] for at, x in EXTRAS.items() if str(path).startswith(at))
        )
        for name in {*imported(tree)} - {*sys.stdlib_module_names}:
            known = normalized(DISTRIBUTIONS.get(name, name))
            if known not in allowed and not name.startswith("specflow"):
                undeclared.append(f"{path}: {name}")
    assert undeclared == []
