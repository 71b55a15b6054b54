"""Checks of the arguments of an estimator, before anything is built."""

import math
import numbers
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from specflow.config.experiment import ExperimentConfig
from specflow.config.run_config import RunConfig
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.contract import HOOK_METHODS, renamed
from specflow.diagnostics.errors import (
    ConfigError,
    Diagnostic,
    config_error,
    spec_error,
)
from specflow.estimator.step_saving import LISTENER_METHODS
from specflow.executor import ModelFn
from specflow.mesh import Partitioner, build_mesh, check_batch_size
from specflow.runtime.callables import check_callables, unfit_methods
from specflow.runtime.filesystem import check_output_folder, expanded
from specflow.runtime.typing import describe

__all__ = [
    "check_functions",
    "check_loop",
    "check_params",
    "check_positive",
    "check_taken",
    "checked_hooks",
    "checked_listeners",
    "config_of",
    "model_dir_of",
    "partitioner_of",
    "step_count",
]

_OWNED = ("batch_size", "context")
"""Params that the estimator sets itself."""


def config_of(config: RunConfig | None) -> RunConfig:
    """Returns the config, by default one of default values.

    Raises:
        ConfigError: it is not a `RunConfig`.
    """
    if config is not None and not isinstance(config, RunConfig):
        raise ConfigError(
            Diagnostic(
                "config",
                f"got {describe(config)}",
                expected="a specflow.RunConfig",
                code="run-config",
            )
        )
    return config or RunConfig()


def model_dir_of(model_dir: str | Path | None, config: RunConfig) -> Path:
    """Returns the directory of the argument or the config, or a new temporary one."""
    if not isinstance(model_dir, str | os.PathLike | None):
        raise config_error(
            Diagnostic(
                "model_dir",
                f"got {describe(model_dir)}",
                expected="a directory",
                kind=TypeError,
                code="model-dir",
            )
        )
    given, configured = (
        None if path is None or str(path) == "" else _folder(path)
        for path in (model_dir, config.model_dir)
    )
    if given is not None and configured is not None and given != configured:
        raise ConfigError(
            Diagnostic(
                "model_dir",
                f"is '{model_dir}' here and '{config.model_dir}' in the config",
                expected="one of them, or the same",
                code="model-dir",
            )
        )
    if str(model_dir) == "":
        raise ConfigError(
            Diagnostic(
                "model_dir", "is empty", expected="a directory", code="model-dir"
            )
        )
    return given or configured or Path(tempfile.mkdtemp(prefix="specflow-"))


def _folder(path: str | Path) -> Path:
    check_output_folder(path, "model_dir")
    # Absolute: all output goes to one directory, also after os.chdir.
    return expanded(path, "model_dir").absolute()


def check_loop(
    experiment: ExperimentConfig, devices: Sequence[Any] | None = None
) -> None:
    """Checks the batch sizes of a config against the devices, by their config keys."""
    layout, diagnostics = experiment.mesh, []
    mesh = build_mesh(layout.axes, devices, slices=layout.slices)
    for key in ("batch_size", "eval_batch_size"):
        try:
            check_batch_size(
                getattr(experiment.loop, key),
                mesh,
                key=f"loop.{key}",
                micro_steps=experiment.loop.micro_steps if key == "batch_size" else 1,
            )
        except ConfigError as error:
            diagnostics.extend(error.diagnostics)
    if diagnostics:
        raise ConfigError(*diagnostics)


def check_positive(value: Any, name: str) -> int:
    """Returns a positive integer as a Python `int`.

    Raises:
        ConfigError: it is not positive, or (also a TypeError) not an integer.
    """
    is_number = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if is_number and int(value) >= 1:
        return int(value)
    raise config_error(
        Diagnostic(
            name,
            f"got {value!r}",
            expected="a positive integer",
            code="range",
            kind=ValueError if is_number else TypeError,
        )
    )


def step_count(value: Any, name: str, *, most: int | None = None) -> int | None:
    """Returns a number of steps, or None; a fraction is rounded up.

    Args:
        value: the number.
        name: name of the argument, for messages.
        most: the largest number allowed; None: any.

    Raises:
        ConfigError: it is not a positive number, or too large.

    >>> step_count(1e4, "steps"), step_count(1.5, "steps"), step_count(None, "steps")
    (10000, 2, None)
    """
    if value is None:
        return None
    is_part = isinstance(value, float | np.floating) and 0 < value < math.inf
    count = math.ceil(value) if is_part else check_positive(value, name)
    if most is not None and count > most:
        raise ConfigError(
            Diagnostic(
                name,
                f"got {value!r}",
                code="range",
                expected=f"at most {most}: devices count steps in 32 bits",
            )
        )
    return count


