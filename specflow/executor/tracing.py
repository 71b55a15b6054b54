"""Traces of a model function: one in each mode, checked against the contract."""

import contextlib
import copy
import functools
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from specflow.contract import Mode, TPUEstimatorSpec, check_batch_major
from specflow.diagnostics import user_code
from specflow.diagnostics.errors import Diagnostic, SpecflowError, spec_error
from specflow.executor.array_types import (
    Batch,
    Features,
    Labels,
    Mask,
    ModelState,
    Params,
    Predictions,
    TrainOpLike,
    Tree,
)
from specflow.executor.discovery import Discovery
from specflow.executor.empty_results import refuse_empty
from specflow.executor.hyperparameters import Hyperparameters, Keys
from specflow.executor.model_call import ModelFn
from specflow.executor.optimizer_step import Optimizer
from specflow.executor.step_settings import PLAIN, StepSettings
from specflow.executor.traced_once import Traced
from specflow.executor.tracing_errors import failed, misplaced, nothing_to_train
from specflow.model import LinenModel, Model, is_misplaced
from specflow.runtime.failed_layer import add_layer
from specflow.runtime.stopwatch import Stopwatch
from specflow.runtime.typing import describe, leaves

__all__ = ["Tracer", "check_predictions", "row_count", "shapes"]


