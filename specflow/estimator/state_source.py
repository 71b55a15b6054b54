"""Where a model stands: its state in memory, on disk, or at the very beginning."""

import contextlib
import dataclasses
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import jax
import numpy as np

from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.distributed import collectives
from specflow.executor import Program, TrainState, from_tree, to_tree
from specflow.lifecycle import WarmPlan, WarmStartSettings, warm_plan, warm_values
from specflow.model import LinenModel
from specflow.output import Checkpointer, located

__all__ = ["CheckpointStep", "EvalParams", "InitFn", "States"]

InitFn = Callable[[dict[str, Any]], dict[str, Any]]
"""Parameters by path -> the same, otherwise."""
CheckpointStep: TypeAlias = int | Literal["best", "latest"] | None
"""Which checkpoint: one of a step, the best, or the newest (None)."""
EvalParams = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
"""(parameters by path, the optimizer's arrays by name) -> parameters by path, and the
model state that goes with them, as far as it is not the live one."""


class States:
    """Gives the state to train from, and the one to evaluate or predict with.

    Args:
        program: makes initial values, and says how a state is laid out.
        checkpoints: of this model.
        seed: of the initial values; None: one of chance.
        warm_start: where initial values come from while there is no checkpoint.
        init_fn: has the last word on fresh parameters but for the warm start.
        eval_params: what to evaluate, predict and export with in place of the
            parameters.
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
        self._drawn = seed is None
        self.seed = (
            collectives.on_process_zero(lambda: secrets.randbits(31))
            if seed is None
            else seed
        )
        """Seed of the initial values and of the order of the data."""
        self._warm_start, self._init_fn = warm_start, init_fn
        self._eval_params = eval_params
        self._live = False
        self._step = 0
        self.state: TrainState | None = None
        """The newest state, as long as it is in memory."""

    def keep(self, step: int, state: TrainState) -> None:
        """Keeps a state that is saved, so that it need not be read."""
        self._step, self.state = step, state

    def drop(self) -> None:
        """Forgets the state in memory, which training uses up."""
        self.state = None

    @contextlib.contextmanager
    def live(self, step: int, state: TrainState) -> Iterator[None]:
        """Makes a state the one to look at, whatever is saved."""
        former = self._step, self.state, self._live
        self._step, self.state, self._live = step, state, True
        try:
            yield
        finally:
            self._step, self.state, self._live = former

    @property
    def is_live(self) -> bool:
        """Whether training is going on with the state in memory."""
        return self._live

    def to_train(
        self, features: Any, labels: Any
    ) -> tuple[int, TrainState, dict[str, Any] | None]:
        """Where training stands: step, state, and place in the data.

        Args:
            features: form of a training batch.
            labels: likewise.

        Raises:
            CheckpointError: what is saved is damaged, or of another model.
        """
        if self.state is not None and self._step == self._checkpoints.latest_step():
            return self._step, self.state, self._checkpoints.data(self._step)
        if self._checkpoints.latest_step() is None:
            fresh = self._program.init_state(self.seed, features, labels)
            return 0, self._begun(fresh, features, labels), None
        like = self._program.abstract_state(features, labels)
        restored = self._checkpoints.restore(to_tree(like))
        # A seed that nobody chose is the one that the run began with.
        if self._drawn:
            self.seed = restored.data.get("seed", self.seed)
        return restored.step, from_tree(restored.state, like), restored.data

    def warm_plan(self, features: Any, labels: Any) -> WarmPlan | None:
        """What training would take from a warm start; None if it does not begin there.

        Args:
            features: form of a training batch.
            labels: likewise.

        Raises:
            CheckpointError: it cannot be taken.
        """
        if self._warm_start is None or self._checkpoints.latest_step() is not None:
            return None
        state = self._program.abstract_state(features, labels)
        found = warm_plan(self._warm_start, to_tree(state))
        frozen = self._program.tracer.optimizer(features, labels).frozen_statistics
        left = [name for name in frozen if name not in found.taken.get("state", {})]
        if left:
            warning = Diagnostic(
                "warm start",
                "batch statistics of frozen layers stay as they are initialized: "
                + ", ".join(left[:8]),
                hint="state=model takes those of the checkpoint.",
                code="warm-start",
            )
            found = dataclasses.replace(found, warnings=[*found.warnings, warning])
        return found

    def to_evaluate(
        self, step: CheckpointStep = None, path: str | Path | None = None
    ) -> tuple[int, TrainState]:
        """The step and state to evaluate, predict or export; the newest by default.

        Args:
            step: of another checkpoint, `best`, or `latest` as by default.
            path: of another checkpoint; also one of another directory.

        Raises:
            CheckpointError: there is no such checkpoint, or it is damaged, or of
                another model.
            ConfigError: step and path are both given.
        """
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
        step = self._numbered(step)
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
            return 0, self._begun(self._program.states.init_model_state(self.seed))
        return self._restored(self._checkpoints, step)

    def _numbered(self, step: CheckpointStep) -> int | None:
        """The step that is meant; None: the newest.

        Raises:
            CheckpointError: there is no best one.
            ConfigError: it is some other text.
        """
        if step == "best":
            return self._checkpoints.best_step()
        if not isinstance(step, str):
            return step
        if step == "latest":
            return None
        raise ConfigError(
            Diagnostic(
                "checkpoint_step",
                f"got {step!r}",
                expected="a step, best or latest",
                code="checkpoint-path",
            )
        )

    def averaged(self, state: TrainState) -> TrainState:
        """The state with the parameters to evaluate with."""
        if self._eval_params is None:
            return state
        return self._evaluated(state, to_tree(state)["opt_state"], state)

    def _evaluated(
        self, state: TrainState, opt_state: Mapping[str, Any], like: TrainState
    ) -> TrainState:
        """The state with what `eval_params` gives, laid out as `like`."""
        if self._eval_params is None:
            return state
        found = self._eval_params(dict(state.params), dict(opt_state))
        found = _placed_like(found, {**like.params, **like.model_state})
        params, model_state = (
            {name: found.get(name, array) for name, array in part.items()}
            for part in (state.params, state.model_state)
        )
        return state._replace(params=params, model_state=model_state)

    def _restored(
        self, checkpoints: Checkpointer, step: int | None
    ) -> tuple[int, TrainState]:
        forms = checkpoints.forms(step)
        if isinstance(self._program.model, LinenModel):
            self._program.tracer.admit(forms)
        like = self._program.states.abstract_model_state()
        wanted: dict[str, Any] = {"params": like.params, "state": like.model_state}
        if self._eval_params is not None:
            wanted["opt_state"] = self._optimizer_like(forms, like.params)
        restored = checkpoints.restore(wanted, step=step, partial=True)
        found = restored.state
        state = TrainState(restored.step, found["params"], found["state"], ())
        return restored.step, self._evaluated(state, found.get("opt_state", {}), like)

    def _optimizer_like(
        self, forms: Mapping[str, tuple[Any, Any]], params: Mapping[str, Any]
    ) -> dict[str, jax.ShapeDtypeStruct]:
        """The optimizer's arrays, those of a parameter's path laid out as it is."""
        whole = self._program.partitioner.replicated
        found = {}
        for name, (shape, dtype) in forms.items():
            part, _, model_state = name.partition("/")
            if part != "opt_state":
                continue
            like = params.get(model_state.rpartition("/")[2])
            same = like is not None and tuple(like.shape) == tuple(shape)
            sharding = like.sharding if like is not None and same else whole
            found[model_state] = jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)
        return found

    def _begun(self, fresh: TrainState, *batch: Any) -> TrainState:
        """A fresh state with what `init_fn` and the warm start make of it.

        Args:
            fresh: as it was initialized.
            *batch: features and labels of a training batch, where the optimizer's part
                is there; it begins with the parameters as they are in the end.
        """
        if self._init_fn is not None:
            params = self._init_fn(dict(fresh.params))
            fresh = fresh._replace(params=_placed_like(params, fresh.params))
        taken: dict[str, Any] = {}
        if self._warm_start is not None:
            taken = warm_values(self._warm_start, to_tree(fresh))
            fresh = _with(fresh, taken, "params", "state")
        if batch and (self._init_fn is not None or taken):
            fresh = self._program.states.init_optimizer(fresh, *batch)
        return _with(fresh, taken, "opt_state")


def _with(state: TrainState, taken: Mapping[str, Any], *parts: str) -> TrainState:
    """The state with other arrays in some of its parts."""
    tree = to_tree(state)
    for part in parts:
        tree[part] = {**tree[part], **_placed_like(taken.get(part, {}), tree[part])}
    return from_tree(tree, state)


def _placed_like(arrays: Mapping[str, Any], like: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays on the devices where others of their names lie.

    Raises:
        ConfigError: a name that is not there.
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
        # Copied: a CPU device would share the memory of a NumPy array, which others
        # have. In the type of the other: programs are compiled for that.
        mine = isinstance(array, jax.Array)
        given = array.astype(like.dtype) if mine else np.array(array, like.dtype)
        return jax.device_put(given, like.sharding)

    return {name: placed(array, like[name]) for name, array in arrays.items()}
