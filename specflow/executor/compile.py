"""The only place that compiles: a model function as sharded programs, one a mode."""

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from specflow.errors import Fault, SpecflowError, spec_error
from specflow.executor.model_fn import ModelFn
from specflow.executor.state import TrainState
from specflow.executor.step import (
    Optimizer,
    eval_step,
    indexed_step,
    predict_step,
    train_loop,
)
from specflow.executor.trace import Traced, has_convolution
from specflow.mesh import Partitioner, batch_parts
from specflow.model import SplitModel
from specflow.spec import Mode, TPUEstimatorSpec, check_batch_major
from specflow.stopwatch import Stopwatch
from specflow.typing import describe, leaves

__all__ = ["Program"]


class Program:
    """A model function, traced once a mode and compiled for a mesh when first run.

    Args:
        model_fn: returns a `TPUEstimatorSpec`; see `ModelFn`.
        model: the module that is handed to it.
        partitioner: the mesh, and where parameters go on it.
        extras: `params` and `config` for the function, as far as there are any.
    """

    def __init__(
        self,
        model_fn: Callable[..., Any],
        model: SplitModel,
        partitioner: Partitioner,
        *,
        extras: Mapping[str, Any] | None = None,
    ):
        self.model_fn = ModelFn(model_fn)
        self.model = model
        self.partitioner = partitioner
        self.extras = dict(extras or {})
        self.traces: Counter[Mode] = Counter()
        """How often the function's Python ran, by mode."""
        self.timing = Stopwatch()
        """Seconds by name; `compile` is tracing, lowering and compiling."""
        self._traced: dict[Any, Traced] = {}
        self._compiled: dict[Any, Any] = {}
        self._lowered: dict[str, Any] = {}

    # -- tracing

    def spec(self, mode: Mode, features: Any, labels: Any = None) -> TPUEstimatorSpec:
        """The spec of a mode, abstract: shapes and dtypes in place of arrays.

        Args:
            mode: what is asked for.
            features: one batch, or `jax.ShapeDtypeStruct`s of one.
            labels: likewise; not used to predict.

        Raises:
            SpecError: the function breaks the contract, or fails.
        """
        return self._forward(mode, features, labels).result[0]

    def _forward(self, mode: Mode, features: Any, labels: Any) -> Traced:
        batch = _abstract((features, None if mode is Mode.PREDICT else labels))
        key = (mode, _shapes(batch))
        if key not in self._traced:
            self._traced[key] = self._trace(mode, *batch)
        return self._traced[key]

    def _trace(self, mode: Mode, features: Any, labels: Any) -> Traced:
        rows = _rows(features)

        def forward(
            params: Any, rest: Any, features: Any, labels: Any, mask: Any
        ) -> tuple[TPUEstimatorSpec, Any]:
            self.traces[mode] += 1
            module = self.model.merge(params, rest, train=mode is Mode.TRAIN)
            spec = self.model_fn(
                mode,
                model=module,
                features=features,
                labels=labels,
                mask=mask,
                **self.extras,
            )
            return spec, self.model.rest_of(module)

        abstract = (self.model.abstract_params, self.model.abstract_rest)
        try:
            with self.timing("compile"):
                if mode is Mode.TRAIN:
                    full = functools.partial(_with_mask, forward, rows)
                    traced = Traced(full, *abstract, features, labels)
                else:
                    mask = jax.ShapeDtypeStruct((rows,), jnp.bool_)
                    traced = Traced(forward, *abstract, features, labels, mask)
        except SpecflowError:
            raise
        except Exception as error:
            raise _failed(self.model_fn.name, mode, features, labels, error) from error
        spec = traced.result[0]
        for field in ("eval_metrics", "host_call"):
            pair = getattr(spec, field)
            if pair is not None:
                check_batch_major(pair, rows, field=field)
        if mode is Mode.PREDICT:
            _check_predictions(spec.predictions, rows)
        return traced

    def optimizer(self, features: Any, labels: Any) -> Optimizer:
        """The `train_op` that the function gives for these batches."""
        spec = self.spec(Mode.TRAIN, features, labels)
        return Optimizer(spec.train_op, self.model.abstract_params)

    # -- state

    def abstract_state(self, features: Any, labels: Any) -> TrainState:
        """Shapes, dtypes and shardings of the state; nothing is allocated.

        Args:
            features: one training batch, or `jax.ShapeDtypeStruct`s of one.
            labels: likewise.
        """
        params, rest = self.model.abstract_params, self.model.abstract_rest
        optimizer = self.optimizer(features, labels)
        opt_state = jax.eval_shape(optimizer.init, params)
        place = self.partitioner
        shardings = place.params(params)
        state = TrainState(jax.ShapeDtypeStruct((), jnp.int32), params, rest, opt_state)
        placed = TrainState(
            place.replicated,
            shardings,
            dict.fromkeys(rest, place.replicated),
            place.like_params(opt_state, params, shardings),
        )
        return jax.tree.map(
            lambda array, sharding: jax.ShapeDtypeStruct(
                array.shape, array.dtype, sharding=sharding
            ),
            state,
            placed,
        )

    def init_state(self, seed: int, features: Any, labels: Any) -> TrainState:
        """The state before the first step, made in place on the mesh.

        Args:
            seed: of the initial weights and of the model's random streams.
            features: one training batch, or `jax.ShapeDtypeStruct`s of one.
            labels: likewise.
        """
        optimizer = self.optimizer(features, labels)
        abstract = self.abstract_state(features, labels)
        shardings = jax.tree.map(lambda array: array.sharding, abstract)

        def start(params: Any, rest: Any) -> TrainState:
            opt_state = optimizer.init(params)
            return TrainState(jnp.zeros((), jnp.int32), params, rest, opt_state)

        if self.model.is_built:
            given = self.model.init(jax.random.key(0))
            placed = jax.device_put(given, (shardings.params, shardings.rest))
            return jax.jit(start, out_shardings=shardings)(*placed)

        def init(seed: jax.Array) -> TrainState:
            return start(*self.model.init(jax.random.key(seed)))

        with self.timing("compile"):
            compiled = (
                jax.jit(init, out_shardings=shardings)
                .lower(jax.ShapeDtypeStruct((), jnp.uint32))
                .compile()
            )
        return compiled(np.uint32(seed))

    def abstract_model_state(self) -> TrainState:
        """Like `abstract_state`, without the optimizer's part: enough to evaluate."""
        params, rest = self.model.abstract_params, self.model.abstract_rest
        shardings = self.partitioner.params(params)
        whole = self.partitioner.replicated

        def placed(array: Any, sharding: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)

        return TrainState(
            0,
            {path: placed(array, shardings[path]) for path, array in params.items()},
            {path: placed(array, whole) for path, array in rest.items()},
            (),
        )

    def init_model_state(self, seed: int) -> TrainState:
        """Like `init_state`, without the optimizer's part."""
        like = self.abstract_model_state()
        params, rest = jax.device_put(
            self.model.init(jax.random.key(seed)),
            jax.tree.map(lambda array: array.sharding, (like.params, like.rest)),
        )
        return TrainState(0, params, rest, ())

    # -- batches

    def put(self, batch: Any, *, axis: int = 0) -> Any:
        """Host rows of this process as global arrays, cut along `axis` over the mesh.

        Rows that the mesh does not divide are given whole to every device.
        """
        rows, whole = self.partitioner.rows(axis), self.partitioner.replicated
        parts = batch_parts(self.partitioner.mesh)
        if jax.process_count() == 1:
            return jax.tree.map(
                lambda array: jax.device_put(
                    array, whole if array.shape[axis] % parts else rows
                ),
                batch,
            )
        return jax.tree.map(
            lambda array: jax.make_array_from_process_local_data(rows, array), batch
        )

    # -- running

    def train(
        self, state: TrainState, features: Any, labels: Any, start: int, stop: int
    ) -> tuple[TrainState, jax.Array]:
        """Runs stacked batches `start` to `stop`; the given state is used up.

        Args:
            state: what to start from; dead after this call, its memory is used again.
            features: stacked batches on the mesh, from `put(..., axis=1)`.
            labels: likewise, or None.
            start: first batch.
            stop: one past the last batch.

        Returns:
            The state after, and the losses of all stacked batches; NaN where none ran.
        """
        key = ("train", _shapes((features, labels)))
        if key not in self._compiled:
            self._compiled[key] = self._compile_train(state, features, labels)
        compiled, looped = self._compiled[key]
        losses = np.full(_rows(features), np.nan, np.float32)
        if looped:
            bounds = np.int32(start), np.int32(stop)
            return compiled(state, losses, features, labels, *bounds)
        for index in range(start, stop):
            state, losses = compiled(state, losses, features, labels, np.int32(index))
        return state, losses

    def _compile_train(
        self, state: TrainState, features: Any, labels: Any
    ) -> tuple[Any, bool]:
        """The program, and whether it loops by itself (else it takes one step)."""
        batch = jax.tree.map(
            lambda rows: jax.ShapeDtypeStruct(rows.shape[1:], rows.dtype),
            (features, labels),
        )
        forward = self._forward(Mode.TRAIN, *batch)
        cpu = self.partitioner.mesh.devices.flat[0].platform == "cpu"
        # XLA's convolutions on CPU are some twenty times slower inside a loop.
        looped = not (cpu and has_convolution(forward.jaxpr))
        program = functools.partial(
            train_loop if looped else indexed_step,
            forward=forward,
            optimizer=self.optimizer(*batch),
        )
        whole = self.partitioner.replicated
        shardings = jax.tree.map(lambda array: array.sharding, state)
        losses = jax.ShapeDtypeStruct((_rows(features),), jnp.float32, sharding=whole)
        index = jax.ShapeDtypeStruct((), jnp.int32)
        with self.timing("compile"):
            lowered = jax.jit(
                program, donate_argnums=(0, 1), out_shardings=(shardings, whole)
            ).lower(state, losses, features, labels, *(index,) * (2 if looped else 1))
            self._lowered["train"] = lowered
            return lowered.compile(), looped

    def evaluate(
        self, state: TrainState, features: Any, labels: Any, mask: Any
    ) -> dict[str, Any]:
        """The loss and eval tensors of one batch, still on the devices.

        Args:
            state: only parameters and rest are used.
            features: one batch on the mesh, from `put`.
            labels: likewise, or None.
            mask: bool rows, likewise.
        """
        return self._run(Mode.EVAL, eval_step, state, features, labels, mask)

    def predict(self, state: TrainState, features: Any, mask: Any) -> Any:
        """The predictions for one batch, still on the devices."""
        return self._run(Mode.PREDICT, predict_step, state, features, mask)

    def _run(
        self, mode: Mode, step: Callable[..., Any], state: TrainState, *batch: Any
    ) -> Any:
        key = (mode, _shapes(batch))
        compiled = self._compiled.get(key)
        if compiled is None:
            features, *labels = batch[:-1]
            forward = self._forward(mode, features, *(labels or [None]))
            whole = _rows(features) % batch_parts(self.partitioner.mesh) != 0
            rows = self.partitioner.replicated if whole else self.partitioner.rows()
            out: Any = rows
            if mode is Mode.EVAL:
                out = {"loss": self.partitioner.replicated, "tensors": rows}
            with self.timing("compile"):
                lowered = jax.jit(
                    functools.partial(step, forward=forward), out_shardings=out
                ).lower(state.params, state.rest, *batch)
                self._lowered[str(mode)] = lowered
                compiled = self._compiled[key] = lowered.compile()
        return compiled(state.params, state.rest, *batch)

    def fingerprint(self) -> str:
        """A hash of the programs lowered so far: equal programs, equal hashes."""
        digest = hashlib.sha256()
        for name in sorted(self._lowered):
            digest.update(name.encode())
            digest.update(self._lowered[name].as_text().encode())
        return digest.hexdigest()[:32]


