"""States of a model: initialized, in memory, or restored from a checkpoint."""

import contextlib
import dataclasses
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.distributed import collectives
from specflow.executor import Program, TrainState, from_tree, to_tree
from specflow.lifecycle import WarmPlan, WarmStartSettings, warm_plan, warm_values
from specflow.model import LinenModel
from specflow.output import Checkpointer, CheckpointStep, located
from specflow.output.checkpoint.checkpoint_directory import PARAMS
from specflow.output.checkpoint.params_snapshots import is_real_number

__all__ = ["CheckpointStep", "EvalParams", "InitFn", "SavedSeed", "States"]

InitFn = Callable[[dict[str, Any]], dict[str, Any]]
"""Maps parameters by path to initial values of the same."""
EvalParams = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
"""Maps (parameters by path, the optimizer's arrays by name) to parameters by path, and
any model state that differs from the one in training."""


class States:
    """Initializes or restores the states to train, evaluate and export.

    Args:
        program: initializes states, and gives their shapes and shardings.
        checkpoints: checkpoints of this model.
        seed: seed of the initial values; None: random.
        warm_start: source of initial values while there is no checkpoint.
        init_fn: replaces initial parameters; the warm start is applied after it.
        eval_params: computes the parameters to evaluate, predict and export with.
    """

    def __init__(
        self,
        program: Program,
        checkpoints: Checkpointer,
        *,
        seed: int | None,
        warm_start: WarmStartSettings | None = None,
        init_fn: InitFn | None = None,
        eval_params: EvalParams | None = None,
    ):
        self._program, self._checkpoints = program, checkpoints
        self.has_random_seed = seed is None
        """True if no seed was given: a run keeps the one that it started with."""
        self.seed = (
            collectives.on_process_zero(lambda: secrets.randbits(31))
            if seed is None
            else seed
        )
        """Seed of the initial values and of the order of the rows."""
        self._warm_start, self._init_fn = warm_start, init_fn
        self._eval_params = eval_params
        self._live = False
        self._step = 0
        self.state: TrainState | None = None
        """The newest state, while it is in memory."""

    def keep(self, step: int, state: TrainState) -> None:
        """Keeps a saved state in memory, so that it is not read from disk."""
        self._step, self.state = step, state

    def drop(self) -> None:
        """Drops the state in memory, which training donates."""
        self.state = None

    @contextlib.contextmanager
    def live(self, step: int, state: TrainState) -> Iterator[None]:
        """Makes a state the one to evaluate and export, whatever is saved."""
        previous = self._step, self.state, self._live
        self._step, self.state, self._live = step, state, True
        try:
            yield
        finally:
            self._step, self.state, self._live = previous

    @property
    def has_eval_params(self) -> bool:
        """True if evaluation replaces the parameters."""
        return self._eval_params is not None

    @property
    def is_live(self) -> bool:
        """True while training continues with the state in memory."""
        return self._live

    def to_train(
        self, features: Any, labels: Any, steps: Callable[[], int]
    ) -> tuple[int, TrainState, dict[str, Any] | None]:
        """Returns step and state to train from, and what else the checkpoint stores.

        Args:
            features: shapes and dtypes of a training batch.
            labels: likewise.
            steps: returns how many batches are stacked for a device loop, if training
                starts at step 0.

        Raises:
            CheckpointError: the checkpoint is corrupted, or of another model.
        """
        if self.state is not None and self._step == self._checkpoints.latest_step():
            return self._step, self.state, self._checkpoints.data_position(self._step)
        if self._checkpoints.latest_step() is None:
            fresh = self._program.init_state(self.seed, features, labels, steps=steps)
            return 0, self._started(fresh, features, labels), None
        like = self._program.abstract_state(features, labels)
        restored = self._checkpoints.restore(to_tree(like))
        return restored.step, from_tree(restored.state, like), restored.data

    def warm_plan(self, features: Any, labels: Any) -> WarmPlan | None:
        """Plans the warm start; returns None if training does not start with one.

        Args:
            features: shapes and dtypes of a training batch.
            labels: likewise.

        Raises:
            CheckpointError: the checkpoint does not exist, or does not fit.
        """
        if self._warm_start is None or self._checkpoints.latest_step() is not None:
            return None
        state = self._program.abstract_state(features, labels)
        plan = warm_plan(self._warm_start, to_tree(state))
        frozen = self._program.tracer.optimizer(features, labels).frozen_statistics
        initialized = [
            name for name in frozen if name not in plan.taken.get("state", {})
        ]
        if initialized:
            warning = Diagnostic(
                "warm start",
                "batch statistics of frozen layers stay as they are initialized: "
                + ", ".join(initialized[:8]),
                hint="state=model takes those of the checkpoint.",
                code="warm-start",
            )
            plan = dataclasses.replace(plan, warnings=[*plan.warnings, warning])
        return plan

    def to_evaluate(
        self, step: CheckpointStep = None, path: str | Path | None = None
    ) -> tuple[int, TrainState]:
        """Returns step and state to evaluate, predict or export; the newest by default.

        Args:
            step: step or tag of a checkpoint, `best`, or `latest`, the default.
            path: path of a checkpoint, in another directory as well.

        Raises:
            CheckpointError: there is no such checkpoint, or it is corrupted, or of
                another model.
            ConfigError: step and path are both given.
        """
        if isinstance(step, str) and step.startswith(f"{PARAMS}/") and path is None:
            step, path = None, self._snapshot(step.removeprefix(f"{PARAMS}/"))
        if path is not None:
            if step is not None:
                raise ConfigError(
                    Diagnostic(
                        "checkpoint_path",
                        "is given, and checkpoint_step too",
                        expected="one of them",
                        code="checkpoint-path",
                    )
                )
            folder, step = located(path)
            if folder != self._checkpoints.directory:
                with Checkpointer(folder) as others:
                    return self._restored(others, step)
        step = self._checkpoints.resolve(step)
        latest = self._checkpoints.latest_step()
        if self.state is not None:
            wants_newest = path is None and step is None
            if self._live and wants_newest:
                return self._step, self.averaged(self.state)
            if self._step == latest and (wants_newest or step == latest):
                return self._step, self.averaged(self.state)
        if latest is None and step is None:
            if isinstance(self._program.model, LinenModel):
                self._program.tracer.admit({})
            return 0, self._started(self._program.states.init_model_state(self.seed))
        return self._restored(self._checkpoints, step)

    def _snapshot(self, step: str) -> Path:
        """Returns the snapshot of the parameters at a step, a tag, best or latest."""
        number = int(step) if step.isascii() and step.isdigit() else step
        chosen = self._checkpoints.resolve(number)
        chosen = self._checkpoints.latest_step() if chosen is None else chosen
        return self._checkpoints.directory.parent / PARAMS / str(chosen)

    def averaged(self, state: TrainState) -> TrainState:
        """Returns the state with the parameters of `eval_params`."""
        if self._eval_params is None:
            return state
        return self._evaluated(state, to_tree(state)["opt_state"], state)

    def _evaluated(
        self, state: TrainState, opt_state: Mapping[str, Any], like: TrainState
    ) -> TrainState:
        """Returns the state with the parameters of `eval_params`, sharded as `like`."""
        if self._eval_params is None:
            return state
        replaced = self._eval_params(dict(state.params), dict(opt_state))
        replaced = _placed_like(replaced, {**like.params, **like.model_state})
        params, model_state = (
            {name: replaced.get(name, array) for name, array in part.items()}
            for part in (state.params, state.model_state)
        )
        return state._replace(params=params, model_state=model_state)

    def _restored(
        self, checkpoints: Checkpointer, step: int | None
    ) -> tuple[int, TrainState]:
        """Restores the parameters and model state of a checkpoint."""
        saved = checkpoints.saved(step)
        array_specs = {
            name: (array.shape, array.dtype) for name, array in saved.items()
        }
        if isinstance(self._program.model, LinenModel):
            self._program.tracer.admit(array_specs)
        like = self._program.states.abstract_model_state()
        wanted: dict[str, Any] = {"params": like.params, "state": like.model_state}
        # A snapshot of the parameters has their averages, in a dtype of its own.
        is_snapshot = "step" not in array_specs
        if is_snapshot:
            wanted["params"] = _in_saved_dtypes(like.params, array_specs)
        elif self._eval_params is not None:
            wanted["opt_state"] = self._optimizer_like(array_specs, like.params)
        restored = checkpoints.restore(wanted, step=step, partial=True)
        tree = restored.state
        state = TrainState(restored.step, tree["params"], tree["state"], ())
        if is_snapshot:
            params = _placed_like(state.params, like.params)
            return restored.step, state._replace(params=params)
        return restored.step, self._evaluated(state, tree.get("opt_state", {}), like)

    def _optimizer_like(
        self, array_specs: Mapping[str, tuple[Any, Any]], params: Mapping[str, Any]
    ) -> dict[str, jax.ShapeDtypeStruct]:
        """Returns the optimizer's arrays, abstract, sharded as their parameters."""
        replicated = self._program.partitioner.replicated
        arrays = {}
        for name, (shape, dtype) in array_specs.items():
            part, _, key = name.partition("/")
            if part != "opt_state":
                continue
            like = params.get(key.rpartition("/")[2])
            same = like is not None and tuple(like.shape) == tuple(shape)
            sharding = like.sharding if like is not None and same else replicated
            arrays[key] = jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)
        return arrays

    def _started(self, fresh: TrainState, *batch: Any) -> TrainState:
        """Applies `init_fn` and the warm start to an initialized state.

        Args:
            fresh: the initialized state.
            *batch: features and labels of a training batch, if the state includes the
                optimizer's; it is initialized with the final parameters.
        """
        if self._init_fn is not None:
            params = self._init_fn(dict(fresh.params))
            fresh = fresh._replace(params=_placed_like(params, fresh.params))
        restored: dict[str, Any] = {}
        if self._warm_start is not None:
            restored = warm_values(self._warm_start, to_tree(fresh))
            fresh = _with(fresh, restored, "params", "state")
        if batch and (self._init_fn is not None or restored):
            fresh = self._program.states.init_optimizer(fresh, *batch)
        return _with(fresh, restored, "opt_state")


