"""Imports run down the layers, and start-up loads no heavy package."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = (
    "jax",
    "flax",
    "optax",
    "orbax",
    "grain",
    "sklearn",
    "matplotlib",
    "tensorboardX",
)


def test_every_import_contract_holds():
    lint = (
        "from importlinter.cli import lint_imports; exit(lint_imports(no_cache=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", lint], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout


LIGHT = [
    "import specflow, specflow.diagnostics.errors, specflow.runtime.typing",
    "import specflow.contract, specflow.cli.main",
    "import specflow; specflow.Mode, specflow.TPUEstimatorSpec, specflow.MeshConfig",
    "import specflow.config.experiment, specflow.config.run_config",
    "import specflow.compose",
]

START_UP = [
    [],
    ["--help"],
    ["--version"],
    ["trian"],
    ["train", "--help"],
    ["show", "experiment=digits"],
    ["explain", "optimizer.lr", "experiment=digits"],
    [
        "diff",
        "digits",
        "experiment=digits optimizer={_target_:optax.adam,learning_rate:0.1}",
    ],
    ["schema", "optimizer"],
    ["completion", "bash"],
    ["train", "experiment=digist"],
    ["train", "experiment=digits", "optimizer.lrr=1"],
    ["train", "experiment=digits", "optimizer.lr=fast", "loop.train_steps=-1"],
    ["train", "experiment=digits", "mesh.axes.data=3"],
    ["train", "experiment=digits", "spec.loss.cross_entropy.logits=output"],
    ["evaluate"],
    ["evaluate", "run=nowhere"],
    ["fsck", "run=nowhere"],
    ["runs", "nowhere"],
    ["report", "sync", "run=nowhere"],
    ["new", "json"],
    ["data", "--help"],
    ["data", "check", "--help"],
    ["data", "show", "experiment=digist"],
    ["data", "stats", "experiment=digits", "data.shufle=true"],
    ["data", "synthesize", "experiment=digits"],
]


def loaded_after(code: str, cwd: Path) -> set[str]:
    """Heavy packages that a fresh process has loaded after running `code`."""
    report = f"import sys; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("code", LIGHT)
def test_light_imports_load_no_heavy_package(code, tmp_path):
    assert loaded_after(code, tmp_path) == set()


def test_help_and_config_errors_load_no_jax(tmp_path):
    """One process runs them all, so that a package loaded by any of them is noticed."""
    commands = f"""
import specflow.cli.main
statuses = [specflow.cli.main.main(argv) for argv in {START_UP!r}]
assert statuses == [0, 0, 0, 2, 0, 0, 0, 1, 0, 0, *[2] * 11, 0, 0, 2, 2, 2], statuses
"""
    assert loaded_after(commands, tmp_path) == set()


def test_composing_does_not_scan_installed_packages(tmp_path):
    """Pydantic and Hydra would, for plugins, which would double the time."""
    code = """
import sys, specflow.compose
before = {*sys.modules}
specflow.compose.compose(["experiment=digits"])
loaded = {*sys.modules} - before
print(*loaded & {"importlib.metadata", "hydra_plugins"})
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        check=True,
    )
    assert done.stdout == "\n"


def test_commands_import_no_ipython_and_leave_it_importable(tmp_path):
    """Flax imports it where it is installed; an installed one is in its place here."""
    (tmp_path / "IPython.py").write_text("print('imported')\nget_ipython = dict\n")
    code = """
import specflow.commands, flax.nnx
print("commands")
import IPython
assert IPython.get_ipython() == {}
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "", "JAX_PLATFORMS": "cpu"},
        check=True,
    )
    assert done.stdout.split() == ["commands", "imported"]
