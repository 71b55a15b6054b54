"""Fixtures: the sample package, installed by pip; and packages written by a test."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from specflow.config.plugins import components
from specflow.runtime import entry_points

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """Folder with the sample package installed by pip, without network access."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    pip += ["--disable-pip-version-check", "--no-build-isolation", "--target"]
    subprocess.run([*pip, str(folder), str(ROOT / "tests/plugin_sample")], check=True)
    return folder


def _clear_caches() -> None:
    entry_points._declared.cache_clear()
    entry_points.brought_folders.cache_clear()
    components._SECTIONS.clear()


@pytest.fixture
def installing(monkeypatch) -> Iterator[Callable[[Path], None]]:
    """Adds a folder to this process's packages for the duration of the test."""
    added: list[str] = []

    def install(folder: Path) -> None:
        monkeypatch.syspath_prepend(str(folder))
        added.append(str(folder))
        _clear_caches()

    _clear_caches()
    yield install
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(tuple(added) or "\0"):
            del sys.modules[name]
    monkeypatch.undo()
    _clear_caches()


@pytest.fixture
def sample(site, installing) -> Path:
    """The sample package, importable in this process."""
    installing(site)
    return site


@pytest.fixture
def package(tmp_path, installing) -> Callable[..., Path]:
    """Writes an installed package of one module, with entry points."""

    def write(
        name: str, code: str = "", conf: dict[str, str] | None = None, **groups: str
    ) -> Path:
        """`models="tall = wrong:Tall"` declares a model; `conf` brings files."""
        site, module = tmp_path / "site", name.replace("-", "_")
        about = site / f"{module}-1.0.dist-info"
        about.mkdir(parents=True, exist_ok=True)
        (about / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
        lines = [
            f"[specflow.{group.replace('folders', 'conf')}]\n{text}\n"
            for group, text in groups.items()
        ]
        (about / "entry_points.txt").write_text("\n".join(lines))
        (site / module).mkdir()
        (site / module / "__init__.py").write_text(code)
        for file, text in (conf or {}).items():
            path = site / module / "conf" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        installing(site)
        return site

    return write


@pytest.fixture(scope="session")
def run(site, tmp_path_factory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `specflow` in a process of its own."""
    cache = tmp_path_factory.mktemp("cache")

    def start(
        *words: str, cwd: Path, installed: bool = True, code: str = ""
    ) -> subprocess.CompletedProcess[str]:
        paths = [str(ROOT), *([str(site)] if installed else [])]
        return subprocess.run(
            [sys.executable, *(["-c", code] if code else ["-m", "specflow"]), *words],
            cwd=cwd,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(paths),
                "JAX_PLATFORMS": "cpu",
                "XDG_CACHE_HOME": str(cache),
            },
            capture_output=True,
            text=True,
            check=False,
        )

    return start