class SavedSeed:
    """Seed of a run as a part of its state: a random one is that of its start.

    Args:
        states: has the seed.
    """

    def __init__(self, states: States):
        self._states = states

    def state(self, step: int) -> int:
        """Returns the seed."""
        return self._states.seed

    def restore(self, value: int) -> None:
        """Replaces a random seed."""
        if self._states.has_random_seed:
            self._states.seed = value


def _with(state: TrainState, arrays: Mapping[str, Any], *parts: str) -> TrainState:
    """Returns the state with some arrays of its parts replaced."""
    tree = to_tree(state)
    for part in parts:
        tree[part] = {**tree[part], **_placed_like(arrays.get(part, {}), tree[part])}
    return from_tree(tree, state)


def _in_saved_dtypes(
    params: Mapping[str, Any], array_specs: Mapping[str, tuple[Any, Any]]
) -> dict[str, Any]:
    """Returns abstract parameters in the dtypes of a snapshot, which may be others."""

    def in_saved_dtype(name: str, like: Any) -> Any:
        _, dtype = array_specs.get(f"params/{name}", (None, like.dtype))
        if not (is_real_number(dtype) and is_real_number(like.dtype)):
            return like
        return jax.ShapeDtypeStruct(like.shape, dtype, sharding=like.sharding)

    return {name: in_saved_dtype(name, like) for name, like in params.items()}


def _placed_like(arrays: Mapping[str, Any], like: Mapping[str, Any]) -> dict[str, Any]:
    """Puts arrays on devices, with the shardings and dtypes of those in `like`.

    Raises:
        ConfigError: A name is not in `like`.
    """
    if unknown := sorted(arrays.keys() - like.keys()):
        raise ConfigError(
            Diagnostic(
                "params",
                f"{', '.join(unknown)} is no parameter",
                code="params",
                expected=f"some of {', '.join(list(like)[:8])}",
            )
        )

    def placed(array: Any, like: Any) -> jax.Array:
        # Copied: a CPU device would share the memory of a NumPy array with its owner.
        # In the dtype of `like`, for which programs are compiled.
        is_jax = isinstance(array, jax.Array)
        value = array.astype(like.dtype) if is_jax else np.array(array, like.dtype)
        return jax.device_put(value, like.sharding)

    return {name: placed(array, like[name]) for name, array in arrays.items()}
