"""The compilers that the child needs, from the metadata of what is installed."""

import importlib.metadata
import importlib.util
import sys
from pathlib import Path

from specflow.diagnostics.errors import Diagnostic
from specflow.runtime.topologies import Topology

__all__ = ["library_versions", "missing_compiler"]

_CUDA = ("cuda12", "cuda13")
"""Extras of JAX, of which one is installed."""


def missing_compiler(topology: Topology) -> Diagnostic | None:
    """Returns what keeps the compiler of a topology from working; None: nothing."""
    if topology.chip.is_gpu:
        return _without_cuda()
    if importlib.util.find_spec("libtpu") is None:
        return Diagnostic(
            "--topology",
            "compiling for a TPU takes its compiler, and libtpu is not installed",
            hint="Install it with pip install 'specflow-jax[tpu]', or give "
            "--no-compile.",
            code="libtpu",
        )
    return None


def library_versions() -> dict[str, tuple[int, int]]:
    """Returns the versions of the installed `cudnn` and `cuda`, as far as known.

    A GPU's program runs with the libraries that it is compiled with.
    """
    names = {
        "cudnn": [f"nvidia-cudnn-{extra.replace('cuda', 'cu')}" for extra in _CUDA],
        "cuda": ["nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime"],
    }
    found = {}
    for library, distributions in names.items():
        for name in distributions:
            if version := _version(name):
                major, minor, *_ = version.split(".")
                found[library] = (int(major), int(minor))
                break
    return found


def _without_cuda() -> Diagnostic | None:
    """Returns what keeps CUDA's compiler from working."""
    if sys.platform != "linux":
        return _diagnostic(
            f"compiling for a GPU takes Linux, and this is {sys.platform}",
            "Use Linux, such as a container or WSL 2",
        )
    plugins = [extra for extra in _CUDA if _version(f"jax-{extra}-plugin")]
    if not plugins:
        return _diagnostic(
            "compiling for a GPU takes CUDA's compiler, which is not installed",
            "Install it with pip install 'specflow-jax[cuda12]' (or [cuda13]): it "
            "needs no GPU and no driver",
        )
    if len(plugins) > 1:
        names = " and ".join(f"jax-{extra}-plugin" for extra in plugins)
        unneeded = " ".join(f"jax-{plugins[0]}-{part}" for part in ("plugin", "pjrt"))
        return _diagnostic(
            f"{names} are both installed, and JAX takes one",
            f"Keep one: pip uninstall {unneeded}",
        )
    (extra,) = plugins
    jaxlib = _release(_version("jaxlib") or "")
    command = f"Install its version with pip install 'jax[{extra}]=={jaxlib}'"
    for part in ("plugin", "pjrt"):
        version = _version(f"jax-{extra}-{part}")
        if _release(version or "") != jaxlib:
            state = f"{version} does not match" if version else "is missing, for"
            return _diagnostic(f"jax-{extra}-{part} {state} jaxlib {jaxlib}", command)
    plugin = importlib.metadata.distribution(f"jax-{extra}-plugin")
    if problem := _of_other_python(plugin):
        return _diagnostic(
            f"jax-{extra}-plugin {problem}",
            f"Install it for this one: {Path(sys.executable)} -m pip install "
            f"--force-reinstall 'jax[{extra}]=={jaxlib}'",
        )
    if unmet := _unmet(plugin):
        return _diagnostic(
            f"jax-{extra}-plugin {jaxlib} needs {', '.join(unmet)}",
            f"Install what it needs with pip install 'jax[{extra}]=={jaxlib}'",
        )
    return None


def _of_other_python(plugin: importlib.metadata.Distribution) -> str:
    """Returns for which Python a compiled wheel is, if not for this one."""
    this = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    tags = [
        line.removeprefix("Tag:").strip()
        for line in (plugin.read_text("WHEEL") or "").splitlines()
        if line.startswith("Tag:")
    ]
    others = sorted({tag.partition("-")[0] for tag in tags})
    if not tags or any(tag in (this, "py3") for tag in others):
        return ""
    pythons = ", ".join(f"{tag[2:3]}.{tag[3:]}" for tag in others)
    return f"is built for Python {pythons}, and this is {this[2:3]}.{this[3:]}"


def _unmet(plugin: importlib.metadata.Distribution) -> list[str]:
    """Lists NVIDIA's libraries that are missing, or have another version."""
    from packaging.requirements import Requirement

    unmet = []
    for text in plugin.requires or ():
        requirement = Requirement(text)
        if not (
            requirement.marker and requirement.marker.evaluate({"extra": "with-cuda"})
        ):
            continue
        version = _version(requirement.name)
        if version is None:
            unmet.append(f"{requirement.name}, which is not installed")
        elif not requirement.specifier.contains(version, prereleases=True):
            unmet.append(f"{requirement.name}{requirement.specifier} (not {version})")
    return unmet


def _diagnostic(problem: str, hint: str) -> Diagnostic:
    return Diagnostic(
        "--topology", problem, hint=f"{hint}, or give --no-compile.", code="cuda"
    )


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _release(version: str) -> str:
    """The version without a suffix such as `.dev20260101`, as JAX compares them."""
    return version.partition(".dev")[0].partition("+")[0]