def check_params(params: Mapping[str, Any]) -> None:
    """Checks that params are a mapping without keys that the estimator sets.

    Raises:
        ConfigError: they are not.
    """
    if not isinstance(params, Mapping):
        raise config_error(
            Diagnostic(
                "params",
                f"got {describe(params)}",
                expected="name -> value",
                kind=TypeError,
                code="params",
            )
        )
    diagnostics = [
        Diagnostic(
            f"params[{name!r}]",
            "is set by the estimator",
            hint="Give train_batch_size, eval_batch_size or predict_batch_size.",
            code="params",
        )
        for name in _OWNED
        if name in params
    ]
    if diagnostics:
        raise ConfigError(*diagnostics)


def check_taken(params: Mapping[str, Any], model_fn: ModelFn) -> None:
    """Checks that the model function takes the params, if any are given.

    Raises:
        ConfigError: it does not.
    """
    if params and "params" not in model_fn.takes:
        raise ConfigError(
            Diagnostic(
                "params",
                f"are given, and {model_fn.name} does not take them",
                hint=f"Let {model_fn.name} take params, or leave them out.",
                code="params",
            )
        )


def checked_hooks(hooks: Iterable[Any] | None) -> list[Any]:
    """Returns the hooks as a list, which is empty for None.

    Raises:
        SpecError: (also a TypeError) An element is not a hook.
    """
    return _checked(hooks, "hooks", "hook", HOOK_METHODS)


def checked_listeners(listeners: Iterable[Any] | None) -> list[Any]:
    """Returns the saving listeners as a list, which is empty for None.

    Raises:
        SpecError: (also a TypeError) An element is not a listener.
    """
    return _checked(listeners, "saving_listeners", "listener", LISTENER_METHODS)


def _checked(
    values: Any, argument: str, kind: str, methods: Mapping[str, str]
) -> list[Any]:
    def fits(value: Any) -> bool:
        has_method = any(callable(getattr(value, method, None)) for method in methods)
        return has_method and not isinstance(value, type)

    if fits(values) or not isinstance(values, Iterable | None):
        raise spec_error(
            Diagnostic(
                argument,
                f"got {describe(values)}",
                expected=f"a list of {kind}s",
                hint=f"Write [{kind}] for a single one.",
                kind=TypeError,
                code="hooks",
            )
        )
    checked = list(values or ())
    diagnostics = [
        Diagnostic(
            f"{argument}[{place}]",
            f"got {describe(value)}",
            expected=f"an object with one of {', '.join(methods)}",
            hint=renamed(value) or unfit_methods(value, methods),
            kind=TypeError,
            code="hooks",
        )
        for place, value in enumerate(checked)
        if not fits(value) or renamed(value) or unfit_methods(value, methods)
    ]
    if diagnostics:
        raise spec_error(*diagnostics)
    return checked


def check_functions(**functions: Any) -> None:
    """Checks that arguments are functions or None.

    Raises:
        ConfigError: (also a TypeError) One is not.
    """
    check_callables(functions)


def partitioner_of(
    mesh: MeshConfig | Mesh | None,
    *,
    use_tpu: bool | None,
    devices: Sequence[Any] | None = None,
) -> tuple[Partitioner, bool]:
    """Returns the partitioner of a mesh, and whether programs for CPU are tuned.

    Args:
        mesh: axes and rules, or a `jax.sharding.Mesh`.
        use_tpu: False: one CPU device; True: TPUs only.
        devices: devices of the mesh; by default all of the process.

    Raises:
        ConfigError: `mesh` and `use_tpu=False` are both given, the devices cannot form
            the mesh, or (also a TypeError) it is not a mesh.
        RuntimeError: `use_tpu=True` without a TPU.
    """
    if use_tpu is False:
        if mesh is not None:
            raise ConfigError(
                Diagnostic(
                    "mesh",
                    "is given, and use_tpu=False means one CPU device",
                    expected="one of them",
                    code="mesh",
                )
            )
        single = build_mesh(AxesConfig(data=1), jax.devices("cpu"))
        return Partitioner(single), True
    if use_tpu and jax.default_backend() != "tpu":
        raise RuntimeError(f"use_tpu=True, and the backend is {jax.default_backend()}")
    layout = MeshConfig() if mesh is None else mesh
    if not isinstance(layout, MeshConfig | Mesh):
        raise config_error(
            Diagnostic(
                "mesh",
                f"got {describe(mesh)}",
                expected="a specflow.MeshConfig or a jax.sharding.Mesh",
                kind=TypeError,
                code="mesh",
            )
        )
    if isinstance(layout, MeshConfig):
        built = build_mesh(layout.axes, devices, slices=layout.slices)
        partitioner = Partitioner(built, layout.rules, layout.logical)
        return partitioner, layout.cpu == "tuned"
    return Partitioner(layout), True