def _with_mask(
    forward: Callable[..., Any], rows: int, params: Any, rest: Any, *batch: Any
) -> Any:
    """TRAIN batches have no padding: the mask is a constant, which XLA folds away."""
    return forward(params, rest, *batch, jnp.ones(rows, bool))


def _abstract(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def _shapes(tree: Any) -> Any:
    flat, structure = jax.tree.flatten(tree)
    return structure, tuple((array.shape, str(array.dtype)) for array in flat)


def _rows(features: Any) -> int:
    return jax.tree.leaves(features)[0].shape[0]


def _check_predictions(predictions: Any, rows: int) -> None:
    faults = [
        Fault(
            f"predictions[{path!r}]" if path else "predictions",
            f"is {describe(leaf)}, and the batch is {rows} rows",
            expected="a batch-major array: its first axis is the batch",
            code="batch-major",
        )
        for path, leaf in leaves(predictions)
        if not leaf.shape or leaf.shape[0] != rows
    ]
    if faults:
        raise spec_error(*faults)


def _failed(
    name: str, mode: Mode, features: Any, labels: Any, error: Exception
) -> SpecflowError:
    given = ", ".join(
        f"{path} {describe(leaf)}"
        for path, leaf in leaves({"features": features, "labels": labels})
        if leaf is not None
    )
    text = str(error).strip() or repr(error)
    return spec_error(
        Fault(
            name,
            f"failed while traced for mode '{mode}': {type(error).__name__}: {text}",
            mend=f"It was given {given}.",
            kind=TypeError if isinstance(error, TypeError) else ValueError,
            code="model-fn",
        )
    )