class Tracer:
    """Traces a model function once per mode and batch shape.

    A Linen model is run once more per mode, to discover its variables: see `Discovery`.

    Args:
        model_fn: returns a `TPUEstimatorSpec`; see `ModelFn`.
        model: the module passed to it.
        extras: mode -> `params` and `config` for the function, as far as there are any.
        timing: accumulates the seconds spent, as `compile`.
        settings: how training steps are computed; the function is traced with the rows
            of a micro-step.
        placing: makes a context in which activations are sharded over the mesh; None:
            they are not.
    """

    def __init__(
        self,
        model_fn: Callable[..., Any],
        model: Model,
        *,
        extras: Callable[[Mode], Mapping[str, Any]] | None = None,
        timing: Stopwatch,
        settings: StepSettings = PLAIN,
        placing: Callable[[], contextlib.AbstractContextManager[None]] | None = None,
    ):
        self.model_fn = ModelFn(model_fn)
        self.model = model
        self.extras = extras or (lambda mode: {})
        self.timing, self.settings = timing, settings
        self.placing = placing
        self.hyperparameters: Hyperparameters | None = None
        """Numbers that become inputs of the programs; None: all are constants."""
        self.traces: Counter[Mode] = Counter()
        """Number of runs of the function's Python, by mode."""
        self._traced_with: Hyperparameters | None = None
        """Those whose optimizer the traces have; None: `hyperparameters`."""
        self._traced: dict[Hashable, Traced] = {}
        self._discovery: Discovery | None = None
        if isinstance(model, LinenModel):
            self._discovery = Discovery(self.model_fn.name, model)
            if model.is_inline:
                self.model_fn.check_without_model()

    def spec(
        self, mode: Mode, features: Features, labels: Labels = None
    ) -> TPUEstimatorSpec:
        """Returns the spec of a mode with shapes and dtypes in place of arrays.

        Args:
            mode: the mode to trace.
            features: one batch, or `jax.ShapeDtypeStruct`s of one.
            labels: likewise; unused in PREDICT.

        Raises:
            SpecError: the function breaks the contract, or fails.
        """
        return self.forward(mode, features, labels).result[0]

    def forward(
        self, mode: Mode, features: Features, labels: Labels, *, placed: bool = True
    ) -> Traced:
        """Traces the model function in a mode, or returns the earlier trace.

        Args:
            mode: the mode to trace.
            features: one batch, or `jax.ShapeDtypeStruct`s of one.
            labels: likewise; unused in PREDICT.
            placed: whether activations are sharded over the mesh as the model names
                their dimensions; an export is traced without a mesh.
        """
        batch = (features, None if mode is Mode.PREDICT else labels)
        if mode is Mode.TRAIN:
            batch = _micro_batch(batch, self.settings.micro_steps)
        placing = self.placing if placed else None
        key = (mode, shapes(batch), placing)
        if key not in self._traced:
            batch = _abstract(batch)
            self.learn(mode, *batch)
            with placing() if placing else contextlib.nullcontext():
                self._traced[key] = self._trace(mode, *batch)
                if frozen := self._frozen_layers(mode, self._traced[key]):
                    # Again, now that the train_op is known and with it what is frozen.
                    self._traced[key] = self._trace(mode, *batch, frozen=frozen)
        return self._traced[key]

    def learn(self, mode: Mode, features: Features, labels: Labels) -> None:
        """Discovers the variables of a model that only a batch reveals.

        Args:
            mode: the mode of the batch; other modes are run with it too.
            features: one batch, or `jax.ShapeDtypeStruct`s of one.
            labels: likewise, or None.

        Raises:
            SpecError: the function fails, or the modes create different variables.
        """
        if self._discovery is None or self._discovery.knows(mode):
            return
        features, labels = _abstract((features, labels))

        def run(mode: Mode) -> Callable[[Any], Any]:
            given_labels = None if mode is Mode.PREDICT else labels

            def function(module: Any) -> TPUEstimatorSpec:
                zeros = jax.tree.map(
                    lambda x: jnp.zeros(x.shape, x.dtype),
                    {"features": features, "labels": given_labels},
                )
                mask = jnp.ones(row_count(features), bool)
                return self._run(mode, module, **zeros, mask=mask)

            return function

        with self._errors_of(mode, features, labels):
            self._discovery.discover(mode, run)

    def admit(self, saved: Mapping[str, tuple[Any, Any]]) -> None:
        """Adds layers that only training creates, as found in a checkpoint.

        Args:
            saved: `params/NAME` or `state/NAME` -> shape and dtype of the array.
        """
        if self._discovery is None or self._discovery.knows(Mode.TRAIN):
            return
        params, model_state = (
            {
                name.removeprefix(prefix): jax.ShapeDtypeStruct(*shape_and_dtype)
                for name, shape_and_dtype in saved.items()
                if name.startswith(prefix)
            }
            for prefix in ("params/", "state/")
        )
        self._discovery.admit(params, model_state)

    def _run(
        self, mode: Mode, module: Any, features: Features, labels: Labels, mask: Mask
    ) -> TPUEstimatorSpec:
        self.traces[mode] += 1
        return self.model_fn(
            mode,
            model=module,
            features=features,
            labels=labels,
            mask=mask,
            **self.extras(mode),
        )

    def _frozen_layers(self, mode: Mode, traced: Traced) -> frozenset[str]:
        """Returns the layers whose batch statistics a training step does not update."""
        if mode is not Mode.TRAIN or not self.model.statistics:
            return frozenset()
        optimizer = self._optimizer(traced.result[0].train_op)
        return frozenset(
            self.model.statistics[name] for name in optimizer.frozen_statistics
        )

    def _trace(
        self,
        mode: Mode,
        features: Features,
        labels: Labels,
        *,
        frozen: frozenset[str] = frozenset(),
    ) -> Traced:
        rows = row_count(features)

        def forward(
            params: Params, model_state: ModelState, *batch: Tree
        ) -> tuple[TPUEstimatorSpec, Any]:
            return self.model.call(
                lambda module: self._run(mode, module, *batch),
                params,
                model_state,
                train=mode is Mode.TRAIN,
                frozen=frozen,
            )

        abstract = (self.model.abstract_params, self.model.abstract_model_state)
        with self._errors_of(mode, features, labels):
            if mode is Mode.TRAIN:
                full = functools.partial(_with_mask, forward, rows)
                traced = Traced(full, *abstract, features, labels)
            else:
                mask = jax.ShapeDtypeStruct((rows,), jnp.bool_)
                traced = Traced(forward, *abstract, features, labels, mask)
        refuse_empty(traced.jaxpr, rows)
        spec = traced.result[0]
        for field in ("eval_metrics", "host_call"):
            pair = getattr(spec, field)
            if pair is not None:
                check_batch_major(pair, rows, field=field)
        return traced

    def optimizer(self, features: Features, labels: Labels) -> Optimizer:
        """Returns the `train_op` of the TRAIN spec for these batches.

        Raises:
            SpecError: the model has no parameters to train.
        """
        spec = self.spec(Mode.TRAIN, features, labels)
        train_op = spec.train_op
        if self._traced_with is not None and self.hyperparameters is not None:
            train_op = self._traced_with.replaced_train_op(
                train_op, self.hyperparameters.optimizer
            )
        optimizer = self._optimizer(train_op)
        if not (self.model.abstract_params or optimizer.is_function):
            raise spec_error(nothing_to_train(self.model_fn.name, self.model))
        self._check_function(optimizer)
        return optimizer

    def _optimizer(self, train_op: TrainOpLike) -> Optimizer:
        numbers = self.hyperparameters
        return Optimizer(
            train_op,
            self.model.abstract_params,
            loss_scale=self.settings.loss_scale,
            statistics=self.model.statistics,
            moved=None if numbers is None else numbers.moved_train_op(train_op),
            keys=() if numbers is None else numbers.optimizer_keys,
        )

    def with_hyperparameters(
        self, hyperparameters: Hyperparameters, timing: Stopwatch
    ) -> "Tracer":
        """Returns a tracer of the same function and model with another optimizer.

        They share their traces.

        Args:
            hyperparameters: of a config that differs from that of this tracer in the
                optimizer alone.
            timing: accumulates the seconds spent, as `compile`.
        """
        other = copy.copy(self)
        other._traced_with = self._traced_with or self.hyperparameters
        other.hyperparameters, other.timing = hyperparameters, timing
        other.traces = Counter()
        return other

    def moved(self, keys: Keys) -> "Tracer":
        """Returns a tracer of the model and its function with hyperparameters moved.

        Args:
            keys: the hyperparameters.
        """
        assert self.hyperparameters is not None
        model_fn, model = self.hyperparameters.build_model(keys)
        return Tracer(
            model_fn,
            model,
            extras=self.extras,
            timing=self.timing,
            settings=self.settings,
            placing=self.placing,
        )

    def _check_function(self, optimizer: Optimizer) -> None:
        """Checks that a `train_op` that is a function needs no step settings."""
        if not optimizer.is_function or self.settings == PLAIN:
            return
        setting = f"micro_steps is {self.settings.micro_steps}"
        if self.settings.loss_scale is not None:
            setting = f"loss_scale is {self.settings.loss_scale}"
        raise spec_error(
            Diagnostic(
                "train_op",
                f"is a function, which takes full batches, and {setting}",
                expected="an optax GradientTransformation or a TrainOp",
                code="train-op",
            )
        )

    @contextlib.contextmanager
    def _errors_of(
        self, mode: Mode, features: Features, labels: Labels
    ) -> Iterator[None]:
        """Times a trace, and adds the function, mode and batch to its errors."""
        try:
            with self.timing("compile"):
                yield
        except SpecflowError:
            raise
        except Exception as error:
            if is_misplaced(error):
                diagnostic = misplaced(self.model_fn.name, self.model)
                raise spec_error(diagnostic) from error
            diagnostic = failed(self.model_fn.name, mode, features, labels, error)
            if user_code.is_users(error):
                add_layer(error)
                error.add_note(
                    f"{diagnostic.where} was traced for mode '{mode}'. "
                    f"{diagnostic.hint}"
                )
                raise
            raise spec_error(diagnostic) from error


