"""Compilers that are missing or do not match: one message with the command that helps.

What is installed is pretended by folders of metadata, as pip writes them.
"""

import importlib.metadata
import sys

import pytest

from specflow.preflight.compilers import library_versions, missing_compiler
from specflow.runtime.topologies import parse

GPUS = parse("h100:8")
THIS = f"cp{sys.version_info[0]}{sys.version_info[1]}"


class Installed:
    """A folder of distributions, the only one on the path of the metadata."""

    def __init__(self, folder):
        self.folder = folder

    def add(self, name, version="0.10.2", *, requires=(), tag=THIS):
        folder = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += ["Provides-Extra: with-cuda"]
        lines += [f'Requires-Dist: {one}; extra == "with-cuda"' for one in requires]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")
        tags = f"Wheel-Version: 1.0\nTag: {tag}-{tag}-manylinux_2_27_x86_64\n"
        (folder / "WHEEL").write_text(tags)
        return self

    def cuda(self, extra="cuda12", version="0.10.2", **more):
        self.add(f"jax-{extra}-plugin", version, **more)
        return self.add(f"jax-{extra}-pjrt", version)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(
        importlib.metadata,
        "distribution",
        lambda name: (
            next(
                iter(importlib.metadata.distributions(name=name, path=[str(tmp_path)])),
                None,
            )
            or missing(name)
        ),
    )
    return Installed(tmp_path).add("jaxlib")


def missing(name):
    raise importlib.metadata.PackageNotFoundError(name)


def message():
    diagnostic = missing_compiler(GPUS)
    assert diagnostic is not None
    assert (diagnostic.where, diagnostic.code) == ("--topology", "cuda")
    return str(diagnostic).removeprefix("--topology: ")


@pytest.mark.parametrize("extra", ["cuda12", "cuda13"])
def test_one_of_the_extras_is_enough(installed, extra):
    installed.cuda(extra)
    assert missing_compiler(GPUS) is None


def test_without_an_extra_the_message_says_how_to_get_it(installed):
    assert message() == (
        "compiling for a GPU takes CUDA's compiler, which is not installed. Install it "
        "with pip install 'specflow-jax[cuda12]' (or [cuda13]): it needs no GPU and no "
        "driver, or give --no-compile."
    )


def test_both_extras_are_one_too_many(installed):
    installed.cuda("cuda12").cuda("cuda13")
    assert message() == (
        "jax-cuda12-plugin and jax-cuda13-plugin are both installed, and JAX takes "
        "one. Keep one: pip uninstall jax-cuda12-plugin jax-cuda12-pjrt, or give "
        "--no-compile."
    )


@pytest.mark.parametrize("version", ["0.10.1", "0.12.0"])
def test_a_plugin_of_another_version_of_jaxlib_is_named(installed, version):
    installed.cuda("cuda13", version)
    assert message() == (
        f"jax-cuda13-plugin {version} does not match jaxlib 0.10.2. Install its "
        "version with pip install 'jax[cuda13]==0.10.2', or give --no-compile."
    )


def test_a_nightly_version_is_that_of_its_release(installed):
    installed.cuda(version="0.10.2.dev20261101")
    assert missing_compiler(GPUS) is None


def test_the_compiler_itself_may_be_missing_beside_its_plugin(installed):
    installed.add("jax-cuda12-plugin")
    assert message() == (
        "jax-cuda12-pjrt is missing, for jaxlib 0.10.2. Install its version with pip "
        "install 'jax[cuda12]==0.10.2', or give --no-compile."
    )


def test_a_plugin_for_another_python_is_named(installed):
    installed.cuda(tag="cp39")
    python = ".".join(map(str, sys.version_info[:2]))
    assert message() == (
        f"jax-cuda12-plugin is built for Python 3.9, and this is {python}. Install it "
        f"for this one: {sys.executable} -m pip install --force-reinstall "
        "'jax[cuda12]==0.10.2', or give --no-compile."
    )


def test_libraries_of_nvidia_that_are_missing_or_old_are_named(installed):
    """Such as those that another framework pins."""
    installed.add("nvidia-cudnn-cu12", "9.1.0.70").add("nvidia-nccl-cu12", "2.27.3")
    requires = ["nvidia-cudnn-cu12<10.0,>=9.8", "nvidia-nccl-cu12>=2.18.1",
                "nvidia-cuda-nvcc-cu12>=12.6.85"]  # fmt: skip
    installed.cuda(requires=requires)
    assert message() == (
        "jax-cuda12-plugin 0.10.2 needs nvidia-cudnn-cu12<10.0,>=9.8 (not 9.1.0.70), "
        "nvidia-cuda-nvcc-cu12, which is not installed. Install what it needs with pip "
        "install 'jax[cuda12]==0.10.2', or give --no-compile."
    )


def test_another_system_is_named(installed, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert message() == (
        "compiling for a GPU takes Linux, and this is darwin. Use Linux, such as a "
        "container or WSL 2, or give --no-compile."
    )


def test_a_program_is_described_with_the_libraries_that_are_installed(installed):
    assert library_versions() == {}
    installed.add("nvidia-cudnn-cu12", "9.28.0.42")
    installed.add("nvidia-cuda-runtime-cu12", "12.9.79")
    assert library_versions() == {"cudnn": (9, 28), "cuda": (12, 9)}