def _with_mask(
    forward: Callable[..., Tree],
    rows: int,
    params: Params,
    model_state: ModelState,
    *batch: Tree,
) -> Tree:
    """Calls `forward` with a constant mask, since TRAIN batches have no padding."""
    return forward(params, model_state, *batch, jnp.ones(rows, bool))


def _micro_batch(batch: Batch, micro_steps: int) -> Batch:
    """Returns the shapes of a micro-batch; the batch itself with one micro-step."""
    if micro_steps == 1:
        return batch
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(
            (x.shape[0] // micro_steps, *x.shape[1:]), x.dtype
        ),
        batch,
    )


def _abstract(tree: Tree) -> Tree:
    """Returns shapes and dtypes as JAX holds arrays: 64 bits become 32 by default."""
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, jax.dtypes.canonicalize_dtype(x.dtype)),
        tree,
    )


def shapes(tree: Tree) -> Hashable:
    """Returns structure, shapes and dtypes of a tree: the cache key of a program."""
    flat, structure = jax.tree.flatten(tree)
    return structure, tuple((array.shape, array.dtype) for array in flat)


def row_count(features: Features) -> int:
    """Returns the length of the first axis: rows of a batch, or stacked batches."""
    return jax.tree.leaves(features)[0].shape[0]


def check_predictions(predictions: Predictions, rows: int) -> None:
    """Checks that predictions are batch-major.

    Raises:
        SpecError: the first axis of an array is not the batch axis.
    """
    diagnostics = [
        Diagnostic(
            f"predictions[{path!r}]" if path else "predictions",
            f"is {describe(leaf)}, and the batch is {rows} rows",
            expected="a batch-major array: its first axis is the batch",
            code="batch-major",
        )
        for path, leaf in leaves(predictions)
        if not leaf.shape or leaf.shape[0] != rows
    ]
    if diagnostics:
        raise spec_error(*diagnostics)
